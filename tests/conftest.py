"""Tiny bundles with random weights, so that commands and the page are tested on the real classes in seconds."""

from pathlib import Path

import audiogen.codecs
import pytest
import torch

import audiogen.models  # noqa: F401
from audiogen import registry
from audiogen.checkpoint import Bundle, save_bundle
from audiogen.text.tokenizer import CharTokenizer

TINY_CODEC = {
    "encoder_dim": 16,
    "encoder_depth": 1,
    "decoder_dim": 16,
    "decoder_depth": 1,
    "latent_dim": 8,
    "codebook_size": 32,
    "num_codebooks": 4,
}


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which bundles are found by name."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    monkeypatch.setenv("AUDIOGEN_BUNDLES", str(folder))
    return folder


@pytest.fixture
def tiny_codec_bundle(bundles: Path) -> Path:
    """A codec of the default class."""
    torch.manual_seed(0)
    model = registry.build("codec", "stft_rvq", TINY_CODEC)
    save_bundle(bundles / "tiny-codec", Bundle("codec", "stft_rvq", TINY_CODEC, licence="CC0-1.0", model=model))
    return bundles / "tiny-codec"


TINY_RECOGNIZER = {
    "subsampling_channels": 4,
    "dim": 16,
    "depth": 1,
    "num_heads": 2,
    "ffn_multiplier": 2,
    "kernel_size": 3,
    "left_context": 4,
    "lookaheads": [1],
}


@pytest.fixture
def tiny_recognizer_bundle(bundles: Path) -> Path:
    """A recogniser of English characters."""
    torch.manual_seed(0)
    tokenizer = CharTokenizer()
    config = {"vocab_size": len(tokenizer.symbols), **TINY_RECOGNIZER}
    model = registry.build("recognizer", "fastconformer_ctc", config)
    assets = {"tokenizer": tokenizer.to_dict(), "languages": ["en"]}
    bundle = Bundle("recognizer", "fastconformer_ctc", config, assets, licence="CC0-1.0", model=model)
    save_bundle(bundles / "tiny-recognizer", bundle)
    return bundles / "tiny-recognizer"
