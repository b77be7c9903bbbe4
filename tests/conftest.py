"""Tiny bundles with random weights, so that commands and the page are tested on the real classes in seconds."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

import audiogen.codecs
import audiogen.models  # noqa: F401
from audiogen import registry
from audiogen.checkpoint import Bundle, load_bundle, save_bundle
from audiogen.text.frontend import TextFrontend
from audiogen.text.phones import INVENTORY
from audiogen.text.tokenizer import CharTokenizer

hypothesis.settings.register_profile("audiogen", deadline=None, derandomize=True, database=None, max_examples=25)
hypothesis.settings.load_profile("audiogen")
torch.set_num_threads(1)  # tiny models gain nothing from more, and tests share few cores

DEFAULT_CODEC = "magnitude_rvq"
TINY_CODEC = {
    "encoder_dim": 16,
    "encoder_depth": 1,
    "decoder_dim": 16,
    "decoder_depth": 1,
    "latent_dim": 8,
    "codebook_size": 32,
    "num_codebooks": 4,
}
TINY_RECOGNIZER = {
    "vocab_size": len(CharTokenizer()),
    "subsampling_channels": 4,
    "dim": 16,
    "depth": 1,
    "num_heads": 2,
    "ffn_multiplier": 2,
    "kernel_size": 3,
    "left_context": 4,
    "lookaheads": [1],
}
TINY_WAVEFORM = {"dim": 16, "layers": 1, "state_size": 8, "classes": 2}
TINY_SOUND = {"network": {"dim": 32, "heads": 2, "layers": 1, "text_size": 64, "text_layers": 1}, "window": 45}
TINY_VOICE = {
    "num_phones": len(INVENTORY),
    "dim": 16,
    "heads": 2,
    "feedforward": 24,
    "coarse_layers": 1,
    "fine_layers": 1,
    "chunk": 8,
    "context": 1,
}


@pytest.fixture(scope="session")
def tiny_bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny-codec`, `tiny-voice`, `tiny-recognizer`, `tiny-waveform`, `tiny-magnet`, `tiny-musicgen`."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    _save(folder / "tiny-codec", "codec", DEFAULT_CODEC, TINY_CODEC)
    _save_voice(folder / "tiny-voice", folder / "tiny-codec")
    assets = {"tokenizer": CharTokenizer().to_dict(), "languages": ["en"]}
    _save(folder / "tiny-recognizer", "recognizer", "fastconformer_ctc", TINY_RECOGNIZER, assets=assets)
    pcm = {"sample_rate": 4000, "levels": 256, "law": "mu"}
    spec = registry.build("codec", "pcm", pcm).spec.to_dict()
    sounds = {"pcm": pcm, "labels": ["zero", "one"], "tail_seconds": 0}
    _save(folder / "tiny-waveform", "waveform", "sashimi", {"codec": spec, **TINY_WAVEFORM}, assets=sounds)
    for name in ("magnet", "musicgen"):
        _save_sound(folder / f"tiny-{name}", name, folder / "tiny-codec")
    return folder


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which bundles are found by name."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    monkeypatch.setenv("AUDIOGEN_BUNDLES", str(folder))
    return folder


@pytest.fixture
def tiny_codec_bundle(tiny_bundles: Path, bundles: Path) -> Path:
    """A codec of the default class."""
    return shutil.copytree(tiny_bundles / "tiny-codec", bundles / "tiny-codec")


@pytest.fixture
def tiny_recognizer_bundle(tiny_bundles: Path, bundles: Path) -> Path:
    """A recogniser of English characters."""
    return shutil.copytree(tiny_bundles / "tiny-recognizer", bundles / "tiny-recognizer")


@pytest.fixture
def tiny_voice_bundle(tiny_bundles: Path, tiny_codec_bundle: Path, bundles: Path) -> Path:
    """A voice model of the default class with the voices `ann` and `bob`, beside its codec."""
    return shutil.copytree(tiny_bundles / "tiny-voice", bundles / "tiny-voice")


@pytest.fixture
def tiny_waveform_bundle(tiny_bundles: Path, bundles: Path) -> Path:
    """A model of waveforms at 4 kHz with the classes `zero` and `one`."""
    return shutil.copytree(tiny_bundles / "tiny-waveform", bundles / "tiny-waveform")


@pytest.fixture
def sound_bundles(tiny_bundles: Path, tiny_codec_bundle: Path, bundles: Path) -> Path:
    """A folder with `tiny-magnet` and `tiny-musicgen`, beside their codec."""
    for name in ("tiny-magnet", "tiny-musicgen"):
        shutil.copytree(tiny_bundles / name, bundles / name)
    return bundles


def _save_sound(folder: Path, name: str, codec: Path) -> None:
    model = load_bundle(codec, "codec").model
    spec = dataclasses.replace(model.spec, num_codebooks=2).to_dict()
    assets = {"captions": {"name": "words", "rows": 64}, "options": {"steps": [2, 1]}}
    described = {"spec": spec, "bundle": codec.name, "codes_sha256": model.codes_digest()}
    _save(folder, "sound", name, {"codec": spec, **TINY_SOUND}, assets=assets, codec=described)


def _save_voice(folder: Path, codec: Path) -> None:
    model = load_bundle(codec, "codec").model
    spec = model.spec.to_dict()
    ann = {"codes": [[3] * 8, [1, 2] * 4, [4] * 8, [0] * 8], "phones": ["sil", "ˈæ", "sil"], "durations": [1, 2, 1]}
    voices = {"ann": ann, "bob": {**ann, "codes": [[9] * 8] * 4}}
    assets = {"frontend": TextFrontend().to_dict(), "voices": voices, "languages": ["en"]}
    described = {"spec": spec, "bundle": codec.name, "codes_sha256": model.codes_digest()}
    _save(folder, "acoustic", "valle_r", {"codec": spec, **TINY_VOICE}, assets=assets, codec=described)


def _save(folder: Path, kind: str, name: str, config: dict[str, Any], **described: Any) -> None:
    model = registry.build(kind, name, config)
    save_bundle(folder, Bundle(kind, name, config, licence="CC0-1.0", model=model, **described))
