"""The text as tokens: phones in their neighbourhood, and which of them leads each frame."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.models.valle_r.config import VallERConfig
from audiogen.models.valle_r.rows import gather_rows


class PhoneEmbedding(nn.Module):
    """A vector for each phone in its neighbourhood: the sum of one table for each of five places around it."""

    def __init__(self, num_symbols: int, dim: int, reach: int = 2):
        super().__init__()
        self.num_symbols, self.reach = num_symbols, reach
        self.table = nn.Parameter(torch.randn((2 * reach + 1) * num_symbols, dim) * dim**-0.5)

    def forward(self, phones: Tensor, outside: int) -> Tensor:
        """Symbols [B, L] to vectors [B, L, D]; `outside` is the symbol before the first and after the last."""
        windows = F.pad(phones, (self.reach, self.reach), value=outside).unfold(1, 2 * self.reach + 1, 1)
        windows = windows + torch.arange(2 * self.reach + 1, device=phones.device) * self.num_symbols
        return F.embedding_bag(windows.flatten(0, 1), self.table, mode="sum").view(*phones.shape, self.table.shape[1])


def frame_places(config: VallERConfig, durations: Tensor, phone_lengths: Tensor, size: int) -> Tensor:
    """The place in the text of each merged frame [B, size]: its phone's, past the last phone the end symbol's.

    Without the pointer it is the frame's own number.
    """
    frames = torch.arange(size, device=phone_lengths.device).expand(len(phone_lengths), -1).contiguous()
    if not config.pointer:
        return frames
    places = torch.searchsorted(durations.cumsum(1), frames, right=True)
    return torch.minimum(places, phone_lengths[:, None])


def lead(config: VallERConfig, text: Tensor, places: Tensor) -> Tensor:
    """The phone vectors [B, T, D] of `text` [B, L, D] at `places` [B, T], -1 being none; zero without the pointer."""
    if not config.pointer:
        return text.new_zeros(())
    vectors = gather_rows(text, places)
    return vectors if config.phone_lag == 1 else vectors * (places >= 0)[:, :, None]


def end_phones(phones: Tensor, lengths: Tensor, end: int) -> Tensor:
    """Phones [B, L] with the symbol `end` at every place after the last: [B, L + 1]."""
    phones = F.pad(phones, (0, 1))
    return phones.masked_fill(torch.arange(phones.shape[1], device=phones.device) >= lengths[:, None], end)


def text_positions(text: Tensor) -> Tensor:
    """Positions [B, L, 2] of the tokens of a text [B, L, …]: all at time 0, each at its place."""
    places = torch.arange(text.shape[1], device=text.device).expand(len(text), -1)
    return torch.stack([torch.zeros_like(places), places], -1)
