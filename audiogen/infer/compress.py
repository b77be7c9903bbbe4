"""Sound to codes and back, in files and through pipes; `container.py` says what a file of codes looks like.

Everything goes through in blocks, so memory does not grow with a recording; by the codec's streaming rule the codes are
the same as those of the whole.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from audiogen import audio
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.files import check_writable, whole
from audiogen.infer import wavpipe
from audiogen.infer.container import CodesBlock, read_blocks, write_blocks
from audiogen.protocols import AudioTokens, CodecSpec

BLOCK_SECONDS = 5.0
PIPED_SECONDS = 1.0  # through a pipe someone waits
PIPE = "the pipe"


@dataclass(frozen=True)
class CodedFile:
    """What was coded: the length of the sound, how many codebooks are kept, and the size of all."""

    seconds: float
    codebooks: int
    bytes: int

    @property
    def bits_per_second(self) -> float:
        """What the sound takes, with everything that is written."""
        return 8 * self.bytes / self.seconds


class FileCodec:
    """A codec that works on files.

    Args:
        bundle: A bundle of kind `codec`, with its model.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.codec = bundle.model
        self.spec: CodecSpec = bundle.model.spec

    def encode(self, source: str | Path, codebooks: int | None = None) -> AudioTokens:
        """Codes [1, K, T] of a sound file, mixed to mono.

        Args:
            source: The file.
            codebooks: Keep the first so many, all if None. Fewer cost less and sound worse.

        Raises:
            AudiogenError: If the file cannot be read (see `audio.check`) or `codebooks` is out of range.
        """
        blocks, samples = zip(*self._encoded(source, self._kept(codebooks)), strict=True)
        tokens = AudioTokens.from_codes(self.spec, torch.cat([block.codes for block in blocks], dim=-1)[None])
        tokens.num_samples = torch.tensor([sum(samples)])
        if self.spec.segment:
            tokens.scales = torch.cat([block.scales for block in blocks])[None]
        return tokens

    def decode(self, tokens: AudioTokens) -> Tensor:
        """Wave [C, N] at the codec's rate."""
        parts = tokens.codes[0].split(round(BLOCK_SECONDS * self.spec.frame_rate), dim=-1)
        padding, scales = -int(tokens.num_samples[0]) % self.spec.hop_length, [None] * len(parts)
        if tokens.scales is not None:
            scales = [tokens.scales[0], *[tokens.scales[0, :0]] * (len(parts) - 1)]
        blocks = (CodesBlock(part, part is parts[-1], padding, s) for part, s in zip(parts, scales, strict=True))
        return torch.cat(list(self._decoded(blocks)), dim=-1)

    def encode_file(
        self, source: str | Path | BinaryIO, target: str | Path | BinaryIO, codebooks: int | None = None
    ) -> CodedFile:
        """Encode a sound file, or WAV as it comes through a pipe, into the `.agc` file or pipe `target`."""
        kept, total = self._kept(codebooks), 0

        def counted() -> Iterator[CodesBlock]:
            nonlocal total
            for block, samples in self._encoded(source, kept):
                total += samples
                yield block

        with _to_write(target) as file:
            written = write_blocks(file, self.codec, kept, counted())
        return CodedFile(total / self.spec.sample_rate, kept, written)

    def decode_file(self, source: str | Path | BinaryIO, target: str | Path | BinaryIO) -> float:
        """Decode the `.agc` file or pipe `source` into a sound file, or as WAV into a pipe; returns the seconds.

        Raises:
            AudiogenError: If `source` is no such file, is damaged, or comes from another codec.
        """
        samples = 0
        with self._to_hear(target) as write, _to_read(source) as file:
            for wave in self._decoded(read_blocks(file, self.codec, _name(source))):
                samples += wave.shape[-1]
                write(wave)
        return samples / self.spec.sample_rate

    def _kept(self, codebooks: int | None) -> int:
        if not self.spec.num_codebooks:
            raise AudiogenError(
                f"the codec {self.spec.name!r} makes latents, not codes; there is nothing to write down"
            )
        kept = self.spec.num_codebooks if codebooks is None else codebooks
        if not 1 <= kept <= self.spec.num_codebooks:
            raise AudiogenError(f"{kept} codebooks asked for; this codec has 1 to {self.spec.num_codebooks}")
        return kept

    def _encoded(self, source: str | Path | BinaryIO, kept: int) -> Iterator[tuple[CodesBlock, int]]:
        """Blocks of codes, and how many samples each one took."""
        state, samples = self.codec.init_state(1), 0
        for sound, final in _with_final(self._heard(source)):
            with torch.inference_mode():
                wave = sound.expand(self.spec.channels, -1)[None]
                tokens, state = self.codec.encode_step(wave, state, final=final)
            samples += sound.shape[-1]
            padding = -samples % self.spec.hop_length if final else 0
            scales = None if tokens.scales is None else tokens.scales[0]
            yield CodesBlock(tokens.codes[0, :kept], final, padding, scales), sound.shape[-1]
        if not samples:
            raise AudiogenError(f"{_name(source)} is damaged: no samples can be read from it")

    def _decoded(self, blocks: Iterator[CodesBlock]) -> Iterator[Tensor]:
        """Waves [C, n]; no more than a recording may be long, whatever a file says."""
        state, frames, given = self.codec.init_state(1), 0, 0
        for block in blocks:
            frames += block.codes.shape[1]
            if frames > audio.MAX_MINUTES * 60 * self.spec.frame_rate:
                raise AudiogenError(f"the codes are of more than {audio.MAX_MINUTES:g} minutes; cut them into parts")
            with torch.inference_mode():
                step = AudioTokens.from_codes(self.spec, block.codes[None])
                step.scales = None if block.scales is None else block.scales[None]
                wave, state = self.codec.decode_step(step, state, final=block.last)
            if block.last:
                # Segments overlap, so their frames do not tell how much they hold; what they decode to does.
                whole = given + wave.shape[-1] if self.spec.segment else frames * self.spec.hop_length
                excess = (whole + block.padding) % self.spec.hop_length
                wave = wave[..., : max(0, whole - excess - given)]
            given += wave.shape[-1]
            yield wave[0]

    def _heard(self, source: str | Path | BinaryIO) -> Iterator[Tensor]:
        """Mono blocks [1, n] at the codec's rate."""
        if isinstance(source, str | Path):
            return audio.blocks(source, self.spec.sample_rate, BLOCK_SECONDS)
        return wavpipe.read(source, PIPE, self.spec.sample_rate, PIPED_SECONDS)

    @contextmanager
    def _to_hear(self, target: str | Path | BinaryIO):
        """A function that takes the next wave [C, n]."""
        rate, channels = self.spec.sample_rate, self.spec.channels
        if isinstance(target, str | Path):
            with audio.writer(target, rate, channels) as write:
                yield write
            return
        target.write(wavpipe.header(rate, channels))

        def send(wave: Tensor) -> None:
            target.write(audio.to_bytes(wave, rate, "RAW", "PCM_16"))
            target.flush()

        yield send


@contextmanager
def _to_write(target: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(target, str | Path):
        with whole(check_writable(target)) as staging, staging.open("wb") as file:
            yield file
    else:
        yield target


@contextmanager
def _to_read(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(source, str | Path):
        yield source
        return
    try:
        file = Path(source).open("rb")
    except OSError as error:
        raise AudiogenError(f"cannot read {source}: {error.strerror}") from None
    with file:
        yield file


def _name(source: str | Path | BinaryIO) -> str:
    return str(source) if isinstance(source, str | Path) else PIPE


def _with_final(blocks: Iterator[Tensor]) -> Iterator[tuple[Tensor, bool]]:
    """Each block, and whether it is the last."""
    previous = None
    for block in blocks:
        if previous is not None:
            yield previous, False
        previous = block
    if previous is not None:
        yield previous, True
