"""Batches for recognisers and acoustic models, and how they are made of cuts.

Models use the fields of a batch and do not import this module. Rows are padded to the longest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from audiogen.data.alignment import durations, frame_labels, phone_timings
from audiogen.data.augment import Augment
from audiogen.data.corpora import read_wave
from audiogen.errors import AudiogenError
from audiogen.text.phones import INVENTORY, PhoneInventory

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut

RECOGNITION_RATE = 16_000
LABEL_FRAME_RATE = 50


@dataclass
class RecognitionBatch:
    """Sound with its labels.

    Attributes:
        wave: Float32 [B, N] at 16 kHz.
        lengths: True lengths in samples, [B].
        labels: Int64 [B, L].
        label_lengths: [B].
        frame_labels: The label of each 20 ms, int64 [B, T], −1 where it is unknown; None if no clip has any.
    """

    wave: Tensor
    lengths: Tensor
    labels: Tensor
    label_lengths: Tensor
    frame_labels: Tensor | None = None


@dataclass
class AcousticBatch:
    """Codes with the phones they say.

    Attributes:
        codes: Int64 [B, K, T].
        lengths: True lengths in frames, [B].
        phones: Ids, int64 [B, L].
        phone_lengths: [B].
        durations: Merged frames of each phone, int64 [B, L]; a row sums to its length divided by the merge.
    """

    codes: Tensor
    lengths: Tensor
    phones: Tensor
    phone_lengths: Tensor
    durations: Tensor


class RecognitionCollate:
    """Makes a `RecognitionBatch` of cuts."""

    def __init__(
        self,
        labels_of: Callable[[MonoCut], list[int]],
        augment: Augment | None = None,
        inventory: PhoneInventory | None = None,
    ) -> None:
        """Choose labels and changes.

        Args:
            labels_of: The labels of a cut.
            augment: Changes to the sound, for training.
            inventory: If given, clips with phone timings get frame labels: ids of this inventory, and its size, the
                blank, for silence.
        """
        self._labels_of, self._augment, self._inventory = labels_of, augment, inventory

    def __call__(self, cuts: CutSet, generator: torch.Generator) -> RecognitionBatch:
        """The batch of some cuts."""
        rows = [self._row(cut, generator) for cut in cuts]
        waves, labels, frames = ([row[i] for row in rows] for i in range(3))
        timed = any((row >= 0).any() for row in frames)
        return RecognitionBatch(
            pad_sequence(waves, batch_first=True),
            _lengths(waves),
            pad_sequence(labels, batch_first=True),
            _lengths(labels),
            pad_sequence(frames, batch_first=True, padding_value=-1) if timed else None,
        )

    def _row(self, cut: MonoCut, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Wave [N], labels [L] and frame labels [T] of a cut."""
        wave, speed = read_wave(cut, RECOGNITION_RATE), 1.0
        if self._augment is not None:
            wave, speed = self._augment(wave, RECOGNITION_RATE, generator)
        frames = torch.full((-(-len(wave) * LABEL_FRAME_RATE // RECOGNITION_RATE),), -1)
        if self._inventory is not None and (cut.supervisions[0].alignment or {}).get("phone"):
            timings = [(symbol, start / speed, end / speed) for symbol, start, end in phone_timings(cut)]
            frames = frame_labels(timings, len(frames), LABEL_FRAME_RATE, self._inventory)
        return wave, torch.tensor(self._labels_of(cut), dtype=torch.long), frames


class AcousticCollate:
    """Makes an `AcousticBatch` of cuts with phone timings."""

    def __init__(
        self,
        codes_of: Callable[[MonoCut], Tensor],
        frame_rate: float,
        merge: int = 2,
        inventory: PhoneInventory = INVENTORY,
        join: float = 0.0,
    ) -> None:
        """Choose where codes come from.

        Args:
            codes_of: The codes of a cut, int64 [K, T] with T a multiple of `merge`.
            frame_rate: Frames of the codec a second.
            merge: Frames that share a code of the first codebook.
            inventory: Gives the phones their ids.
            join: Chance that the clips of a batch are joined in pairs of one speaker: so a model that goes on in the
                voice of what was said before learns it from other sentences than that one.
        """
        self._codes_of, self._frame_rate, self._merge, self._inventory = codes_of, frame_rate, merge, inventory
        self._join = join

    def __call__(self, cuts: CutSet, generator: torch.Generator) -> AcousticBatch:
        """The batch of some cuts."""
        rows = [self._row(cut) for cut in cuts]
        if torch.rand((), generator=generator) < self._join:
            rows = _joined(rows, [cut.supervisions[0].speaker for cut in cuts])
        codes, phones, counts = ([row[i] for row in rows] for i in range(3))
        return AcousticBatch(
            pad_sequence(codes, batch_first=True).transpose(1, 2),
            _lengths(codes),
            pad_sequence(phones, batch_first=True),
            _lengths(phones),
            pad_sequence(counts, batch_first=True),
        )

    def _row(self, cut: MonoCut) -> tuple[Tensor, Tensor, Tensor]:
        """Codes [T, K], phones [L] and durations [L] of a cut."""
        codes, timings = self._codes_of(cut), phone_timings(cut)
        if codes.shape[1] % self._merge:
            raise AudiogenError(
                f"the codes of {cut.id} have {codes.shape[1]} frames, no multiple of merge={self._merge}"
            )
        phones = self._inventory.encode(symbol for symbol, _, _ in timings)
        counts = durations(timings, codes.shape[1] // self._merge, self._frame_rate / self._merge)
        return codes.T.long(), torch.tensor(phones), torch.tensor(counts)


def _lengths(rows: list[Tensor]) -> Tensor:
    return torch.tensor([len(row) for row in rows])


def _joined(rows: Sequence[tuple[Tensor, ...]], speakers: Sequence[str]) -> list[tuple[Tensor, ...]]:
    """Rows of tensors with the two of each pair of one speaker made one; who has no partner stays alone."""
    joined, waiting = [], {}
    for row, speaker in zip(rows, speakers, strict=True):
        if speaker in waiting:
            joined.append(tuple(map(torch.cat, zip(waiting.pop(speaker), row, strict=True))))
        else:
            waiting[speaker] = row
    return [*joined, *waiting.values()]
