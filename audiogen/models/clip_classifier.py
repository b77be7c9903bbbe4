"""A small convolutional network that tells classes of short clips apart, to judge sound that was generated.

Log-mel frames, with the clip's mean taken off so that level does not count, pass convolutions that halve both axes;
their mean over time is the clip's feature vector, from which a linear layer gives the classes.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.nn.features import LogMel
from audiogen.registry import register


@dataclass
class ClipClassifierConfig:
    """Sizes of the network.

    Attributes:
        sample_rate: Of the clips.
        classes: How many there are.
        num_mels: Bands of the log-mel frames.
        dim: Channels of the first convolution; each further one has twice as many.
        layers: Convolutions.
        features: Length of the feature vector.
        dropout: Chance that a feature is dropped in training.
    """

    sample_rate: int
    classes: int
    num_mels: int = 40
    dim: int = 16
    layers: int = 3
    features: int = 64
    dropout: float = 0.2


@register("classifier", "clip_classifier", ClipClassifierConfig)
class ClipClassifier(nn.Module):
    """The network; see the module's first lines."""

    def __init__(self, config: ClipClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.mel = LogMel(config.sample_rate, config.num_mels)
        widths = [1, *(config.dim * 2**layer for layer in range(config.layers))]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inside, outside, 3, stride=2, padding=1) for inside, outside in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths[1:])
        bands = config.num_mels
        for _ in range(config.layers):
            bands = -(-bands // 2)
        self.project = nn.Linear(widths[-1] * bands, config.features)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.features, config.classes)

    def features(self, wave: Tensor, lengths: Tensor) -> Tensor:
        """A vector [B, features] of every clip of wave [B, N], of which `lengths` [B] samples count."""
        frames = self.mel(F.pad(wave, (0, self.mel.hop_length)))[0]
        counts = lengths // self.mel.hop_length + 1
        inside = _mask(counts, frames.shape[1])[..., None]
        mean = (frames * inside).sum((1, 2), keepdim=True) / (counts[:, None, None] * frames.shape[2])
        x = ((frames - mean) * inside)[:, None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            counts = -(-counts // 2)
            x = F.gelu(norm(convolution(x).transpose(1, 3))).transpose(1, 3)
            x = x * _mask(counts, x.shape[2])[:, None, :, None]
        x = F.gelu(self.project(x.transpose(1, 2).flatten(2)))
        return (x * _mask(counts, x.shape[1])[..., None]).sum(1) / counts[:, None]

    def forward(self, wave: Tensor, lengths: Tensor) -> Tensor:
        """Logits [B, classes]."""
        return self.head(self.dropout(self.features(wave, lengths)))

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of clips `wave` [B, N] with `lengths` and `labels` [B]; the figure is the share told right."""
        logits = self(batch.wave, batch.lengths)
        right = (logits.argmax(-1) == batch.labels).float().mean().item()
        return F.cross_entropy(logits, batch.labels), {"right": right}


def _mask(counts: Tensor, length: int) -> Tensor:
    """1 where a row still counts, else 0, [B, length]."""
    return (torch.arange(length, device=counts.device) < counts[:, None]).float()
