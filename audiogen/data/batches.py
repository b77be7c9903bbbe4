"""Bucketed batches, in an order that the global step alone decides.

Clips of similar length share a batch. Each epoch is shuffled anew by `seed + epoch`, and whatever a collate function
draws comes from a generator seeded by (seed, step): a run that resumes at step n sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audiogen.errors import AudiogenError
from audiogen.extras import require

if TYPE_CHECKING:
    from lhotse import CutSet

Collate = Callable[["CutSet", torch.Generator], Any]


class BatchStream:
    """An endless stream of batches over the epochs of a set of cuts."""

    def __init__(
        self,
        cuts: CutSet,
        collate: Collate,
        max_duration: float,
        seed: int = 0,
        shuffle: bool = True,
        num_buckets: int = 10,
    ) -> None:
        """Set up the stream; nothing is read yet.

        Args:
            cuts: The clips.
            collate: Makes a batch of some cuts; it takes its randomness from the generator it is given.
            max_duration: Seconds of sound a batch holds at most.
            seed: Decides the order and the collate functions' draws.
            shuffle: Whether to draw a new order each epoch.
            num_buckets: Classes of length to batch within.

        Raises:
            AudiogenError: If there are no clips or one is longer than a whole batch.
        """
        longest = max((cut.duration for cut in cuts), default=0.0)
        if longest == 0.0 or longest > max_duration:
            raise AudiogenError(
                f"max_duration={max_duration:g} s must hold the longest clip, which has {longest:.1f} s"
            )
        self._cuts, self._collate, self._seed = cuts, collate, seed
        self._options = {
            "max_duration": max_duration,
            "shuffle": shuffle,
            "num_buckets": min(num_buckets, len(cuts)),
        }

    def batches(self, start: int = 0) -> Iterator[Any]:
        """The batches from global step `start` on, without end; no sound of those before it is read."""
        for step, cuts in enumerate(self._cut_sets()):
            if step >= start:
                yield self._collate(cuts, generator_for(self._seed, step))

    def epoch(self) -> Iterator[Any]:
        """The batches of the first epoch, for validation."""
        for step, cuts in enumerate(self._sampler(0)):
            yield self._collate(cuts, generator_for(self._seed, step))

    def _cut_sets(self) -> Iterator[CutSet]:
        epoch = 0
        while True:
            yield from self._sampler(epoch)
            epoch += 1

    def _sampler(self, epoch: int) -> Iterator[CutSet]:
        sampling = require("lhotse.dataset.sampling", "train")
        sampler = sampling.BucketingSampler(self._cuts, **self._options)
        # The buckets' own samplers know only the epoch, so the seed is mixed into it.
        sampler.set_epoch(int(np.random.SeedSequence([self._seed, epoch]).generate_state(1)[0]))
        return iter(sampler)


def generator_for(seed: int, step: int) -> torch.Generator:
    """A generator that depends on the seed and the global step alone."""
    mixed = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
