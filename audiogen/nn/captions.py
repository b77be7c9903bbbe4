"""How a caption enters a model: as vectors of an outside encoder, or as words that a small encoder of its own reads."""

import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.transformer import Transformer, TransformerConfig


class FeatureInput(nn.Module):
    """Vectors [B, L, F] of a frozen text encoder, projected."""

    def __init__(self, features: int, dim: int) -> None:
        super().__init__()
        self.features = features
        self.project = nn.Linear(features, dim)

    def forward(self, text: Tensor, mask: Tensor) -> Tensor:
        """To [B, L, D], zeros where `mask` [B, L] is False."""
        if text.shape[-1] != self.features:
            raise AudiogenError(f"the text comes in {text.shape[-1]} features; this model takes {self.features}")
        return self.project(text) * mask[..., None]


class WordInput(nn.Module):
    """Words as ids of their letter sequences [B, L, G], 0 being none, read by a small transformer."""

    def __init__(self, rows: int, dim: int, layers: int) -> None:
        super().__init__()
        self.pieces = nn.EmbeddingBag(rows, dim, mode="mean", padding_idx=0)
        self.reader = Transformer(TransformerConfig(dim, heads=4, layers=layers, feedforward=2 * dim, axes=1))
        nn.init.normal_(self.pieces.weight)

    def forward(self, text: Tensor, mask: Tensor) -> Tensor:
        """To [B, L, D], zeros where `mask` [B, L] is False."""
        words = self.pieces(text.flatten(0, 1)).unflatten(0, text.shape[:2])
        places = torch.arange(text.shape[1], device=text.device)
        seen = mask[:, None] | torch.eye(len(places), dtype=torch.bool, device=text.device)
        read, _ = self.reader(words, places[:, None].expand(len(text), -1, -1), seen)
        return read * mask[..., None]
