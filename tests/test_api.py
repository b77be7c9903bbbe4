"""Models by name, and files of codes."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import audiogen
from audiogen import AudiogenError, audio, checkpoint, registry
from audiogen.checkpoint import Bundle
from audiogen.infer.compress import FileCodec
from audiogen.infer.listen import Listener
from audiogen.infer.speak import Speaker


def test_import_is_instant_and_needs_no_torch():
    code = "import audiogen, sys; audiogen.AudiogenError; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_unknown_attributes_are_errors():
    with pytest.raises(AttributeError, match="laod"):
        _ = audiogen.laod


def test_models_are_loaded_by_what_they_do(tiny_voice_bundle: Path, tiny_recognizer_bundle: Path):
    assert isinstance(audiogen.load("tiny-voice"), Speaker)
    assert isinstance(audiogen.load(tiny_recognizer_bundle), Listener)
    assert isinstance(audiogen.load("tiny-codec", kind="codec"), FileCodec)


def test_a_voice_speaks_through_the_codec_beside_it(tiny_voice_bundle: Path, monkeypatch):
    monkeypatch.delenv("AUDIOGEN_BUNDLES")
    assert audiogen.load(tiny_voice_bundle).synthesize("Hi.").sample_rate == 24_000


@pytest.mark.parametrize(("part", "serves"), [("decoder", True), ("encoder", False), ("quantizer", False)])
def test_a_voice_outlives_its_codecs_decoder_but_not_its_codes(
    part: str, serves: bool, tiny_voice_bundle: Path, tiny_codec_bundle: Path
):
    codec = checkpoint.load_bundle(tiny_codec_bundle)
    next(iter(codec.model.get_submodule(part).state_dict().values())).add_(0.1)
    checkpoint.save_bundle(tiny_codec_bundle, codec)
    if serves:
        assert isinstance(audiogen.load("tiny-voice"), Speaker)
    else:
        with pytest.raises(AudiogenError, match="another codec"):
            audiogen.load("tiny-voice")


def test_models_are_listed(tiny_voice_bundle: Path):
    voice = next(info for info in audiogen.list_models() if info.name == "tiny-voice")
    assert (voice.kind, voice.languages, voice.licence) == ("acoustic", ("en",), "CC0-1.0")
    assert voice.size > 10_000


def test_a_model_that_others_use_is_not_loaded_by_itself():
    with pytest.raises(AudiogenError, match="used by other models"):
        audiogen.load("g2p-en")


@pytest.fixture
def codec(tiny_codec_bundle: Path) -> FileCodec:
    return audiogen.load(tiny_codec_bundle)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """2.5 s of noise at 24 kHz."""
    path = tmp_path / "noise.wav"
    audio.write(path, 0.1 * torch.randn(1, 60_000, generator=torch.Generator().manual_seed(0)), 24_000)
    return path


def test_a_file_coded_in_blocks_is_the_file_coded_whole(codec: FileCodec, sound: Path, monkeypatch):
    whole = codec.encode(sound)
    monkeypatch.setattr("audiogen.infer.compress.BLOCK_SECONDS", 0.37)
    blocks = codec.encode(sound)
    torch.testing.assert_close(blocks.codes, whole.codes)
    assert blocks.codes.shape == (1, 4, 188) and blocks.num_samples == 60_000
    in_blocks = codec.decode(blocks)
    with torch.inference_mode():
        torch.testing.assert_close(in_blocks, codec.codec.decode(whole)[0], atol=1e-5, rtol=0)
    assert in_blocks.shape == (1, 60_000)


def test_files_of_codes_come_back_as_they_were(codec: FileCodec, sound: Path, tmp_path: Path):
    coded = codec.encode_file(sound, tmp_path / "a.agc", codebooks=2)
    assert (coded.seconds, coded.codebooks, coded.bytes) == (2.5, 2, (tmp_path / "a.agc").stat().st_size)
    assert coded.bits_per_second == 8 * coded.bytes / 2.5 < 1.2 * 2 * 5 * 75  # random weights: nothing to save
    codec.decode_file(tmp_path / "a.agc", tmp_path / "back.wav")
    expected = codec.decode(codec.encode(sound, 2)).clamp(-1, 1)
    torch.testing.assert_close(audio.read(tmp_path / "back.wav"), expected, atol=1e-4, rtol=0)


def test_through_pipes_codes_are_those_of_the_file(codec: FileCodec, sound: Path, tmp_path: Path):
    codec.encode_file(sound, tmp_path / "a.agc")
    codec.decode_file(tmp_path / "a.agc", tmp_path / "a.wav")
    codes, back = io.BytesIO(), io.BytesIO()
    with sound.open("rb") as file:
        coded = codec.encode_file(file, codes)
    assert (coded.seconds, coded.bytes) == (2.5, len(codes.getvalue()))
    codes.seek(0)
    assert codec.decode_file(codes, back) == 2.5
    samples = np.frombuffer(back.getvalue()[44:], "<i2") / 32768
    np.testing.assert_allclose(samples, audio.read(tmp_path / "a.wav")[0].numpy(), atol=1e-4)


def test_codes_of_more_than_a_recording_may_be_long_are_refused(codec: FileCodec, sound: Path, tmp_path, monkeypatch):
    codec.encode_file(sound, tmp_path / "a.agc")
    monkeypatch.setattr(audio, "MAX_MINUTES", 2 / 60)
    with pytest.raises(AudiogenError, match="more than"):
        codec.decode_file(tmp_path / "a.agc", tmp_path / "back.wav")
    assert not (tmp_path / "back.wav").exists()


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("sq_codec", {"init_channel": 2, "latent_hidden_dim": 4, "downsample_factors": [2, 3]}),
        ("pcm", {"sample_rate": 4000, "levels": 16}),
    ],
)
def test_other_codecs_write_files_too(name: str, config: dict, sound: Path, tmp_path: Path, monkeypatch):
    torch.manual_seed(0)
    other = FileCodec(Bundle("codec", name, config, model=registry.build("codec", name, config).eval()))
    audio.write(tmp_path / "short.wav", audio.read(sound)[:, :3000], 24_000)
    whole = other.decode(other.encode(tmp_path / "short.wav"))
    other.encode_file(tmp_path / "short.wav", tmp_path / "a.agc")
    other.decode_file(tmp_path / "a.agc", tmp_path / "back.wav")
    torch.testing.assert_close(audio.read(tmp_path / "back.wav"), whole.clamp(-1, 1), atol=1e-4, rtol=0)


SEGMENTED = {
    "sample_rate": 8_000,
    "num_codebooks": 2,
    "codebook_size": 16,
    "segment": 800,
    "segment_stride": 792,
    "network": {"channels": 2, "causal": False, "time_norm": True, "ratios": [2, 2], "filters": 2, "latent_dim": 4},
}


@pytest.mark.parametrize("samples", [1, 790, 793, 801, 9_001])
def test_a_codec_in_segments_codes_files(samples: int, tmp_path: Path, monkeypatch):
    """Its scales are in the file; blocks of 0.3 s end anywhere in a segment."""
    monkeypatch.setattr("audiogen.infer.compress.BLOCK_SECONDS", 0.3)
    torch.manual_seed(0)
    model = registry.build("codec", "encodec_segmented", SEGMENTED).eval()
    codec = FileCodec(Bundle("codec", "encodec_segmented", SEGMENTED, model=model))
    wave = 0.3 * torch.randn(1, samples)
    audio.write(tmp_path / "a.wav", wave, 8_000)
    codec.encode_file(tmp_path / "a.wav", tmp_path / "a.agc")
    codec.decode_file(tmp_path / "a.agc", tmp_path / "b.wav")
    tokens = codec.encode(tmp_path / "a.wav")
    with torch.inference_mode():
        heard = audio.read(tmp_path / "a.wav").expand(2, -1)[None]
        whole = model.encode(heard)
        assert torch.equal(tokens.codes, whole.codes) and torch.equal(tokens.scales, whole.scales)
        expected = model.decode(whole)[0]
    assert int(tokens.num_samples) == samples and codec.decode(tokens).shape == (2, samples)
    back = audio.read(tmp_path / "b.wav", mono=False)
    torch.testing.assert_close(back, expected.clamp(-1, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("codebooks", [0, 5, -1])
def test_codebooks_the_codec_lacks_are_refused(codec: FileCodec, sound: Path, tmp_path: Path, codebooks: int):
    with pytest.raises(AudiogenError, match="1 to 4"):
        codec.encode_file(sound, tmp_path / "a.agc", codebooks)
    assert not (tmp_path / "a.agc").exists()
