"""The file format `.agc`, version 2: entropy-coded codes in a stream of checked blocks. All numbers are little-endian.

    header:  magic "AGC2"
             uint8   length of the codec's name, then the name in ASCII
             8 bytes fingerprint of what gives the codes their meaning (`fingerprint`)
             uint16  codebooks kept
             uint32  CRC-32 of all of this
    block:   uint16  frames, at most 4,096; the highest bit marks the last block
             uint16  in the last block, samples of its last frame that are padding; else 0
             uint32  bytes that follow, at most 4 for each code and 64 more, besides the scales
             scales  only of a codec in segments: uint16 how many, at most 4,096, and each as a float32, the loudness
                     of a segment that begins in this block or, where a block was cut for its size, in the next ones
             bytes   the codes, as `coding.CodesCoder` writes them
             uint32  CRC-32 of all of this

A stream is written and read through a pipe, a block at a time: nothing needs to be known ahead or held longer. What a
reader allocates is bounded by the limits above, whatever the lengths in a file say; a checksum is verified before
anything is decoded.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.infer.coding import CodesCoder

MAGIC = b"AGC2"
FINGERPRINT_BYTES = 8
MAX_FRAMES = MAX_SCALES = 4096
LAST = 1 << 15
BLOCK_HEAD, COUNT, CHECKSUM = struct.Struct("<HHI"), struct.Struct("<H"), struct.Struct("<I")


@dataclass(frozen=True)
class CodesBlock:
    """Consecutive frames.

    Attributes:
        codes: int64 [K, T].
        last: Whether they end the stream.
        padding: How many samples of the last frame of the stream are none of the sound.
        scales: Loudness [S] of the segments that begin here, from a codec in segments.
    """

    codes: Tensor
    last: bool = False
    padding: int = 0
    scales: Tensor | None = None


def fingerprint(codec: nn.Module) -> bytes:
    """A hash of what gives a codec's codes their meaning: its learnt codebooks, or all weights where it has none."""
    tensors = codec.state_dict()
    codebooks = [tensor for name, tensor in tensors.items() if name.startswith("quantizer.")]
    spec = codec.spec
    digest = hashlib.sha256(repr((spec.sample_rate, spec.hop_length, spec.codebook_size)).encode())
    for tensor in codebooks or tensors.values():
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.digest()[:FINGERPRINT_BYTES]


def code_vectors(codec: nn.Module) -> Tensor | None:
    """The vectors [K, codebook_size, D] that a codec's codes stand for, where they are those of a quantiser."""
    return codec.quantizer.vectors if hasattr(codec, "quantizer") else None


def write_blocks(file: BinaryIO, codec: nn.Module, codebooks: int, blocks: Iterable[CodesBlock]) -> int:
    """Write the header and then each block as it comes; returns the bytes written."""
    name = codec.spec.name.encode("ascii")
    head = MAGIC + struct.pack("<B", len(name)) + name + fingerprint(codec) + struct.pack("<H", codebooks)
    written, coder = _write_checked(file, head), codes_coder(codec, codebooks)
    for block in blocks:
        for part in _within_limit(block):
            payload = b"" if part.scales is None else _scales_to_bytes(part.scales)
            payload += coder.encode(part.codes.numpy()) if part.codes.shape[1] else b""
            head = BLOCK_HEAD.pack(part.codes.shape[1] | LAST * part.last, part.padding, len(payload))
            written += _write_checked(file, head + payload)
    return written


def read_blocks(file: BinaryIO, codec: nn.Module, name: str) -> Iterator[CodesBlock]:
    """The blocks of a stream as they come.

    Args:
        file: What `write_blocks` wrote.
        codec: The codec that wrote it.
        name: What to call the file in errors.

    Raises:
        AudiogenError: If it is no such file, if it is damaged or cut, or if it comes from another codec.
    """
    codebooks, hop_length = _read_head(file, codec, name), codec.spec.hop_length
    coder = codes_coder(codec, codebooks)
    for number in range(1, 1 << 62):
        where = f"{name}, block {number}"
        head = _exactly(file, BLOCK_HEAD.size, where)
        marked, padding, length = BLOCK_HEAD.unpack(head)
        frames, last = marked & ~LAST, bool(marked & LAST)
        limit = 4 * codebooks * frames + 64 + (COUNT.size + 4 * MAX_SCALES) * bool(codec.spec.segment)
        if frames > MAX_FRAMES or length > limit or padding >= max(1, hop_length * last):
            raise AudiogenError(f"{where} is damaged: {frames} frames in {length} bytes with padding {padding}")
        payload = _exactly(file, length, where)
        _check_sum(file, head + payload, where)
        scales, payload = _scales_from_bytes(payload, where) if codec.spec.segment else (None, payload)
        codes = coder.decode(payload, frames)
        yield CodesBlock(torch.from_numpy(codes), last, padding, scales)
        if last:
            if file.read(1):
                raise AudiogenError(f"{name} is damaged: something follows its last block")
            return


def _read_head(file: BinaryIO, codec: nn.Module, name: str) -> int:
    """The number of codebooks kept, once the header has proved to be of this codec."""
    magic = file.read(len(MAGIC))
    if magic[:3] == MAGIC[:3] and magic != MAGIC:
        raise AudiogenError(f"{name} is of version {magic[3:]!r} of the format; this release reads {MAGIC[3:]!r}")
    if magic != MAGIC:
        raise AudiogenError(f"{name} is not a file of codes that 'audiogen codec encode' wrote")
    size = _exactly(file, 1, name)
    rest = _exactly(file, size[0] + FINGERPRINT_BYTES + 2, name)
    _check_sum(file, magic + size + rest, name)
    made_by, print_ = rest[: size[0]].decode("ascii", "replace"), rest[size[0] : -2]
    if made_by != codec.spec.name:
        raise AudiogenError(f"{name} was made by a codec {made_by!r}; the one in use is {codec.spec.name!r}")
    if print_ != fingerprint(codec):
        raise AudiogenError(f"{name} was made by another codec {made_by!r} than the one in use; give its --model")
    codebooks = int.from_bytes(rest[-2:], "little")
    if not 1 <= codebooks <= codec.spec.num_codebooks:
        raise AudiogenError(f"{name} is damaged: {codebooks} codebooks, of a codec that has {codec.spec.num_codebooks}")
    return codebooks


def codes_coder(codec: nn.Module, codebooks: int) -> CodesCoder:
    """What writes or reads one stream of the first `codebooks` codebooks of a codec."""
    vectors = code_vectors(codec)
    values = None if vectors is None else vectors.detach().float().cpu().numpy().astype(np.float32)
    return CodesCoder(codebooks, codec.spec.codebook_size, values)


def _within_limit(block: CodesBlock) -> Iterator[CodesBlock]:
    """A block in parts of at most `MAX_FRAMES` frames, the first with all the scales; none for nothing."""
    parts, scales = block.codes.split(MAX_FRAMES, dim=1), block.scales
    for number, codes in enumerate(parts, start=1):
        last = block.last and number == len(parts)
        if codes.shape[1] or last:
            yield CodesBlock(codes, last, block.padding * last, scales)
        scales = None if scales is None else scales[:0]


def _scales_to_bytes(scales: Tensor) -> bytes:
    return COUNT.pack(len(scales)) + scales.detach().cpu().numpy().astype("<f4").tobytes()


def _scales_from_bytes(payload: bytes, where: str) -> tuple[Tensor, bytes]:
    """The scales [S] that a payload begins with, and the rest of it."""
    count = COUNT.unpack(payload[: COUNT.size])[0] if len(payload) >= COUNT.size else MAX_SCALES + 1
    end = COUNT.size + 4 * count
    if count > MAX_SCALES or end > len(payload):
        raise AudiogenError(f"{where} is damaged: its segments' scales are cut short")
    scales = np.frombuffer(payload[COUNT.size : end], "<f4").astype(np.float32)
    if not (np.isfinite(scales).all() and (scales >= 0).all()):
        raise AudiogenError(f"{where} is damaged: a segment's scale is no loudness")
    return torch.from_numpy(scales), payload[end:]


def _write_checked(file: BinaryIO, data: bytes) -> int:
    """Write `data` and its checksum; returns the bytes written."""
    file.write(data + CHECKSUM.pack(zlib.crc32(data)))
    file.flush()
    return len(data) + CHECKSUM.size


def _check_sum(file: BinaryIO, data: bytes, where: str) -> None:
    if _exactly(file, CHECKSUM.size, where) != CHECKSUM.pack(zlib.crc32(data)):
        raise AudiogenError(f"{where} is damaged: its checksum is wrong")


def _exactly(file: BinaryIO, size: int, where: str) -> bytes:
    """The next `size` bytes. Buffered pipes give less only at their end."""
    data = file.read(size)
    if len(data) < size:
        raise AudiogenError(f"{where} is cut short: {size} bytes wanted, {len(data)} there")
    return data
