"""Clips that are gone over again and again under a `CrossTransformer`, each time with some frames changed.

Most of what the layers made of a clip last time still holds: with a limited reach, a change spreads `reach` frames a
layer. A `Draft` keeps what every layer was given. Of a revision it computes the frames that follow from a change and
that the outputs asked for depend on, and no others; the outputs are those of the whole clip.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from audiogen.nn.cross_transformer import CrossTransformer, Memory, banded_attention, pick, positions


@dataclass
class _Kept:
    """What a layer was given: x [R, T + 1, D], and the queries, keys and values [R, T + 1, 3 D] it made of that.

    The frames stale [B, T] are out of date. The last frame is a spare one, for what fills up the rows of `places_of`.
    """

    x: Tensor
    inputs: Tensor
    stale: Tensor


class Draft:
    """Clips under revision.

    Args:
        transformer: What they pass through, in inference.
        memory: The text of each clip.
        reach: Frames to either side that a frame sees; None for all.
    """

    def __init__(self, transformer: CrossTransformer, memory: Memory | None, reach: int | None) -> None:
        self._transformer, self._memory, self._reach = transformer, memory, reach
        self._kept: list[_Kept] = []

    def revise(self, x: Tensor, wanted: Tensor, also_without: bool = False) -> Tensor:
        """The outputs of some frames.

        Args:
            x: Embedded codes [B, T, D], without positions.
            wanted: The frames whose outputs are needed, bool [B, T].
            also_without: Whether to run every clip a second time, without its text: what both have in common is done
                once. From one revision to the next this may end, but not begin.

        Returns:
            The outputs [B, M, D] of the frames `places_of(wanted)`, followed by those without a text if asked for.
        """
        x = x + positions(x.shape[1], x.shape[2], x)
        if self._kept:
            changed = (x != self._kept[0].x[:, :-1]).any(2)
        else:
            changed, self._kept = torch.ones_like(wanted), self._blank(x, also_without)
        frames = [places_of(mask) for mask in self._to_do(changed, wanted)]
        x = pick(F.pad(x, (0, 0, 0, 1)), frames[0])
        for number, (layer, kept) in enumerate(zip(self._transformer.layers, self._kept, strict=True)):
            _put(kept.x, frames[number], x)
            _put(kept.inputs, frames[number], layer.attention.inputs(layer.attention_norm(x)))
            seen = self._attend(kept.inputs[: len(x)], frames[number + 1])
            x = pick(kept.x[: len(x)], frames[number + 1]) + layer.attention.join(seen)
            if also_without and number == 0:
                x, frames = torch.cat([x, x]), [places.repeat(2, 1) for places in frames]
            x = layer.read(x, self._memory, number)
        return self._transformer.norm(x)

    def _blank(self, x: Tensor, also_without: bool) -> list[_Kept]:
        """Room for every layer; the first sees no text, so clips with and without one are the same there."""
        batch, frames, dim = x.shape
        rows = [batch, *[batch * (1 + also_without)] * (len(self._transformer.layers) - 1)]
        stale = torch.ones(batch, frames, dtype=torch.bool, device=x.device)
        return [
            _Kept(x.new_zeros(count, frames + 1, dim), x.new_zeros(count, frames + 1, 3 * dim), stale.clone())
            for count in rows
        ]

    def _to_do(self, changed: Tensor, wanted: Tensor) -> list[Tensor]:
        """Which frames [B, T] each layer must be given anew, and at the end those wanted."""
        for kept in self._kept:
            kept.stale |= changed
            changed = self._near(changed)
        to_do = [wanted]
        for kept in reversed(self._kept):
            needed = self._near(to_do[0])
            to_do.insert(0, kept.stale & needed)
            kept.stale &= ~needed
        return to_do

    def _near(self, frames: Tensor) -> Tensor:
        """The frames that see, or are seen by, those in bool [B, T]."""
        if self._reach is None:
            return frames.any(1, keepdim=True).expand_as(frames)
        return F.max_pool1d(frames.float(), 2 * self._reach + 1, 1, self._reach).bool()

    def _attend(self, inputs: Tensor, places: Tensor) -> Tensor:
        """What the frames `places` [B, M] see, by heads [B, H, M, E], in `inputs` [B, T + 1, 3 D]."""
        queries, keys, values = self._transformer.layers[0].attention.split(inputs[:, :-1])
        if self._reach is None:
            queries = self._transformer.layers[0].attention.split(pick(inputs, places))[0]
            return F.scaled_dot_product_attention(queries, keys, values)
        seen = F.pad(banded_attention(queries, keys, values, self._reach), (0, 0, 0, 1))
        return pick(seen.transpose(1, 2), places).transpose(1, 2)


def places_of(frames: Tensor) -> Tensor:
    """The places [B, M] of the frames in bool [B, T]; rows with fewer than others are filled up with the place T."""
    count = max(1, int(frames.sum(1).max()))
    places = (~frames).to(torch.uint8).argsort(dim=1, stable=True)[:, :count]
    return places.where(frames.gather(1, places), frames.shape[1])


def _put(target: Tensor, places: Tensor, x: Tensor) -> None:
    """Write x [B, M, D] to the frames `places` [B, M] of the first rows of `target`."""
    rows = torch.arange(len(x), device=x.device)[:, None]
    target[rows, places] = x
