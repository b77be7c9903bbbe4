"""What a codec, an acoustic model, a recogniser and a stage must offer, and the tokens that pass between them.

Typing is structural: nothing inherits from these classes. Letters in shapes: B batch, C channels, N samples,
T frames, K codebooks, D latent size, L text length.
"""

from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from audiogen.errors import AudiogenError


@dataclass(frozen=True)
class CodecSpec:
    """What an acoustic model needs to know of a codec.

    A codec of discrete codes has `num_codebooks` and `codebook_size`; one of continuous latents has `latent_dim`. One
    that cuts sound into overlapping parts and codes each alone has `segment` and `segment_stride`, in samples.
    """

    name: str
    sample_rate: int
    hop_length: int
    num_codebooks: int = 0
    codebook_size: int = 0
    latent_dim: int = 0
    channels: int = 1
    segment: int = 0
    segment_stride: int = 0

    @property
    def frame_rate(self) -> Fraction:
        """Frames a second, exactly."""
        return Fraction(self.sample_rate, self.hop_length)

    def num_frames(self, num_samples: int) -> int:
        """Frames that hold `num_samples` samples: the last one, of each segment too, may be partly padding."""
        if not self.segment:
            return -(-num_samples // self.hop_length)
        starts = range(0, num_samples, self.segment_stride)
        return sum(-(-min(self.segment, num_samples - start) // self.hop_length) for start in starts)

    def to_dict(self) -> dict[str, Any]:
        """The spec as plain values, for a bundle."""
        return asdict(self)


@dataclass
class AudioTokens:
    """A batch of encoded audio: `codes` int64 [B, K, T] or `latents` float [B, D, T], with `lengths` int64 [B] frames.

    `num_samples` int64 [B] is the true length of the audio where it is known; decoding trims to it. `scales` [B, S] is
    the loudness of each of S segments, from a codec that evens it out.
    """

    spec: CodecSpec
    lengths: Tensor
    codes: Tensor | None = None
    latents: Tensor | None = None
    num_samples: Tensor | None = None
    scales: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.codes is None) == (self.latents is None):
            raise AudiogenError("AudioTokens holds either codes [B, K, T] or latents [B, D, T], not both and not none")

    @classmethod
    def from_codes(cls, spec: CodecSpec, codes: Tensor) -> "AudioTokens":
        """Wrap full-length codes [B, K, T]."""
        return cls(spec, torch.full((codes.shape[0],), codes.shape[-1]), codes=codes)


@runtime_checkable
class Codec(Protocol):
    """Maps waves to tokens and back, whole or in a stream. `final=True` flushes what a stream still holds."""

    spec: CodecSpec

    def codes_digest(self) -> str:
        """SHA-256 of all that decides the codes: where the decoder alone is trained on, voices still fit."""

    def encode(self, wave: Tensor, lengths: Tensor | None = None) -> AudioTokens:
        """Wave [B, 1, N] (and true lengths [B] in samples) to tokens of ceil(N / hop_length) frames."""

    def decode(self, tokens: AudioTokens) -> Tensor:
        """Tokens to wave [B, 1, T * hop_length], trimmed to the longest `num_samples` where that is known."""

    def init_state(self, batch_size: int = 1) -> Any:
        """The state of a stream that has seen nothing."""

    def encode_step(self, wave: Tensor, state: Any, final: bool = False) -> tuple[AudioTokens, Any]:
        """The next samples [B, 1, n], any n ≥ 0, to the frames they complete."""

    def decode_step(self, tokens: AudioTokens, state: Any, final: bool = False) -> tuple[Tensor, Any]:
        """The next frames, any number, to the samples they settle."""


@runtime_checkable
class AcousticModel(Protocol):
    """Turns a condition (phones, a voice prompt, a label) into audio tokens."""

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """A scalar to minimise and the figures to log."""

    def generate(self, condition: Any, options: Any, generator: torch.Generator | None = None) -> AudioTokens:
        """Sample tokens for the condition."""


@runtime_checkable
class Recognizer(Protocol):
    """Turns waves into label sequences, whole or in a stream."""

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """A scalar to minimise and the figures to log."""

    def init_state(self, batch_size: int = 1) -> Any:
        """The state of a stream that has heard nothing."""

    def step(self, wave: Tensor, state: Any, final: bool = False) -> tuple[Tensor, Any]:
        """The next samples [B, n] to the log-probabilities [B, T, V] they settle."""


@runtime_checkable
class Stage(Protocol):
    """One step of a recipe. The runner gives it a temporary `folder`, renames it and writes `done.json` after."""

    name: str

    def inputs(self, config: Any) -> dict[str, Any]:
        """The part of the config, and the upstream outputs, that decide this stage's result: its fingerprint."""

    def run(self, config: Any, folder: Path) -> None:
        """Do the work into `folder`; items already there are not done again."""
