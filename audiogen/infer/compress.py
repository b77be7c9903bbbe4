"""Sound files to files of codes and back: `.agc`, a safetensors file of int16 codes with the codec's spec beside them.

Long recordings go through in blocks, so memory does not grow with them while encoding; by the codec's streaming rule
the codes are the same as those of the whole file.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from audiogen import audio
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.files import check_writable, whole
from audiogen.protocols import AudioTokens, CodecSpec

FORMAT = "audiogen codes 1"
BLOCK_SECONDS = 10.0


@dataclass(frozen=True)
class CodedFile:
    """What was coded.

    Attributes:
        seconds: Length of the sound.
        codebooks: How many codebooks are kept.
        bits_per_second: What the codes amount to, log2(codebook_size) bits each.
    """

    seconds: float
    codebooks: int
    bits_per_second: float


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
        kept = self.spec.num_codebooks if codebooks is None else codebooks
        if not 1 <= kept <= self.spec.num_codebooks:
            raise AudiogenError(f"{kept} codebooks asked for; this codec has 1 to {self.spec.num_codebooks}")
        state, parts, samples = self.codec.init_state(1), [], 0
        with torch.inference_mode():
            for block, final in _with_final(audio.blocks(source, self.spec.sample_rate, BLOCK_SECONDS)):
                tokens, state = self.codec.encode_step(block[None], state, final=final)
                parts.append(tokens.codes[:, :kept])
                samples += block.shape[-1]
        if not samples:
            raise AudiogenError(f"{source} is damaged: no samples can be read from it")
        tokens = AudioTokens.from_codes(self.spec, torch.cat(parts, dim=-1))
        tokens.num_samples = torch.tensor([samples])
        return tokens

    def decode(self, tokens: AudioTokens) -> Tensor:
        """Wave [1, N] at the codec's rate."""
        block = round(BLOCK_SECONDS * self.spec.frame_rate)
        state, parts = self.codec.init_state(1), []
        pieces = tokens.codes.split(block, dim=-1)
        with torch.inference_mode():
            for number, codes in enumerate(pieces, start=1):
                step = AudioTokens.from_codes(self.spec, codes)
                wave, state = self.codec.decode_step(step, state, final=number == len(pieces))
                parts.append(wave[0])
        return torch.cat(parts, dim=-1)[:, : int(tokens.num_samples[0])]

    def encode_file(self, source: str | Path, target: str | Path, codebooks: int | None = None) -> CodedFile:
        """Encode the sound file `source` into the `.agc` file `target`."""
        check_writable(target)
        tokens = self.encode(source, codebooks)
        with whole(target) as staging:
            metadata = {
                "format": FORMAT,
                "spec": json.dumps(self.spec.to_dict()),
                "num_samples": str(int(tokens.num_samples[0])),
            }
            save_file({"codes": tokens.codes[0].to(torch.int16).contiguous()}, staging, metadata)
        return self._coded(tokens)

    def decode_file(self, source: str | Path, target: str | Path) -> CodedFile:
        """Decode the `.agc` file `source` into the sound file `target`.

        Raises:
            AudiogenError: If `source` is no such file, is damaged, or comes from another codec.
        """
        audio.check_target(target)
        tokens = self._read(Path(source))
        audio.write(target, self.decode(tokens), self.spec.sample_rate)
        return self._coded(tokens)

    def _read(self, path: Path) -> AudioTokens:
        if not path.is_file():
            raise AudiogenError(f"{path}: no such file")
        try:
            with safe_open(path, framework="pt") as file:
                metadata, codes = file.metadata() or {}, file.get_tensor("codes")
            spec, num_samples = json.loads(metadata.get("spec", "null")), int(metadata.get("num_samples", -1))
        except (SafetensorError, OSError, ValueError) as error:
            raise AudiogenError(f"{path} is not a file of codes that 'audiogen codec encode' wrote: {error}") from None
        if metadata.get("format") != FORMAT:
            raise AudiogenError(f"{path} has the format {metadata.get('format')!r}; this release reads {FORMAT!r}")
        if spec != self.spec.to_dict():
            raise AudiogenError(f"{path} was made by the codec {spec}; the one in use is {self.spec.to_dict()}")
        self._check_codes(path, codes, num_samples)
        tokens = AudioTokens.from_codes(self.spec, codes[None].long())
        tokens.num_samples = torch.tensor([num_samples])
        return tokens

    def _check_codes(self, path: Path, codes: Tensor, num_samples: int) -> None:
        spec = self.spec
        if codes.dim() != 2 or codes.dtype != torch.int16 or not 1 <= len(codes) <= spec.num_codebooks:
            wanted = f"int16 of 1 to {spec.num_codebooks} codebooks"
            raise AudiogenError(f"{path} is damaged: its codes are {codes.dtype} {list(codes.shape)}, not {wanted}")
        if codes.shape[1] != spec.num_frames(num_samples) or num_samples < 1:
            raise AudiogenError(f"{path} is damaged: {codes.shape[1]} frames do not make {num_samples} samples")
        if codes.min() < 0 or codes.max() >= spec.codebook_size:
            raise AudiogenError(f"{path} is damaged: it holds codes outside 0 to {spec.codebook_size - 1}")

    def _coded(self, tokens: AudioTokens) -> CodedFile:
        codebooks = tokens.codes.shape[1]
        bits = Fraction((self.spec.codebook_size - 1).bit_length() * codebooks) * self.spec.frame_rate
        return CodedFile(int(tokens.num_samples[0]) / self.spec.sample_rate, codebooks, float(bits))


def _with_final(blocks: Iterator[Tensor]) -> Iterator[tuple[Tensor, bool]]:
    """Each block, and whether it is the last."""
    previous = None
    for block in blocks:
        if previous is not None:
            yield previous, False
        previous = block
    if previous is not None:
        yield previous, True
