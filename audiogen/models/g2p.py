"""Letters to phones without recursion: every letter says up to `slots` phones, and CTC finds which.

English spelling is local but stress is not; a few residual layers, each over a window of letters, see a whole word.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.registry import register


@dataclass
class CtcG2PConfig:
    """Size of the network.

    Attributes:
        letters: Letters it reads; one more index is padding.
        phones: Phones it says; one more index is CTC's blank.
        dim: Width.
        layers: Residual layers.
        window: Letters that a layer sees at once, an odd number.
        slots: Phones a letter can say.
    """

    letters: int
    phones: int
    dim: int = 128
    layers: int = 4
    window: int = 5
    slots: int = 2


@register("g2p", "ctc_g2p", CtcG2PConfig)
class CtcG2P(nn.Module):
    """Graves et al. 2006 (CTC) over letters."""

    def __init__(self, config: CtcG2PConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.letters + 1, config.dim, padding_idx=config.letters)
        self.layers = nn.ModuleList(_WindowLayer(config.dim, config.window) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, config.slots * (config.phones + 1))

    def forward(self, letters: Tensor) -> Tensor:
        """Letters [B, L], padded with the index `config.letters`, to log-probabilities [B, L * slots, phones + 1]."""
        inside = (letters != self.config.letters)[..., None]
        hidden = self.embedding(letters)
        for layer in self.layers:
            hidden = layer(hidden, inside)
        logits = self.head(self.norm(hidden))
        return logits.unflatten(-1, (self.config.slots, -1)).flatten(1, 2).log_softmax(-1)

    def loss(self, batch: "WordBatch") -> tuple[Tensor, dict[str, float]]:  # noqa: F821
        """CTC's negative log-likelihood a word, for a batch of `audiogen.data.words`."""
        loss = F.ctc_loss(
            self(batch.letters).transpose(0, 1),
            batch.phones,
            batch.lengths * self.config.slots,
            batch.phone_lengths,
            blank=self.config.phones,
            reduction="sum",
        )
        return loss / len(batch.letters), {}

    def pronounce(self, letters: Tensor, lengths: Tensor) -> list[list[int]]:
        """The likeliest phone in every slot, repeats and blanks left out, for letters [B, L] of `lengths` [B]."""
        best = self(letters).argmax(-1).tolist()
        ends = (lengths * self.config.slots).tolist()
        return [self._collapse(row[:end]) for row, end in zip(best, ends, strict=True)]

    def _collapse(self, slots: list[int]) -> list[int]:
        changed = [phone for phone, before in zip(slots, [None, *slots], strict=False) if phone != before]
        return [phone for phone in changed if phone != self.config.phones]


class _WindowLayer(nn.Module):
    """A residual convolution, written as one matrix product over windows: far quicker than `Conv1d` on a CPU."""

    def __init__(self, dim: int, window: int):
        super().__init__()
        self.window = window
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim * window, dim)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """[B, L, D] to [B, L, D]; where `inside` [B, L, 1] is false the word is over and nothing is seen."""
        reach = self.window // 2
        windows = F.pad(self.norm(x) * inside, (0, 0, reach, reach)).unfold(1, self.window, 1)
        return x + F.gelu(self.linear(windows.flatten(2)))
