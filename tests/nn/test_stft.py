"""Frames of a stream and back: every sample returns, in any chunks, and mel frames are librosa's."""

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.nn.stft import InverseStft, LogMelFrames, margin_of


def spectra_of(samples: torch.Tensor, n_fft: int, hop: int) -> torch.Tensor:
    """Windowed spectra [1, T, bins] of samples [1, T · hop] in the alignment of the module."""
    margin = margin_of(n_fft, hop)
    windows = torch.nn.functional.pad(samples, (margin, margin)).unfold(-1, n_fft, hop)
    return torch.fft.rfft(windows * torch.hann_window(n_fft, dtype=samples.dtype))


@pytest.mark.parametrize(("n_fft", "hop"), [(64, 16), (96, 32), (32, 16)])
@pytest.mark.parametrize("frames", [1, 2, 3, 20])
def test_overlap_add_inverts_the_transform_up_to_both_ends(n_fft: int, hop: int, frames: int):
    samples = torch.randn(1, frames * hop, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    inverse = InverseStft(n_fft, hop).double()
    rebuilt, _ = inverse(spectra_of(samples, n_fft, hop), inverse.init_state(1), final=True)
    torch.testing.assert_close(rebuilt, samples, atol=1e-5, rtol=0)


def test_frames_in_pieces_give_the_same_samples():
    inverse = InverseStft(64, 16)
    spectra = torch.randn(2, 40, 33, dtype=torch.cfloat, generator=torch.Generator().manual_seed(0))
    whole, _ = inverse(spectra, inverse.init_state(2), final=True)
    state, parts = inverse.init_state(2), []
    for number, piece in enumerate(spectra.split([1, 0, 1, 7, 2, 29], dim=1), start=1):
        samples, state = inverse(piece, state, final=number == 6)
        parts.append(samples)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("samples", [1, 15, 16, 17, 48, 100])
def test_every_sample_is_in_a_whole_group_of_frames(group: int, samples: int):
    frames = LogMelFrames(8_000, 64, 16, 8, group)
    made, _ = frames(torch.randn(1, samples), frames.init_state(1), final=True)
    assert made.shape == (1, -(-samples // (16 * group)) * group, 8)


def test_mel_frames_are_librosas():
    librosa = pytest.importorskip("librosa")
    wave = 0.1 * torch.randn(1, 4096, generator=torch.Generator().manual_seed(0))
    frames = LogMelFrames(24_000, 1024, 256, 100)
    ours, _ = frames(wave, frames.init_state(1), final=True)
    padded = torch.nn.functional.pad(wave[0], (384, 384)).numpy()
    theirs = librosa.feature.melspectrogram(
        y=padded, sr=24_000, n_fft=1024, hop_length=256, n_mels=100, power=1, center=False
    )
    torch.testing.assert_close(ours[0].T, torch.from_numpy(theirs).clamp(min=1e-5).log(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("n_fft", "hop"), [(1000, 300), (256, 256), (32, 24)])
def test_frames_that_do_not_overlap_evenly_are_refused(n_fft: int, hop: int):
    with pytest.raises(AudiogenError, match=f"n_fft {n_fft}"):
        margin_of(n_fft, hop)
