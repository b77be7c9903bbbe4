"""Self-describing bundles: a folder with `weights.safetensors` and a `config.json` that says how to build the model.

A bundle holds everything inference needs by content (config, phone inventory, tokenizer, codec spec), so it can be
copied anywhere. Loading reads, migrates by version, looks the class up in the registry and loads strictly; nothing
is unpickled and no class path is read from a file.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from audiogen import registry
from audiogen.errors import AudiogenError, unknown_name

FORMAT_VERSION = 1
PRETRAINED = Path(__file__).parent / "pretrained"
WEIGHTS, CONFIG, CARD = "weights.safetensors", "config.json", "README.md"


@dataclass
class Bundle:
    """A model with all that describes it.

    Attributes:
        kind: Kind in the registry, e.g. `"codec"`.
        name: Registered name of the class.
        config: The class's config as plain values.
        assets: Plain JSON values the model needs besides weights: inventory, tokenizer, voices' names.
        codec: For an acoustic model, `{"spec": …, "bundle": name, "codes_sha256": …}` of the codec it speaks through.
        training: How it was made: data, command, steps, figures.
        licence: Licence of the weights, following the training data.
        model: The built network in evaluation mode, where loaded.
        folder: Where it was read from.
    """

    kind: str
    name: str
    config: dict[str, Any]
    assets: dict[str, Any] = field(default_factory=dict)
    codec: dict[str, Any] | None = None
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    model: nn.Module | None = None
    folder: Path | None = None


def save_bundle(folder: Path, bundle: Bundle, dtype: torch.dtype = torch.float32) -> None:
    """Write `bundle` as `folder`, whole or not at all. Floating-point weights are stored as `dtype`."""
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    tensors = {name: _stored(tensor, dtype) for name, tensor in bundle.model.state_dict().items()}
    save_file(tensors, staging / WEIGHTS)
    described = {
        f.name: getattr(bundle, f.name) for f in dataclasses.fields(bundle) if f.name not in ("model", "folder")
    }
    described = {"format_version": FORMAT_VERSION, **described}
    (staging / CONFIG).write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if (folder / CARD).exists():
        shutil.copy(folder / CARD, staging / CARD)
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)


def load_bundle(name_or_folder: str | Path, kind: str | None = None) -> Bundle:
    """The bundle of that name (shipped, or under `$AUDIOGEN_BUNDLES`) or in that folder, with its model built.

    Args:
        name_or_folder: A name that `audiogen models` lists, or a path.
        kind: If given, the kind it must be.

    Raises:
        AudiogenError: If it is missing, of another kind, or if its config or weights do not fit.
    """
    bundle = read_description(find_bundle(name_or_folder))
    if kind is not None and bundle.kind != kind:
        raise AudiogenError(
            f"{bundle.folder.name!r} is a bundle of kind {bundle.kind!r}; one of kind {kind!r} is needed here"
        )
    bundle.model = registry.build(bundle.kind, bundle.name, bundle.config)
    _load_weights(bundle.model, bundle.folder / WEIGHTS)
    bundle.model.eval().requires_grad_(False)
    return bundle


def read_description(folder: Path) -> Bundle:
    """The bundle in `folder` without its model."""
    try:
        described = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AudiogenError(f"{folder / CONFIG} cannot be read as a bundle's config: {error}") from None
    version = described.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise AudiogenError(f"{folder} has bundle format {version!r}; this release reads format {FORMAT_VERSION}")
    return registry.read_config(Bundle, {**described, "folder": folder}, where=str(folder / CONFIG))


def find_bundle(name_or_folder: str | Path) -> Path:
    """The folder of a bundle given by name or path."""
    folder = Path(name_or_folder)
    if (folder / CONFIG).is_file():
        return folder
    bundles = list_bundles()
    if str(name_or_folder) not in bundles:
        raise unknown_name(
            "model (no folder with a config.json, and no bundle of that name)", str(name_or_folder), bundles
        )
    return bundles[str(name_or_folder)]


def list_bundles() -> dict[str, Path]:
    """Name → folder of every shipped bundle and of those in the folder `$AUDIOGEN_BUNDLES`, if set."""
    roots = [PRETRAINED] + [Path(root) for root in [os.environ.get("AUDIOGEN_BUNDLES")] if root]
    return {path.parent.name: path.parent for root in roots for path in sorted(root.glob(f"*/{CONFIG}"))}


def weights_hash(folder: Path) -> str:
    """SHA-256 of a bundle's weights, by which a stage that uses them sees that they changed."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def _stored(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _load_weights(model: nn.Module, path: Path) -> None:
    """Fill `model` from `path`, strictly; the error names the first tensor that does not fit."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise AudiogenError(f"{path} cannot be read as safetensors: {error}") from None
    expected = model.state_dict()
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        what = (
            f"lacks {missing[0]!r} ({len(missing)} missing)" if missing else f"has {extra[0]!r}, unknown to the model"
        )
        raise AudiogenError(f"{path} {what}; it does not belong to the config.json beside it")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            wanted, got = list(expected[name].shape), list(tensor.shape)
            raise AudiogenError(f"{path}: {name!r} has shape {got}, the config.json beside it asks for {wanted}")
    model.load_state_dict({name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()})
