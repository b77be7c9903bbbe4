"""An offline recogniser made to stream: run again and again over a window that slides (buffered streaming).

A window is a chunk with sound on either side of it; only the chunk's frames are used. What lies beside it is computed
in every window it is in, which is what models that remember spare.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.nn.state import State

LEFT_FRAMES, CHUNK_FRAMES, RIGHT_FRAMES = 70, 25, 12
"""5.6 s of what was, 2 s a chunk, and 1 s of what comes, at 80 ms a frame."""


@dataclass
class BufferedState(State):
    """The samples [B, n] from the window's start on, of which the first `left` frames are done."""

    window: Tensor
    left: int


class Buffered:
    """A recogniser with the streaming steps of one that remembers; everything else is the model's own.

    Args:
        model: A `FastConformer`, offline or not.
        left: Frames before the chunk that the window holds.
        chunk: Frames a window gives.
        right: Frames after the chunk that it waits for.
        lookahead: The model's look-ahead within a window; None is its default.
    """

    def __init__(
        self,
        model: nn.Module,
        left: int = LEFT_FRAMES,
        chunk: int = CHUNK_FRAMES,
        right: int = RIGHT_FRAMES,
        lookahead: int | None = None,
    ) -> None:
        self._model, self._left, self._chunk, self._right = model, left, chunk, right
        self._lookahead = lookahead
        self.config, self.frame_length = model.config, model.frame_length
        self.label_log_probs = getattr(model, "label_log_probs", None)

    def init_state(self, batch_size: int = 1, lookahead: int | None = None) -> BufferedState:
        """A stream that has heard nothing. The look-ahead is the window's, so `lookahead` says nothing here."""
        return BufferedState(self._model.features.window.new_zeros(batch_size, 0), 0)

    def missing(self, state: BufferedState) -> int:
        """Samples until the window is full."""
        return (state.left + self._chunk + self._right) * self.frame_length - state.window.shape[1]

    def encode_step(self, wave: Tensor, state: BufferedState, final: bool = False) -> tuple[Tensor, BufferedState]:
        """The frames [B, T, D] that the next samples [B, n], any n ≥ 0, settle."""
        window, left, settled = torch.cat([state.window, wave], dim=1), state.left, []
        while window.shape[1] >= (size := (left + self._chunk + self._right) * self.frame_length):
            frames, _ = self._model.encode(window[:, :size], lookahead=self._lookahead)
            settled.append(frames[:, left : left + self._chunk])
            passed = max(0, left + self._chunk - self._left)
            window, left = window[:, passed * self.frame_length :], left + self._chunk - passed
        if final and window.shape[1] > left * self.frame_length:
            frames, _ = self._model.encode(window, lookahead=self._lookahead)
            settled.append(frames[:, left:])
        nothing = window.new_zeros(len(window), 0, self.config.dim)
        return torch.cat([nothing, *settled], dim=1), BufferedState(window, left)
