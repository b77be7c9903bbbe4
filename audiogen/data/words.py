"""Words of a pronouncing dictionary as batches, by length, so that nothing is padding."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.text.neural import Spelling

Entry = tuple[str, list[str]]


@dataclass
class WordBatch:
    """Words: `letters` int64 [B, L], `lengths` [B], `phones` int64 [B, P], `phone_lengths` [B]; padded at the end."""

    letters: Tensor
    lengths: Tensor
    phones: Tensor
    phone_lengths: Tensor


class WordStream:
    """Batches of (word, phones), shuffled anew each epoch; a function of the global step alone.

    Args:
        entries: Words and their phones.
        spelling: Their letters and phones as indices.
        batch_size: Words a batch, at most.
        seed: Decides the order.
    """

    def __init__(self, entries: Sequence[Entry], spelling: Spelling, batch_size: int, seed: int):
        self.spelling, self.batch_size, self.seed = spelling, batch_size, seed
        self._by_length: dict[int, list[Entry]] = {}
        for entry in entries:
            self._by_length.setdefault(len(entry[0]), []).append(entry)
        self.batches_per_epoch = sum(-(-len(same) // batch_size) for same in self._by_length.values())

    def batches(self, start: int = 0) -> Iterator[WordBatch]:
        """The batches from global step `start` on, without end."""
        epoch, skipped = divmod(start, self.batches_per_epoch)
        while True:
            for entries in self._epoch(epoch)[skipped:]:
                yield word_batch(entries, self.spelling)
            epoch, skipped = epoch + 1, 0

    def _epoch(self, epoch: int) -> list[list[Entry]]:
        order = random.Random(f"{self.seed}/{epoch}")
        batches = []
        for same in self._by_length.values():
            same = order.sample(same, len(same))
            batches += [same[first : first + self.batch_size] for first in range(0, len(same), self.batch_size)]
        order.shuffle(batches)
        return batches


def word_batch(entries: Sequence[Entry], spelling: Spelling) -> WordBatch:
    """Entries as tensors."""
    letters = [torch.tensor(spelling.letter_ids(word)) for word, _ in entries]
    phones = [torch.tensor(spelling.phone_ids(phones)) for _, phones in entries]
    pad = nn.utils.rnn.pad_sequence
    return WordBatch(
        letters=pad(letters, batch_first=True, padding_value=len(spelling.letters)),
        lengths=torch.tensor([len(row) for row in letters]),
        phones=pad(phones, batch_first=True),
        phone_lengths=torch.tensor([len(row) for row in phones]),
    )
