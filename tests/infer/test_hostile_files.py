"""Files of codes of every kind of codec, damaged and forged: decoded or refused, reading no more than a block holds."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch

from audiogen import audio, codecs, registry  # noqa: F401
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer import container
from audiogen.infer.compress import FileCodec
from audiogen.infer.container import BLOCK_HEAD, CHECKSUM, LAST, read_blocks

LONGEST = 48  # frames in a block, instead of 4,096: a forged number of them is decoded soon
SMALL = {"n_fft": 64, "num_mels": 8, "decoder_dim": 8, "decoder_depth": 1, "kernel_size": 3}
CODES = {"num_codebooks": 2, "codebook_size": 16}
NETWORK = {"ratios": [3, 2], "filters": 2, "latent_dim": 4}
AHEAD = {"network": {**NETWORK, "causal": False, "pad_mode": "constant"}}
SEGMENTS = {"network": {**NETWORK, "causal": False, "time_norm": True}, "segment": 120, "segment_stride": 114}
ENCODER = {"encoder_dim": 8, "encoder_depth": 1, "latent_dim": 4}
MAGNITUDES = {"hop_length": 16, "n_fft": 48, "decoder_dim": 8, "decoder_depth": 1, **ENCODER}
KINDS = {
    "magnitude_rvq": {**MAGNITUDES, **CODES},
    "encodec": {"network": NETWORK, **CODES},
    "encodec, seeing ahead": {**AHEAD, **CODES},
    "encodec_segmented": {**SEGMENTS, **CODES},
    "semantic_rvq": {**SMALL, **ENCODER, "hop_length": 16, **CODES},
    "sq_codec": {"init_channel": 2, "latent_hidden_dim": 4, "downsample_factors": [2, 3], "res_kernel_size": 3},
    "pcm": {"levels": 16},
}


class Watched(io.BytesIO):
    """A file that is never asked for more than a block of `LONGEST` frames can hold, however long it says it is."""

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= 4 * 4 * LONGEST + 64 + 2 + 4 * container.MAX_SCALES
        return super().read(size)


@pytest.fixture(params=KINDS)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FileCodec:
    monkeypatch.setattr(container, "MAX_FRAMES", LONGEST)
    monkeypatch.setattr(container, "MAX_SCALES", LONGEST)
    return built(request.param.split(",")[0], KINDS[request.param])


def built(name: str, config: dict) -> FileCodec:
    torch.manual_seed(0)
    return FileCodec(Bundle("codec", name, config, model=registry.build("codec", name, config).eval()))


def written(codec: FileCodec) -> bytes:
    """A file of three blocks or more."""
    samples = min(100, 2 * LONGEST + 1) if codec.spec.hop_length == 1 else 300
    wave = 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        tokens = codec.codec.encode(wave.expand(codec.spec.channels, -1)[None])
    first = tokens.codes.shape[-1] // 2
    scales = [None, None] if tokens.scales is None else [tokens.scales[0, :1], tokens.scales[0, 1:]]
    file, padding = io.BytesIO(), -samples % codec.spec.hop_length
    blocks = [
        container.CodesBlock(tokens.codes[0, :, :first], scales=scales[0]),
        container.CodesBlock(tokens.codes[0, :, first:], True, padding, scales[1]),
    ]
    container.write_blocks(file, codec.codec, codec.spec.num_codebooks, blocks)
    return file.getvalue()


def parts(data: bytes, codec: FileCodec) -> list[bytes]:
    """The header and the blocks of a file, without their checksums."""
    at = 5 + len(codec.spec.name) + container.FINGERPRINT_BYTES + 2
    found = [data[:at]]
    while (at := at + CHECKSUM.size) < len(data):
        size = BLOCK_HEAD.size + BLOCK_HEAD.unpack_from(data, at)[2]
        found.append(data[at : at + size])
        at += size
    return found


def sealed(found: list[bytes]) -> bytes:
    return b"".join(part + CHECKSUM.pack(zlib.crc32(part)) for part in found)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` with one to three bits changed, or bytes cut out, put in or overwritten."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, size = int(rng.integers(len(changed) + 1)), int(rng.integers(1, 9))
        kind = rng.integers(4)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del changed[at : at + size]
        elif kind == 2:
            changed[at:at] = rng.bytes(size)
        else:
            changed[at : at + size] = rng.choice([b"\0", b"\xff"]) * size
    return bytes(changed)


def forged(found: list[bytes], rng: np.random.Generator) -> bytes:
    """A file one of whose blocks is mutated and then sealed, mostly with its right length: what it holds is decoded."""
    found = list(found)
    number = int(rng.integers(1, len(found)))
    block = bytearray(mutated(found[number], rng).ljust(BLOCK_HEAD.size, b"\0"))
    if rng.integers(4):
        struct.pack_into("<I", block, 4, len(block) - BLOCK_HEAD.size)
    found[number] = bytes(block)
    return sealed(found)


def decoded(codec: FileCodec, data: bytes) -> np.ndarray | None:
    """The 16-bit samples that a file is decoded to, or None if it is refused."""
    heard = io.BytesIO()
    try:
        codec.decode_file(Watched(data), heard)
    except AudiogenError:
        return None
    return np.frombuffer(heard.getvalue()[44:], "<i2")


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutations_are_decoded_or_refused(codec: FileCodec, count: int):
    data, rng = written(codec), np.random.default_rng(0)
    found, refused = parts(data, codec), 0
    assert len(found) >= 3 and sealed(found) == data and decoded(codec, data) is not None
    for number in range(count):
        heard = decoded(codec, forged(found, rng) if number % 2 else mutated(data, rng))
        refused += heard is None
        assert heard is None or len(heard) <= LONGEST * len(found) * codec.spec.hop_length * codec.spec.channels
    assert count / 3 < refused < count  # some forgeries are codes like any others


@pytest.mark.parametrize("frames", [LONGEST + 1, LAST - 1, 1])
def test_lengths_that_lie_are_refused_before_anything_is_read(codec: FileCodec, frames: int):
    head = parts(written(codec), codec)[0]
    block = BLOCK_HEAD.pack(frames | LAST, 0, 2**32 - 1)
    with pytest.raises(AudiogenError, match=f"damaged: {frames} frames in"):
        list(read_blocks(Watched(sealed([head, block])), codec.codec, "a.agc"))


@pytest.mark.parametrize(
    ("name", "config"),
    [("mel_vocoder", {**SMALL, "hop_length": 16}), ("mel_latents", {**SMALL, **ENCODER, "frame_hop": 16})],
)
def test_latents_are_no_codes_to_write_or_read(name: str, config: dict):
    codec = built(name, config)
    sound = io.BytesIO(audio.to_bytes(torch.zeros(1, 100), 24_000, "WAV", "PCM_16"))
    with pytest.raises(AudiogenError, match="makes latents, not codes"):
        codec.encode_file(sound, io.BytesIO())
    head = b"AGC2" + bytes([len(name)]) + name.encode() + container.fingerprint(codec.codec) + b"\x01\0"
    with pytest.raises(AudiogenError, match="1 codebooks, of a codec that has 0"):
        codec.decode_file(Watched(sealed([head])), io.BytesIO())
