"""The two parts that make a transducer of an encoder: a predictor over the labels said so far, and a joiner.

RNN-T (Graves 2012): at every encoder frame the joiner weighs what is heard against what was said, and gives either
the next label or, with the blank, the next frame. The blank is the last label; in the predictor's table its row stands
for the start.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.nn.state import State


@dataclass
class PredictorState(State):
    """What the LSTM remembers of the labels said, hidden and cell [B, layers, P]."""

    hidden: Tensor
    cell: Tensor


class Predictor(nn.Module):
    """Labels said so far to what may follow: an embedding and an LSTM, [B, U] to [B, U, P]."""

    def __init__(self, vocab_size: int, dim: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.start = vocab_size
        self.embedding = nn.Embedding(vocab_size + 1, dim)
        self.lstm = nn.LSTM(dim, dim, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)

    def init_state(self, batch_size: int) -> PredictorState:
        """Nothing said yet."""
        zeros = self.embedding.weight.new_zeros(batch_size, self.lstm.num_layers, self.lstm.hidden_size)
        return PredictorState(zeros, zeros)

    def forward(self, labels: Tensor, state: PredictorState | None = None) -> tuple[Tensor, PredictorState]:
        """What follows each of the labels [B, U], continuing from `state`; begin with the label `start`."""
        state = state or self.init_state(len(labels))
        memory = (state.hidden.transpose(0, 1).contiguous(), state.cell.transpose(0, 1).contiguous())
        predicted, (hidden, cell) = self.lstm(self.embedding(labels), memory)
        return self.dropout(predicted), PredictorState(hidden.transpose(0, 1), cell.transpose(0, 1))


class Joiner(nn.Module):
    """Frames and predictions to logits of labels and blank."""

    def __init__(self, frame_dim: int, predictor_dim: int, dim: int, vocab_size: int) -> None:
        super().__init__()
        self.frames = nn.Linear(frame_dim, dim)
        self.predicted = nn.Linear(predictor_dim, dim)
        self.out = nn.Linear(dim, vocab_size + 1)

    def forward(self, frames: Tensor, predicted: Tensor) -> Tensor:
        """Frames [..., D] and predictions [..., P], of shapes that broadcast, to logits [..., V + 1]."""
        return self.weigh(self.frames(frames), self.predicted(predicted))

    def weigh(self, heard: Tensor, said: Tensor) -> Tensor:
        """As `forward`, of frames and predictions that are projected already, [..., J]."""
        return self.out(torch.relu(heard + said))
