"""Weight norm in published checkpoints: a direction and a gain where our layers have one weight."""

import torch
from torch import Tensor

from audiogen.errors import AudiogenError


def fold_weight_norm(tensors: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """Tensors with one `weight` for every `weight_v` and `weight_g` (arXiv 1602.07868 eq. 2).

    Raises:
        AudiogenError: If a direction has no gain; the message names both and `source`.
    """
    folded = dict(tensors)
    for direction in [name for name in folded if name.endswith("weight_v")]:
        stem = direction.removesuffix("_v")
        if f"{stem}_g" not in folded:
            raise AudiogenError(f"{source} lacks {stem}_g, which goes with {direction}")
        folded[stem] = torch._weight_norm(folded.pop(direction), folded.pop(f"{stem}_g"), 0)
    return folded
