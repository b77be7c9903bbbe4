"""CTC prefix beam search, frame by frame (Hannun et al. 2014): the likeliest labels, not the likeliest path.

A hypothesis is a sequence of labels with the probability of all paths to it, those that end with the blank and those
that end with its last label kept apart: only after a blank does the same label again say it twice.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from audiogen.infer.bias import Bias, BiasState
from audiogen.infer.hypotheses import Beam, Key, Link, key_of

LEAST_LABEL, MOST_LABELS = -9.0, 24
"""Labels considered in a frame: the likeliest, none below this log-probability."""
NEVER = -np.inf


@dataclass(slots=True)
class Hypothesis:
    """Labels said, and how likely.

    Attributes:
        link: The newest of the labels before `label`, or all of them if there is none.
        label: A label just said that has no link yet, with its log-probability; None for none.
        blank: Log-probability of the paths that end with the blank.
        sound: That of the paths that end with the newest label.
        bias: What speaks for it besides.
        state: Where that stands.
    """

    link: Link | None
    label: tuple[int, float] | None
    blank: float
    sound: float
    bias: float
    state: BiasState

    @property
    def heard(self) -> float:
        """Log-probability of all its paths."""
        return float(np.logaddexp(self.blank, self.sound))

    @property
    def score(self) -> float:
        """What it is ranked by."""
        return self.heard + self.bias


class PrefixBeam(Beam):
    """One search over log-probabilities [T, V + 1], in parts of any length.

    Args:
        bias: What speaks for hypotheses besides the sound.
        width: Hypotheses kept after each frame.
    """

    def __init__(self, bias: Bias, width: int) -> None:
        super().__init__(bias, width, Hypothesis(None, None, 0.0, NEVER, 0.0, bias.start()))

    def feed(self, log_probs: Tensor) -> None:
        """Take the next frames [T, V + 1]."""
        self._take(log_probs.double().numpy())

    def _frame(self, heard: np.ndarray) -> None:
        """One frame, log-probabilities [V + 1]."""
        likely = np.argsort(-heard[:-1])[:MOST_LABELS]
        likely = [int(label) for label in likely if heard[label] > LEAST_LABEL]
        found: dict[Key, Hypothesis] = {key_of(old.link): self._stayed(old, heard) for old in self._beam}
        for old in self._beam:
            for label in likely:
                self._grow(found, old, label, float(heard[label]))
        kept = sorted(found.values(), key=lambda hypothesis: -hypothesis.score)[: self._width]
        most = kept[0].heard
        for hypothesis in kept:
            hypothesis.blank -= most
            hypothesis.sound -= most
            if hypothesis.label is not None:
                label, log_prob = hypothesis.label
                hypothesis.link = Link(hypothesis.link, label, self._frames, self._frames + 1, log_prob)
                hypothesis.label = None
        self._beam = kept

    def _stayed(self, old: Hypothesis, heard: np.ndarray) -> Hypothesis:
        """The same labels after a frame of the blank, or of the newest of them once more."""
        sound = NEVER
        if old.link is not None:
            sound = old.sound + float(heard[old.link.id])
            if heard[old.link.id] > heard[-1]:
                old.link.heard(self._frames, float(heard[old.link.id]))
        return Hypothesis(old.link, None, old.heard + float(heard[-1]), sound, old.bias, old.state)

    def _grow(self, found: dict[Key, Hypothesis], old: Hypothesis, label: int, log_prob: float) -> None:
        """Add what `old` becomes with one more label to what was found."""
        again = old.link is not None and old.link.id == label
        sound = (old.blank if again else old.heard) + log_prob
        if sound == NEVER:
            return
        key = (id(old.link), label)
        if key in found:
            found[key].sound = float(np.logaddexp(found[key].sound, sound))
            return
        state, gain = self._bias.advance(old.state, label)
        found[key] = Hypothesis(old.link, (label, log_prob), NEVER, sound, old.bias + gain, state)
