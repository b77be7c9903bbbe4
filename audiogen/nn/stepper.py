"""A transformer's steps by one token a row, for speaking: the same as `Transformer.forward`, in a fraction of its time.

For a single token, finding modules and slicing, turning and masking tensors take longer than the arithmetic. `Stepper`
does all that stays the same from token to token once; where there is numba, `FusedStepper` is a step as one call.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.transformer import Block, StageNorm, Transformer, TransformerState, full


def stepper(transformer: Transformer, state: TransformerState) -> "Stepper | FusedStepper":  # noqa: F821
    """The fastest there is for these weights on this machine; for its use see `Stepper`."""
    try:
        from audiogen.nn.fused_stepper import FusedStepper

        return FusedStepper(transformer, state)
    except (ModuleNotFoundError, AudiogenError):  # no numba, or what it does not take
        return Stepper(transformer, state)


class Stepper:
    """Takes streams on by one token a row, in PyTorch. It pays from the second token on. No gradients.

    Args:
        transformer: Whose weights to use; they must not change meanwhile.
        state: The streams so far. Its buffers are written in place: go on from `Stepper.state`.
    """

    def __init__(self, transformer: Transformer, state: TransformerState):
        self._cache = state
        self._norm = _Norm(transformer.norm)
        layers = zip(transformer.blocks, state.keys, state.values, strict=True)
        self._blocks = [BlockStepper(block, keys, values) for block, keys, values in layers]
        batch, heads, self._capacity, width = state.keys[0].shape
        self._lengths, self._pace = state.length.clone(), torch.ones_like(state.length)
        first, last = state.length.aminmax()
        self._end, self._ragged = int(last), bool(first != last)
        self._places = torch.arange(self._capacity, device=last.device)
        self._streams = (torch.arange(batch * heads, device=last.device) * self._capacity).view(batch, heads)
        # With these a row's rotation is one matrix [D / H, D / H]: cosines on the diagonal, sines beside it.
        half = torch.block_diag(*[transformer.frequencies] * transformer.config.axes)
        self._frequencies = torch.cat([-half, half], 1)
        self._diagonal = torch.eye(width, dtype=half.dtype, device=half.device)
        self._beside = self._diagonal.roll(width // 2, 0)

    @property
    def state(self) -> TransformerState:
        """The streams with the tokens taken so far."""
        return TransformerState(self._cache.keys, self._cache.values, self._lengths)

    def hold(self, rows: Tensor) -> None:
        """From now on the tokens of `rows` [B] (true or false) count for nothing; their streams stay as they are."""
        self._pace = 1 - rows.long()
        self._end, self._ragged = int((self._lengths * self._pace).max()), True

    def __call__(self, x: Tensor, positions: Tensor) -> Tensor:
        """The next token of each row [B, D] at its positions [B, axes], to its output [B, D]."""
        self._end += 1
        if self._end > self._capacity:
            raise full(self._capacity, self._end)
        angles = (positions[..., None] * self._frequencies).sum(1, keepdim=True)
        rotation = torch.addcmul(self._diagonal * angles.cos(), self._beside, angles.sin())
        mask = self._places[: self._end] <= self._lengths[:, None, None, None] if self._ragged else None
        slots = (self._streams + self._lengths[:, None]).flatten()
        for block in self._blocks:
            x = block(x, rotation, slots, self._end, mask)
        self._lengths += self._pace
        return self._norm(x)


class BlockStepper:
    """What `Stepper` keeps of a `Block`: its weights ready for use and the buffers of its cache."""

    def __init__(self, block: Block, keys: Tensor, values: Tensor):
        self.heads, self.width = keys.shape[1], keys.shape[3]
        self.keys, self.values = keys, values
        self.key_slots, self.value_slots = (buffer.view(-1, self.width) for buffer in (keys, values))
        self.attention_norm = _Norm(block.attention_norm)
        self.feedforward_norm = _Norm(block.feedforward_norm)
        linears = (block.attention.inputs, block.attention.out, block.expand, block.reduce)
        self.inputs, self.out, self.expand, self.reduce = map(_ready, linears)

    def __call__(self, x: Tensor, rotation: Tensor, slots: Tensor, end: int, mask: Tensor | None) -> Tensor:
        """Tokens [B, D] to tokens [B, D].

        Args:
            x: The tokens.
            rotation: What turns queries and keys [B, D / H, D / H].
            slots: Where the tokens go among all the slots of the cache [B · H].
            end: Slots in use, these included.
            mask: True for the slots a row may see [B, 1, 1, end]; None if all.
        """
        heads, width = self.heads, self.width
        inputs = self.inputs(self.attention_norm(x)).view(-1, 3 * heads, width)
        queries, keys = torch.bmm(inputs[:, : 2 * heads], rotation).chunk(2, 1)
        self.key_slots.index_copy_(0, slots, keys.reshape(-1, width))
        self.value_slots.index_copy_(0, slots, inputs[:, 2 * heads :].reshape(-1, width))
        attended = F.scaled_dot_product_attention(
            queries[:, :, None], self.keys[:, :, :end], self.values[:, :, :end], attn_mask=mask
        )
        x = x + self.out(attended.flatten(1))
        return x + self.reduce(F.gelu(self.expand(self.feedforward_norm(x)), approximate="tanh"))


class _Norm:
    """A `StageNorm` of one stage."""

    def __init__(self, norm: StageNorm):
        self.weight, self.bias = norm.weight[0], norm.bias[0]
        self.shape = self.weight.shape

    def __call__(self, x: Tensor) -> Tensor:
        return torch.layer_norm(x, self.shape, self.weight, self.bias)


def _ready(linear: nn.Module) -> Callable[[Tensor], Tensor]:
    """What a linear layer does to tokens [B, D], without the cost of a module's call."""
    if not isinstance(linear, nn.Linear):
        return linear.forward
    bias, weight = linear.bias, linear.weight.t()
    return lambda x: torch.addmm(bias, x, weight)
