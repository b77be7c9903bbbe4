"""Files of codes: they come back, and nothing that is done to them does more than raise a clear error."""

import io
import struct
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from audiogen.errors import AudiogenError
from audiogen.infer.container import BLOCK_HEAD, LAST, MAX_FRAMES, CodesBlock, read_blocks, write_blocks
from audiogen.nn.quantize import ResidualVectorQuantizer
from audiogen.protocols import CodecSpec


class Tiny(nn.Module):
    """What the container looks at in a codec."""

    def __init__(self, seed: int = 0, name: str = "tiny") -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.spec = CodecSpec(name, 8000, 80, num_codebooks=3, codebook_size=16)
        self.quantizer = ResidualVectorQuantizer(3, 16, 4)


class Watched(io.BytesIO):
    """A file that is never asked for more than a block can hold."""

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= 4 * 3 * MAX_FRAMES + 64
        return super().read(size)


@pytest.fixture(scope="module")
def codec() -> Tiny:
    return Tiny()


def blocks_of(codec: Tiny, *frames: int, kept: int = 3) -> list[CodesBlock]:
    generator = torch.Generator().manual_seed(0)
    last = len(frames) - 1
    return [
        CodesBlock(torch.randint(16, (kept, count), generator=generator), i == last, 79 if i == last else 0)
        for i, count in enumerate(frames)
    ]


def written(codec: Tiny, blocks: list[CodesBlock], kept: int = 3) -> bytes:
    file = io.BytesIO()
    assert write_blocks(file, codec, kept, blocks) == len(file.getvalue())
    return file.getvalue()


def read(codec: Tiny, data: bytes) -> list[CodesBlock]:
    return list(read_blocks(Watched(data), codec, "a.agc"))


@pytest.mark.parametrize("frames", [(1,), (5, 7), (3, 0), (0, 4), (2, MAX_FRAMES + 3)])
@pytest.mark.parametrize("kept", [1, 3])
def test_blocks_come_back(codec: Tiny, frames: tuple[int, ...], kept: int):
    blocks = blocks_of(codec, *frames, kept=kept)
    back = read(codec, written(codec, blocks, kept))
    assert torch.equal(torch.cat([b.codes for b in back], 1), torch.cat([b.codes for b in blocks], 1))
    assert [b.last for b in back] == [False] * (len(back) - 1) + [True] and back[-1].padding == 79


def test_a_block_is_read_before_the_next_is_written(codec: Tiny):
    seen = []

    class Pipe(io.BytesIO):
        def write(self, data: bytes) -> int:
            seen.append(len(data))
            return super().write(data)

    def live():
        for number, block in enumerate(blocks_of(codec, 4, 4, 4)):
            assert len(seen) == number + 1  # the header, and a write for each block before
            yield block

    write_blocks(Pipe(), codec, 3, live())


def test_the_layout_is_the_documented_one(codec: Tiny):
    data = written(codec, blocks_of(codec, 2))
    assert data[:9] == b"AGC2\x04tiny" and data[17:19] == b"\x03\x00"
    assert data[19:23] == struct.pack("<I", zlib.crc32(data[:19]))
    frames, padding, length = struct.unpack_from("<HHI", data, 23)
    assert (frames, padding) == (2 | LAST, 79)
    assert data[31 + length :] == struct.pack("<I", zlib.crc32(data[23 : 31 + length]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: b"", "not a file of codes"),
        (lambda d: b"RIFF" + d, "not a file of codes"),
        (lambda d: b"AGC9" + d[4:], "version b'9'"),
        (lambda d: d[:10], "cut short"),
        (lambda d: d[:-1], "cut short"),
        (lambda d: d[:30], "cut short"),
        (lambda d: d + b"x", "follows its last block"),
        (lambda d: d[:40] + bytes([d[40] ^ 1]) + d[41:], "checksum"),
    ],
)
def test_what_is_wrong_is_said(codec: Tiny, change, said: str):
    with pytest.raises(AudiogenError, match=said):
        read(codec, change(written(codec, blocks_of(codec, 20))))


def test_codes_of_other_codecs_are_refused(codec: Tiny):
    data = written(codec, blocks_of(codec, 20))
    with pytest.raises(AudiogenError, match="another codec 'tiny'"):
        read(Tiny(seed=1), data)
    with pytest.raises(AudiogenError, match="made by a codec 'tiny'; the one in use is 'other'"):
        read(Tiny(name="other"), data)


def resealed(data: bytes, head: bytes, payload: bytes) -> bytes:
    """The file's header, then a block with a right checksum, whatever it says."""
    return data[:23] + head + payload + struct.pack("<I", zlib.crc32(head + payload))


@pytest.mark.parametrize(
    ("frames", "padding", "length"),
    [(MAX_FRAMES + 1, 0, 10), (1, 0, 2**32 - 1), (1, 80, 4), (1, 1, 4), (0, 0, 65), (LAST | 1, 80, 4)],
)
def test_lying_lengths_are_refused_before_anything_is_made(codec: Tiny, frames: int, padding: int, length: int):
    data = written(codec, blocks_of(codec, 20))
    tracemalloc.start()
    with pytest.raises(AudiogenError, match="damaged"):
        read(codec, resealed(data, BLOCK_HEAD.pack(frames, padding, length), b"x" * min(length, 100)))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.fixture(scope="module")
def segmented() -> Tiny:
    codec = Tiny()
    codec.spec = replace(codec.spec, segment=160, segment_stride=152)
    return codec


@pytest.mark.parametrize("form", ["codec", "segmented"])
def test_ten_thousand_mutations_are_read_or_refused(form: str, request: pytest.FixtureRequest):
    """Bytes changed, cut out, put in and repeated; half of the blocks sealed again, so that what they hold is read."""
    codec = request.getfixturevalue(form)
    scales = torch.ones(1) if codec.spec.segment else None
    data = written(codec, [replace(block, scales=scales) for block in blocks_of(codec, 3, 2, 1)])
    rng, refused = np.random.default_rng(0), 0
    for _ in range(5_000):
        mutated = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at, size = int(rng.integers(len(mutated))), int(rng.integers(1, 9))
            kind = rng.integers(4)
            if kind == 0:
                mutated[at] ^= 1 << int(rng.integers(8))
            elif kind == 1:
                del mutated[at : at + size]
            elif kind == 2:
                mutated[at:at] = rng.bytes(size)
            else:
                mutated[at : at + size] = rng.choice([b"\0", b"\xff"]) * size
            if not mutated:
                break
        if rng.integers(2):
            mutated[:23] = data[:23]
            payload = bytes(mutated[31:40])
            mutated = bytearray(resealed(data, bytes(mutated[23:31]).ljust(8, b"\0"), payload)) + mutated[44:]
        try:
            for block in read(codec, bytes(mutated)):
                assert block.codes.shape[0] == 3 and block.codes.shape[1] <= MAX_FRAMES
                assert not len(block.codes[0]) or (block.codes.min() >= 0 and block.codes.max() < 16)
        except AudiogenError:
            refused += 1
    assert refused > 2_500


def test_scales_of_segments_come_back_with_the_first_part_of_their_block(segmented: Tiny):
    first, second = blocks_of(segmented, MAX_FRAMES + 3, 2)
    blocks = [replace(first, scales=torch.tensor([0.5, 1e-8, 3.0])), replace(second, scales=torch.tensor([0.25]))]
    back = read(segmented, written(segmented, blocks))
    assert [block.scales.tolist() for block in back] == [[0.5, torch.tensor(1e-8).item(), 3.0], [], [0.25]]
    assert torch.equal(torch.cat([b.codes for b in back], 1), torch.cat([b.codes for b in blocks], 1))


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "cut short"),
        (b"\x01", "cut short"),
        (b"\x02\x00" + struct.pack("<f", 1), "cut short"),
        (b"\xff\xff" + bytes(16), "cut short"),
        (b"\x01\x00" + struct.pack("<f", float("nan")), "no loudness"),
        (b"\x01\x00" + struct.pack("<f", -1), "no loudness"),
    ],
)
def test_scales_that_are_none_are_refused(segmented: Tiny, payload: bytes, said: str):
    data = written(segmented, [replace(blocks_of(segmented, 1)[0], scales=torch.ones(1))])
    with pytest.raises(AudiogenError, match=said):
        read(segmented, resealed(data, BLOCK_HEAD.pack(1 | LAST, 0, len(payload)), payload))
