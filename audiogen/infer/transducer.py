"""Decoding a transducer as the encoder's frames arrive: the best label at every step, or a beam.

The predictor goes on from labels alone, so what it remembers lasts across chunks. At one frame at most `MAX_SYMBOLS`
labels are said. The beam goes frame by frame (Saon et al. 2020, time-synchronous): hypotheses say labels until none of
those still worth keeping wants to, then all take the blank, and those with the same labels are one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.infer.bias import Bias, BiasState
from audiogen.infer.ctc import Label
from audiogen.infer.hypotheses import Beam, Key, Link, key_of
from audiogen.nn.transducer import PredictorState

MAX_SYMBOLS = 10


class TransducerGreedy:
    """The best label of each step. What it has said it never takes back.

    Args:
        model: With a `predictor` and a `joiner`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self._labels, self._frames = model, [], 0
        self._predicted, self._state = _predict(model, [model.predictor.start], None)

    @torch.inference_mode()
    def feed(self, frames: Tensor) -> None:
        """Take the encoder's next frames [T, D]."""
        joiner, heard = self._model.joiner, self._model.joiner.frames(frames)
        t = said = 0
        while t < len(heard):
            # Until a label is said the prediction stays, so all frames to come are looked at in one go.
            log_probs = joiner.weigh(heard[t:], self._predicted).log_softmax(-1)
            values, best = log_probs.max(-1)
            speaking = (best != self._model.blank).nonzero()
            if not len(speaking):
                break
            waited = int(speaking[0])
            t, said = t + waited, 1 if waited else said + 1
            label, frame = int(best[waited]), self._frames + t
            self._labels.append(Label(label, frame, frame + 1, float(values[waited])))
            self._predicted, self._state = _predict(self._model, [label], self._state)
            if said == MAX_SYMBOLS:
                t, said = t + 1, 0
        self._frames += len(heard)

    def labels(self, final: bool = False) -> list[Label]:
        """The labels so far."""
        return list(self._labels)

    def settled(self) -> int:
        """How many of the first labels later frames cannot change any more."""
        return len(self._labels)


@dataclass(slots=True)
class Hypothesis:
    """Labels said, how likely with what speaks for them besides, and what the predictor makes of them."""

    link: Link | None
    score: float
    state: BiasState
    predicted: Tensor
    memory: PredictorState


class TransducerBeam(Beam):
    """A beam of label sequences.

    Args:
        model: With a `predictor` and a `joiner`.
        bias: What speaks for hypotheses besides the sound.
        width: Hypotheses kept after each frame.
    """

    def __init__(self, model: nn.Module, bias: Bias, width: int) -> None:
        predicted, memory = _predict(model, [model.predictor.start], None)
        super().__init__(bias, width, Hypothesis(None, 0.0, bias.start(), predicted[0], memory))
        self._model = model

    @torch.inference_mode()
    def feed(self, frames: Tensor) -> None:
        """Take the encoder's next frames [T, D]."""
        self._take(self._model.joiner.frames(frames))

    def _frame(self, heard: Tensor) -> None:
        """One frame, as the joiner projects it [J]."""
        speaking, done = self._beam, {}
        for said in range(MAX_SYMBOLS + 1):
            predicted = torch.stack([hypothesis.predicted for hypothesis in speaking])
            log_probs = self._model.joiner.weigh(heard, predicted).double().log_softmax(-1)
            self._wait(done, speaking, log_probs[:, -1].tolist())
            speaking = self._grown(speaking, log_probs[:, :-1], self._worth(done)) if said < MAX_SYMBOLS else []
            if not speaking:
                break
        self._beam = sorted(done.values(), key=lambda hypothesis: -hypothesis.score)[: self._width]
        most = self._beam[0].score
        for hypothesis in self._beam:
            hypothesis.score -= most

    def _wait(self, done: dict[Key, Hypothesis], speaking: list[Hypothesis], blanks: list[float]) -> None:
        """Add what hypotheses become with the blank to those that are done with this frame."""
        for old, blank in zip(speaking, blanks, strict=True):
            score, key = old.score + blank, key_of(old.link)
            if key in done:
                score = float(torch.logaddexp(torch.tensor(score).double(), torch.tensor(done[key].score).double()))
            done[key] = Hypothesis(old.link, score, old.state, old.predicted, old.memory)

    def _worth(self, done: dict[Key, Hypothesis]) -> float:
        """The score that a hypothesis must reach to be kept."""
        scores = sorted((hypothesis.score for hypothesis in done.values()), reverse=True)
        return scores[self._width - 1] if len(scores) >= self._width else -torch.inf

    def _grown(self, speaking: list[Hypothesis], log_probs: Tensor, worth: float) -> list[Hypothesis]:
        """The best of what hypotheses become with one more label, log-probabilities [N, V]."""
        found = []
        values, labels = log_probs.topk(min(self._width, log_probs.shape[1]))
        for row, old in enumerate(speaking):
            for value, label in zip(values[row].tolist(), labels[row].tolist(), strict=True):
                if old.score + value > worth:
                    state, gain = self._bias.advance(old.state, label)
                    found.append((old.score + value + gain, row, label, value, state))
        found = sorted(found, key=lambda one: -one[0])[: self._width]
        if not found:
            return []
        memory = PredictorState.cat([speaking[row].memory for _, row, *_ in found])
        predicted, memory = _predict(self._model, [label for _, _, label, *_ in found], memory)
        return [
            Hypothesis(
                Link(speaking[row].link, label, self._frames, self._frames + 1, value),
                score,
                state,
                predicted[i],
                memory.select([i]),
            )
            for i, (score, row, label, value, state) in enumerate(found)
        ]


@torch.inference_mode()
def _predict(model: nn.Module, labels: list[int], state: PredictorState | None) -> tuple[Tensor, PredictorState]:
    """What follows each label, as the joiner projects it [N, J], and the states after them."""
    index = torch.tensor(labels, device=model.joiner.out.weight.device)[:, None]
    predicted, state = model.predictor(index, state)
    return model.joiner.predicted(predicted[:, 0]), state
