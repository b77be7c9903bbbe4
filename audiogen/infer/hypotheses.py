"""What beam searches share: labels linked to those before them, and the part that all hypotheses agree on.

Hypotheses that go on from the same label share its link, so a beam costs no more than what it disagrees on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from audiogen.infer.bias import Bias, BiasState
from audiogen.infer.ctc import Label


@dataclass(eq=False, slots=True)
class Link:
    """A label that was said, as `Label` has it, and the one before."""

    before: Link | None
    id: int
    start: int
    end: int
    log_prob: float

    def heard(self, frame: int, log_prob: float) -> None:
        """Note that the label was heard on in `frame`."""
        self.end, self.log_prob = frame + 1, max(self.log_prob, log_prob)


Key = tuple[int, int] | None
"""What tells hypotheses apart: the link they go on from and their newest label; None if nothing was said."""


def key_of(link: Link | None) -> Key:
    """The key of the hypothesis that ends with `link`."""
    return None if link is None else (id(link.before), link.id)


class History:
    """The beginning that all hypotheses share: labels that later frames cannot change any more."""

    def __init__(self) -> None:
        self.settled: list[Label] = []

    def labels(self, link: Link | None) -> list[Label]:
        """All labels of the hypothesis that ends with `link`."""
        return self.settled + [_label(one) for one in _chain(link)]

    def settle(self, links: Sequence[Link | None]) -> None:
        """Take the labels that all of `links` share out of their chains."""
        chains = [_chain(link) for link in {id(link): link for link in links}.values()]
        shared = 0
        # The newest label of each may still be heard on, so its end and confidence are not settled yet.
        for ones in zip(*(chain[:-1] for chain in chains), strict=False):
            if any(one is not ones[0] for one in ones):
                break
            shared += 1
        if shared:
            self.settled += [_label(one) for one in chains[0][:shared]]
            for chain in chains:
                chain[shared].before = None


class Hypothesis(Protocol):
    """What a beam ranks: the newest label, how likely all are with what speaks for them, and where that stands."""

    link: Link | None
    score: float
    state: BiasState


class Beam(ABC):
    """A search frame by frame that keeps the best hypotheses, the best first.

    Args:
        bias: What speaks for hypotheses besides the sound.
        width: Hypotheses kept after each frame.
        first: The one before the first frame.
    """

    def __init__(self, bias: Bias, width: int, first: Hypothesis) -> None:
        self._bias, self._width, self._frames = bias, width, 0
        self._history, self._beam = History(), [first]

    def labels(self, final: bool = False) -> list[Label]:
        """The best labels so far; with `final`, unfinished words are judged too."""
        best = self._beam[0]
        if final:
            best = max(self._beam, key=lambda hypothesis: hypothesis.score + self._bias.finish(hypothesis.state))
        return self._history.labels(best.link)

    def settled(self) -> int:
        """How many of the first labels later frames cannot change any more."""
        return len(self._history.settled)

    def _take(self, frames: Iterable[Any]) -> None:
        """Take the next frames."""
        for frame in frames:
            self._frame(frame)
            self._frames += 1
        self._history.settle([hypothesis.link for hypothesis in self._beam])

    @abstractmethod
    def _frame(self, heard: Any) -> None:
        """Bring the beam over one frame."""


def _chain(link: Link | None) -> list[Link]:
    """The labels up to this one, the first first."""
    chain = []
    while link is not None:
        chain.append(link)
        link = link.before
    return chain[::-1]


def _label(link: Link) -> Label:
    return Label(link.id, link.start, link.end, link.log_prob)
