"""WAV through pipes: every common kind of sample, lengths unknown or lying, and damage."""

import io
import struct

import numpy as np
import pytest
import soundfile
import torch

from audiogen.errors import AudiogenError
from audiogen.infer import wavpipe

RATE = 16_000


def wav(subtype: str = "PCM_16", channels: int = 1, rate: int = RATE, samples: int = 5000) -> tuple[bytes, np.ndarray]:
    sound = np.random.default_rng(0).uniform(-0.9, 0.9, (samples, channels))
    file = io.BytesIO()
    soundfile.write(file, sound, rate, subtype, format="WAV")
    return file.getvalue(), sound


def heard(data: bytes, rate: int = RATE) -> torch.Tensor:
    return torch.cat([torch.zeros(1, 0), *wavpipe.read(io.BytesIO(data), "in", rate, 0.05)], dim=1)


def with_length(data: bytes, length: int) -> bytes:
    at = data.index(b"data") + 4
    return data[:at] + struct.pack("<I", length) + data[at + 4 :]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_of_every_kind_are_read(subtype: str, channels: int):
    data, sound = wav(subtype, channels)
    np.testing.assert_allclose(heard(data)[0].numpy(), sound.mean(1), atol=1e-4)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFF024])
def test_an_unknown_length_is_read_to_the_end(length: int):
    data, sound = wav()
    assert heard(with_length(data, length)).shape == (1, len(sound))


def test_another_rate_is_resampled_to_the_right_length():
    data, _ = wav(rate=22_050, samples=22_050)
    assert abs(heard(data, 24_000).shape[1] - 24_000) <= 1


def test_what_is_written_is_read():
    samples = (np.sin(np.arange(3000) / 20) * 20_000).astype("<i2")
    back = heard(wavpipe.header(RATE, 1) + samples.tobytes())
    np.testing.assert_allclose(back[0].numpy() * 32768, samples, atol=0.5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: b"", "not WAV"),
        (lambda d: b"OggS" + d, "not WAV"),
        (lambda d: d[:30], "cut short"),
        (lambda d: d[:-100], "100 bytes of samples are missing"),
        (lambda d: d[:12] + d[d.index(b"data") :], "does not say what its samples are"),
        (lambda d: d[:12] + b"junk\xff\xff\xff\x7f" + d[12:], "no samples in its first"),
        (lambda d: d.replace(struct.pack("<I", RATE), struct.pack("<I", 10**9), 1), "at 1000000000 Hz"),
    ],
)
def test_what_is_wrong_is_said(change, said: str):
    with pytest.raises(AudiogenError, match=said):
        heard(change(wav()[0]))


def test_samples_that_are_no_numbers_are_refused():
    data, _ = wav("FLOAT")
    with pytest.raises(AudiogenError, match="not a finite number"):
        heard(data[:-4] + struct.pack("<f", float("nan")))


def test_mutations_are_read_or_refused():
    data, rng, read = wav(samples=300)[0], np.random.default_rng(0), 0
    for _ in range(1000):
        mutated = bytearray(data)
        for at in rng.integers(0, 60, 3):
            mutated[at] = int(rng.integers(256))
        try:
            assert heard(bytes(mutated)).shape[0] == 1
            read += 1
        except AudiogenError:
            pass
    assert 0 < read < 1000
