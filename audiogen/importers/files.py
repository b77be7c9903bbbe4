"""Files of published checkpoints: where they are, and the tensors and settings in them. Only tensors are unpickled."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.extras import require

Tensors = dict[str, Tensor]


def find(source: str, hub_files: Sequence[str]) -> Path:
    """The file or folder of that path, or the folder of a model on the Hugging Face hub, fetched if it is not here yet.

    Args:
        source: A path, or a name on the hub.
        hub_files: Names or patterns of the files that are needed.

    Raises:
        AudiogenError: If there is neither, or if it cannot be fetched.
    """
    path = Path(source)
    if path.exists():
        return path
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise AudiogenError(f"{source}: no such file or folder, and no name on the Hugging Face hub (owner/name)")
    hub = require("huggingface_hub", "hub")
    try:
        return Path(hub.snapshot_download(source, allow_patterns=list(hub_files)))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise AudiogenError(f"{source} cannot be fetched from the Hugging Face hub: {reason}") from None


def load(file: str | Path | IO[bytes], name: object = None) -> Any:
    """What `torch.save` wrote, called `name` in errors.

    Raises:
        AudiogenError: If it cannot be read, or holds more than tensors and plain values.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile file makes the reader trip over
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AudiogenError(f"{name or file} cannot be read as a file of tensors: {reason}") from None


def load_folder(folder: Path, config: str, weights: Iterable[Path]) -> tuple[dict[str, Any], Tensors]:
    """The settings in the JSON file `config` of a folder, and the tensors of its files of safetensors.

    Raises:
        AudiogenError: If one cannot be read.
    """
    try:
        described = json.loads((folder / config).read_text(encoding="utf-8"))
        tensors = {name: tensor for file in weights for name, tensor in load_file(file).items()}
    except (OSError, ValueError, SafetensorError) as error:
        raise AudiogenError(f"{folder} cannot be read: {error}") from None
    if not isinstance(described, dict):
        raise AudiogenError(f"{folder} cannot be read: {config} holds no settings")
    return described, tensors
