"""A digest of what decides a network's output: settings and weights, whatever file or precision they were read from."""

import hashlib
import json
from typing import Any

import torch
from torch import nn


def digest(settings: dict[str, Any], *modules: nn.Module) -> str:
    """SHA-256 of plain `settings` and of the modules' tensors, by name, shape and content."""
    summed = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            summed.update(f"{name} {list(tensor.shape)}".encode())
            summed.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return summed.hexdigest()
