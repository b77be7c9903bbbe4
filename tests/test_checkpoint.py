"""Bundles: what is saved comes back, and one that does not fit is refused in a line that says where."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from audiogen import codecs, registry  # noqa: F401
from audiogen.checkpoint import Bundle, load_bundle, save_bundle
from audiogen.errors import AudiogenError

TINY = {"encoder_dim": 8, "encoder_depth": 1, "decoder_dim": 8, "decoder_depth": 1, "codebook_size": 4, "latent_dim": 4}


@pytest.fixture
def folder(tmp_path):
    model = registry.build("codec", "magnitude_rvq", TINY)
    save_bundle(tmp_path / "tiny", Bundle("codec", "magnitude_rvq", TINY, {"note": "ə"}, licence="CC0", model=model))
    return tmp_path / "tiny"


def test_a_bundle_comes_back_ready_to_serve(folder):
    bundle = load_bundle(folder, kind="codec")
    assert (bundle.assets, bundle.licence, bundle.config) == ({"note": "ə"}, "CC0", TINY)
    assert not bundle.model.training
    assert all(
        torch.equal(load_file(folder / "weights.safetensors")[k], v) for k, v in bundle.model.state_dict().items()
    )


def test_nothing_half_written_is_left_beside_it(folder):
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format_version": 99}, "format 99"),
        ({"name": "magnitude_rqv"}, "did you mean 'magnitude_rvq'"),
        ({"config": {**TINY, "encoder_dmi": 8}}, "did you mean 'encoder_dim'"),
        ({"config": {**TINY, "encoder_dim": "8"}}, "encoder_dim must be int"),
        ({"config": {**TINY, "encoder_dim": 16}}, "shape"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder, change, told):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(AudiogenError, match=told):
        load_bundle(folder)


def test_another_kind_a_missing_bundle_and_a_missing_tensor_are_refused(folder):
    with pytest.raises(AudiogenError, match="kind 'codec'"):
        load_bundle(folder, kind="acoustic")
    with pytest.raises(AudiogenError, match="no bundle of that name"):
        load_bundle("not-there")
    tensors = load_file(folder / "weights.safetensors")
    del tensors["decoder.skip.bias"]
    save_file(tensors, folder / "weights.safetensors")
    with pytest.raises(AudiogenError, match=r"lacks 'decoder.skip.bias'"):
        load_bundle(folder)
