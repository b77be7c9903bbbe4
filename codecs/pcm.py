"""Samples as codes, one each: companded by the μ-law of ITU-T G.711 with μ = levels − 1, or linear.

For models that write waveforms sample by sample. The scale is fixed, so that likelihoods of different clips compare
(SaShiMi's published figures are of clips each scaled to its own range). The middle code is exactly silence, and
decoding is that of the published checkpoints, code / 128 − 1 before expansion.
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError, unknown_name
from audiogen.nn.digest import digest
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.registry import register

LAWS = ("mu", "linear")


@dataclass
class PcmConfig:
    """Samples a second, how many codes there are (even), and `law`, which spaces them: `mu` or `linear`."""

    sample_rate: int = 16_000
    levels: int = 256
    law: str = "mu"

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise unknown_name("law", self.law, LAWS)
        if self.levels < 2 or self.levels % 2:
            raise AudiogenError(f"levels is {self.levels}; an even number is needed, so that one of them is silence")


@register("codec", "pcm", PcmConfig)
class PcmCodec(nn.Module):
    """Quantised samples; nothing is learned and a stream has no state."""

    def __init__(self, config: PcmConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = CodecSpec("pcm", config.sample_rate, 1, num_codebooks=1, codebook_size=config.levels)

    def codes_digest(self) -> str:
        """SHA-256 of what decides the codes: the settings."""
        return digest(asdict(self.config))

    def encode(self, wave: Tensor, lengths: Tensor | None = None) -> AudioTokens:
        """Wave [B, 1, N] within ±1 to codes [B, 1, N]; what is louder is clipped."""
        if lengths is None:
            lengths = torch.full((len(wave),), wave.shape[-1], device=wave.device)
        half, steep = self.config.levels // 2, self.config.levels - 1
        if self.config.law == "mu":
            wave = wave.sign() * (steep * wave.abs()).log1p() / math.log1p(steep)
        codes = (half * wave).round().long().clamp(-half, half - 1) + half
        return AudioTokens(self.spec, lengths, codes=codes, num_samples=lengths)

    def decode(self, tokens: AudioTokens) -> Tensor:
        """Codes to wave [B, 1, N]."""
        half, steep = self.config.levels // 2, self.config.levels - 1
        wave = (tokens.codes - half) / half
        if self.config.law == "mu":
            wave = wave.sign() * (wave.abs() * math.log1p(steep)).expm1() / steep
        return wave if tokens.num_samples is None else wave[..., : int(tokens.num_samples.max())]

    def init_state(self, batch_size: int = 1) -> None:
        """A stream remembers nothing."""

    def encode_step(self, wave: Tensor, state: None, final: bool = False) -> tuple[AudioTokens, None]:
        """The next samples [B, 1, n]."""
        return self.encode(wave), state

    def decode_step(self, tokens: AudioTokens, state: None, final: bool = False) -> tuple[Tensor, None]:
        """The next codes."""
        return self.decode(tokens), state
