"""How close a decoded wave is to its original, and Opus as the yardstick for a bit rate.

Waves are float32 [1, N] of equal length at the same rate; a codec's delay must be gone already.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from audiogen import audio
from audiogen.errors import AudiogenError
from audiogen.extras import require
from audiogen.nn.spectral import log_mel, magnitude, spectrum

PESQ_RATE = 16_000
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
OPUS_SLOWEST, OPUS_FASTEST = 6_000, 256_000
DECIBELS_PER_NEPER = 8.685889638


def quality(reference: Tensor, decoded: Tensor, sample_rate: int) -> dict[str, float]:
    """PESQ-WB, STOI and mel distance by name: the figures that codecs of speech are compared by."""
    return {
        "PESQ-WB": pesq_wb(reference, decoded, sample_rate),
        "STOI": stoi(reference, decoded, sample_rate),
        "mel distance": mel_distance(reference, decoded, sample_rate),
    }


def pesq_wb(reference: Tensor, decoded: Tensor, sample_rate: int) -> float:
    """Wide-band PESQ (ITU-T P.862.2), 1.0 to 4.64: predicted listening quality of speech, judged at 16 kHz.

    Raises:
        AudiogenError: If the waves differ in length, or PESQ finds no speech in them.
    """
    pesq = require("pesq", "score")
    _check(reference, decoded)
    waves = [audio.resample(wave, sample_rate, PESQ_RATE)[0].numpy() for wave in (reference, decoded)]
    try:
        return float(pesq.pesq(PESQ_RATE, *waves, "wb"))
    except pesq.PesqError as error:
        seconds = reference.shape[-1] / sample_rate
        raise AudiogenError(f"PESQ cannot judge this clip of {seconds:.1f} s, it needs speech: {error}") from None


def stoi(reference: Tensor, decoded: Tensor, sample_rate: int) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), 0 to 1."""
    pystoi = require("pystoi", "score")
    _check(reference, decoded)
    return float(pystoi.stoi(reference[0].numpy(), decoded[0].numpy(), sample_rate))


def mel_distance(reference: Tensor, decoded: Tensor, sample_rate: int) -> float:
    """Mean absolute difference in dB of 80-band log-mel magnitudes (window 43 ms, hop 11 ms at 24 kHz)."""
    _check(reference, decoded)
    bands = [log_mel(magnitude(spectrum(wave, 1024, 256)), sample_rate, 80) for wave in (reference, decoded)]
    return float((bands[0] - bands[1]).abs().mean()) * DECIBELS_PER_NEPER


def snr(reference: Tensor, decoded: Tensor) -> float:
    """Signal-to-noise ratio in dB, the noise being the difference."""
    _check(reference, decoded)
    return _decibels(reference, reference - decoded)


def si_sdr(reference: Tensor, decoded: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019): `snr` at the best gain."""
    _check(reference, decoded)
    reference, decoded = reference - reference.mean(), decoded - decoded.mean()
    target = (reference * decoded).sum() / reference.square().sum().clamp(min=1e-12) * reference
    return _decibels(target, target - decoded)


@dataclass(frozen=True)
class Opus:
    """What Opus made of a wave: `wave` [1, N] decoded, and its true bit rate without the container, in bit/s."""

    wave: Tensor
    bits_per_second: float


def opus(wave: Tensor, sample_rate: int, bits_per_second: int) -> Opus:
    """`wave` [1, N] through libsndfile's Opus (20 ms frames, variable bit rate around the target) and back.

    Raises:
        AudiogenError: If Opus does not take the sample rate or the bit rate.
    """
    if sample_rate not in OPUS_RATES:
        raise AudiogenError(f"Opus takes {', '.join(map(str, OPUS_RATES))} samples a second, not {sample_rate}")
    if not OPUS_SLOWEST <= bits_per_second <= OPUS_FASTEST:
        raise AudiogenError(f"Opus takes {OPUS_SLOWEST} to {OPUS_FASTEST} bit/s for one channel, not {bits_per_second}")
    compression = 1 - (bits_per_second - OPUS_SLOWEST) / (OPUS_FASTEST - OPUS_SLOWEST)
    data = audio.to_bytes(wave, sample_rate, "OGG", "OPUS", compression_level=compression)
    decoded, _ = audio.from_bytes(data)
    duration = wave.shape[-1] / sample_rate
    return Opus(_fit(decoded, wave.shape[-1]), 8 * _ogg_payload(data) / duration)


def _ogg_payload(data: bytes) -> int:
    """Bytes of the audio packets in an Ogg file: page bodies, but for the headers' pages, whose position is 0.

    Page layout: RFC 3533 §6.
    """
    total = start = 0
    while start < len(data):
        position, num_segments = int.from_bytes(data[start + 6 : start + 14], "little"), data[start + 26]
        body = sum(data[start + 27 : start + 27 + num_segments])
        total += body if position else 0
        start += 27 + num_segments + body
    return total


def _fit(wave: Tensor, length: int) -> Tensor:
    return torch.nn.functional.pad(wave[..., :length], (0, max(0, length - wave.shape[-1])))


def _decibels(signal: Tensor, noise: Tensor) -> float:
    return float(10 * torch.log10(signal.square().sum().clamp(min=1e-12) / noise.square().sum().clamp(min=1e-12)))


def _check(reference: Tensor, decoded: Tensor) -> None:
    if reference.shape != decoded.shape or reference.shape[0] != 1:
        shapes = f"{list(reference.shape)} and {list(decoded.shape)}"
        raise AudiogenError(f"waves of shape [1, N] and equal length are compared, not {shapes}")
