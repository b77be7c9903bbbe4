"""Published SQ-Codecs: written in their layout from a model of ours, read back to the same sound."""

from pathlib import Path

import pytest
import torch
import yaml

from audiogen import audio, codecs, registry  # noqa: F401
from audiogen.cli import main
from audiogen.errors import AudiogenError
from audiogen.importers.sq_codec import read

SIZES = {
    "sample_rate": 16_000,
    "latent_hidden_dim": 4,
    "init_channel": 2,
    "downsample_factors": [2, 3],
    "num_samples": 2,
    "default_kernel_size": 7,
    "delay_kernel_size": 5,
    "res_kernel_size": 3,
}
PUBLISHED = {
    **SIZES,
    "num_bands": 1,
    "causal": True,
    "downsample_kernel_sizes": [4, 6],
    "upsample_factors": [3, 2],
    "upsample_kernel_sizes": [6, 4],
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return registry.build("codec", "sq_codec", {**SIZES, "levels": 5}).eval().requires_grad_(False)


@pytest.fixture
def published(model, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint with weight norm and its settings."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("weight") and tensor.dim() == 3:
            tensors[f"{name}_g"], tensors[f"{name}_v"] = tensor.flatten(1).norm(dim=1)[:, None, None], 3 * tensor
        else:
            tensors[name] = tensor
    folder = tmp_path / "16k_4dim_5"
    folder.mkdir()
    torch.save({"codec_model": tensors, "step": 7}, folder / "ckpt.pth")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"generator": {"config": PUBLISHED}}))
    return folder / "ckpt.pth", tmp_path / "config.yaml"


def test_what_is_read_sounds_as_what_was_written(model, published):
    bundle = read(*map(str, published))
    assert bundle.config["levels"] == 5
    wave = torch.randn(1, 1, 500)
    torch.testing.assert_close(bundle.model.latents(wave), model.latents(wave))
    tokens = model.encode(wave)
    torch.testing.assert_close(bundle.model.decode(tokens), model.decode(tokens))


def test_the_command_leaves_a_codec_that_codes_files(published, tmp_path: Path, capsys):
    assert main(["import", "sq_codec", *map(str, published), str(tmp_path / "mine")]) == 0
    audio.write(tmp_path / "a.wav", 0.1 * torch.randn(1, 500), 16_000)
    model = ["--model", str(tmp_path / "mine")]
    assert main(["codec", "encode", str(tmp_path / "a.wav"), str(tmp_path / "a.agc"), *model]) == 0
    assert main(["codec", "decode", str(tmp_path / "a.agc"), str(tmp_path / "b.wav"), *model]) == 0
    assert audio.check(tmp_path / "b.wav").frames == 500


def test_levels_that_the_weights_were_not_trained_for_are_refused(published):
    with pytest.raises(AudiogenError, match="--levels 9 does not fit '4dim_5'"):
        read(*map(str, published), levels=9)


def test_levels_are_asked_for_where_no_name_tells_them(published, tmp_path: Path):
    other = published[0].rename(tmp_path / "ckpt.pth")
    with pytest.raises(AudiogenError, match="give --levels"):
        read(str(other), str(published[1]))
    assert read(str(other), str(published[1]), levels=3).config["levels"] == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"causal": False}, "not causal"),
        ({"num_bands": 4}, "several bands"),
        ({"upsample_factors": [2, 3]}, "must mirror"),
        ({"latent_hidden_dim": 8}, "has shape"),
        ({"downsample_factors": [2], "downsample_kernel_sizes": [4], "upsample_factors": [2]}, "must mirror"),
        ({"num_samples": 1}, "unlike"),
        ({"sample_rate": None}, "must be int"),
    ],
)
def test_settings_that_do_not_fit_are_refused(published, change, said: str):
    published[1].write_text(yaml.safe_dump({"generator": {"config": {**PUBLISHED, **change}}}))
    with pytest.raises(AudiogenError, match=said):
        read(*map(str, published))


def test_files_that_are_none_are_refused(published):
    published[1].write_text("hello")
    with pytest.raises(AudiogenError, match="not the configuration"):
        read(*map(str, published))
    published[1].write_text(yaml.safe_dump({"generator": {"config": PUBLISHED}}))
    published[0].write_bytes(b"hello")
    with pytest.raises(AudiogenError, match="cannot be read"):
        read(*map(str, published))
