"""Published SQ-Codecs: a checkpoint with `codec_model`, and the YAML file with `generator.config` that lies beside it.

The number of levels is in neither: released code rounds to 19 levels whatever the weights were trained for. It is read
from a name such as `16k_32dim_5` (S = 5), or has to be given. Only tensors are unpickled.
"""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from audiogen import codecs, registry  # noqa: F401
from audiogen.checkpoint import Bundle
from audiogen.codecs.sq_codec import SqCodecConfig
from audiogen.errors import AudiogenError
from audiogen.importers.files import Tensors, load
from audiogen.importers.weight_norm import fold_weight_norm

NAMED = re.compile(r"(\d+)dim_(\d+)")


def read(checkpoint: str, settings: str, levels: int | None = None) -> Bundle:
    """The bundle of a published SQ-Codec.

    Args:
        checkpoint: A file that `torch.save` wrote.
        settings: The YAML file of its configuration.
        levels: S, where no name tells it.

    Raises:
        AudiogenError: If a file cannot be read, describes another network than ours, or does not fit the other.
    """
    config = {**_config(settings), "levels": _levels(checkpoint, levels)}
    model = registry.build("codec", "sq_codec", config).eval()
    published = {name: tensor.float() for name, tensor in _tensors(checkpoint).items()}
    tensors, expected = fold_weight_norm(published, checkpoint), model.state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        raise AudiogenError(f"{checkpoint} {'lacks' if name in expected else 'has'} {name!r}, unlike {settings}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            wanted, found = list(expected[name].shape), list(tensor.shape)
            raise AudiogenError(f"{checkpoint}: {name!r} has shape {found}; {settings} asks for {wanted}")
    model.load_state_dict(tensors)
    origin = {"imported from": checkpoint}
    return Bundle("codec", "sq_codec", config, training=origin, licence="as published", model=model)


def _tensors(path: str) -> Tensors:
    state = load(path)
    state = state.get("codec_model", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise AudiogenError(f"{path} holds no tensors under 'codec_model'")
    return state


def _config(path: str) -> dict[str, Any]:
    """What our codec's config has of the published settings, once they prove to be of such a network."""
    try:
        given = OmegaConf.to_container(OmegaConf.load(path))["generator"]["config"]
        down, up = given["downsample_factors"], given["upsample_factors"]
        kernels = given["downsample_kernel_sizes"], given["upsample_kernel_sizes"]
        ours = {field.name: given[field.name] for field in fields(SqCodecConfig) if field.name != "levels"}
        plain = given["num_bands"] == 1 and given["causal"]
    except (OSError, OmegaConfBaseException, KeyError, TypeError, ValueError) as error:
        raise AudiogenError(f"{path} is not the configuration of an SQ-Codec: {error}") from None
    if not plain:
        raise AudiogenError(f"{path} is of a codec of several bands or not causal; causal ones of one band are read")
    if up != down[::-1] or kernels != ([2 * factor for factor in down], [2 * factor for factor in up]):
        raise AudiogenError(f"{path}: upsampling must mirror downsampling {down}, with kernels of twice the factors")
    return ours


def _levels(checkpoint: str, given: int | None) -> int:
    named = NAMED.search(str(Path(checkpoint).absolute()))
    if named is None and given is None:
        raise AudiogenError(f"neither the weights nor the name {checkpoint} tells the number of levels; give --levels")
    if named is not None and given not in (None, int(named[2])):
        raise AudiogenError(f"--levels {given} does not fit {named[0]!r}, whose weights were trained for {named[2]}")
    return int(named[2]) if given is None else given
