"""What models that write sound sample by sample have in common: codes in, a distribution of the next code out."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.state import State
from audiogen.protocols import CodecSpec


@dataclass
class WaveformConfig:
    """What every such model is told.

    Attributes:
        codec: The quantisation it speaks through: one codebook, one code a sample.
        classes: Labels that sound can be asked for by; 0 for none.
        label_dropout: Chance that a clip is trained as one of any class, for guidance.
    """

    codec: CodecSpec
    classes: int = 0
    label_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.codec.num_codebooks != 1 or self.codec.hop_length != 1:
            raise AudiogenError(
                f"codec {self.codec.name!r} has {self.codec.num_codebooks} codebooks and hop {self.codec.hop_length}; "
                "a waveform model needs one code a sample"
            )
        if not 0 <= self.label_dropout < 1:
            raise AudiogenError(f"label_dropout is {self.label_dropout}; it must be at least 0 and below 1")

    @property
    def start(self) -> int:
        """The code before the first: silence."""
        return self.codec.codebook_size // 2


class WaveformModel(nn.Module):
    """Base of the models: a subclass adds `step`, `init_state` and, where whole sequences go another way, `_whole`."""

    config: WaveformConfig

    def __init__(self, config: WaveformConfig, label_dim: int) -> None:
        """Begin a model whose classes are vectors of `label_dim` numbers."""
        super().__init__()
        self.config = config
        self.labels = nn.Embedding(config.classes, label_dim) if config.classes else None
        self._label_dim = label_dim

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [B, T, V] of every code of whole sequences [B, T], each from the codes before it."""
        before = F.pad(codes[:, :-1], (1, 0), value=self.config.start)
        return self.step(before, self._whole(len(codes), labels))[0]

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Mean negative log-likelihood of a sample of a `WaveformBatch`; the figure `bits` is the same to base 2."""
        labels = batch.labels
        if self.training and labels is not None and self.config.label_dropout:
            dropped = torch.rand(len(labels), device=labels.device) < self.config.label_dropout
            labels = labels.masked_fill(dropped, self.config.classes)
        loss = -self.log_likelihood(batch.codes, batch.lengths, labels).sum() / batch.lengths.sum()
        return loss, {"bits": loss.item() / math.log(2)}

    def log_likelihood(self, codes: Tensor, lengths: Tensor, labels: Tensor | None = None) -> Tensor:
        """That of whole sequences [B, T], of which `lengths` [B] codes count, as [B] in nats."""
        logits = self(codes, labels)
        each = -F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view_as(codes)
        inside = torch.arange(each.shape[1], device=each.device) < lengths[:, None]
        return each.masked_fill(~inside, 0.0).sum(1)

    def init_state(self, batch_size: int = 1, labels: Tensor | None = None) -> State:
        """Streams that have seen nothing; the first code to step is `config.start`.

        Args:
            batch_size: B.
            labels: Classes [B] of what to make, for a model that has classes; `config.classes` stands for any of them.
        """
        raise NotImplementedError

    def step(self, codes: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits [B, n, V] of what follows each of the next codes [B, n] of streams, n ≥ 0."""
        raise NotImplementedError

    def _whole(self, batch_size: int, labels: Tensor | None) -> State:
        """The state before the first sample of whole sequences."""
        return self.init_state(batch_size, labels)

    def _label(self, labels: Tensor | None, batch_size: int) -> Tensor:
        """The vectors [B, label_dim] of classes, for any class the mean of them; zeros for a model without."""
        if self.labels is None:
            if labels is not None:
                raise AudiogenError("this model has no classes; it takes no labels")
            return next(self.parameters()).new_zeros(batch_size, self._label_dim)
        if labels is None or not all(0 <= label <= self.config.classes for label in labels.tolist()):
            given = "none" if labels is None else labels.tolist()
            raise AudiogenError(f"labels from 0 to {self.config.classes} are needed, got {given}")
        vectors = self.labels.weight
        return torch.cat([vectors, vectors.mean(0, keepdim=True)])[labels]


@torch.no_grad()
def order_codes(weight: Tensor) -> None:
    """Begin `weight` [V, D], a row a code, as D cosines of rising frequency along the codes, as large as it was.

    Codes are amplitudes in order. Rows that begin at random tell neighbours apart no better than extremes, and most of
    the first thousand steps of SaShiMi pass until they are in order.
    """
    levels, dim = weight.shape
    position = (torch.arange(levels) + 0.5) / levels
    cosines = torch.cos(math.pi * position[:, None] * torch.arange(1, dim + 1))
    weight.copy_(math.sqrt(2) * weight.std() * cosines)
