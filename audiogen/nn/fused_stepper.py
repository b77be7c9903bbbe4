"""A transformer's step by one token a row in one compiled call, with weights packed once; see `nn.token_step`."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.int8 import Int8Linear
from audiogen.nn.token_step import PANEL, step
from audiogen.nn.transformer import Block, Transformer, TransformerState, full


class FusedStepper:
    """The same as `audiogen.nn.stepper.Stepper` on one core, about as fast as it reads weights and caches.

    Weights of 8 bits are as `Int8Linear` has rounded them; activations are not rounded.

    Args:
        transformer: Whose weights to use; they must not change meanwhile.
        state: The streams so far. Its buffers are written in place: go on from `FusedStepper.state`.

    Raises:
        AudiogenError: If a width is no multiple of 16, or the weights are not float32, or 8-bit, on the CPU.
    """

    def __init__(self, transformer: Transformer, state: TransformerState) -> None:
        _check(transformer)
        self._cache, self._norm = state, transformer.norm
        self._panels = [[_panels(linear) for linear in _linears(block)] for block in transformer.blocks]
        self._small = self._panels[0][0].weights.dtype == torch.int8
        layers = zip(transformer.blocks, self._panels, state.keys, state.values, strict=True)
        self._blocks = np.array([_row(*layer) for layer in layers])
        self._last = np.array(_places(transformer.norm.weight, transformer.norm.bias))
        _, heads, capacity, _ = state.keys[0].shape
        self._shape = heads, transformer.config.feedforward, capacity
        self._frequencies = transformer.frequencies.numpy()
        self._lengths, self._pace = state.length.clone(), torch.ones_like(state.length)
        self._rows = np.arange(len(self._lengths))

    @property
    def state(self) -> TransformerState:
        """The streams with the tokens taken so far."""
        return TransformerState(self._cache.keys, self._cache.values, self._lengths)

    def hold(self, rows: Tensor) -> None:
        """From now on the tokens of `rows` [B] (true or false) count for nothing; their streams stay as they are."""
        self._pace = 1 - rows.long()
        self._rows = self._pace.nonzero().flatten().numpy()  # flat in memory too: else compiled anew

    def __call__(self, x: Tensor, positions: Tensor) -> Tensor:
        """The next token of each row [B, D] at its positions [B, axes], to its output [B, D]."""
        lengths, capacity = self._lengths.numpy(), self._shape[2]
        end = 1 + int(lengths[self._rows].max(initial=-1))
        if end > capacity:
            raise full(capacity, end)
        out = x.detach().clone(memory_format=torch.contiguous_format)
        where = positions.contiguous().numpy()
        weights = self._blocks, self._last, self._small, self._shape
        step(*weights, self._rows, lengths, where, self._frequencies, out.numpy())
        self._lengths += self._pace
        return out


@dataclass(frozen=True)
class Panels:
    """A linear layer as `nn.token_step` reads it.

    Attributes:
        weights: Float32 or int8, [O / 16, I, 16].
        scales: Of the outputs [O].
        biases: Added to them [O].
        source: What tells whether the layer has changed since.
    """

    weights: Tensor
    scales: Tensor
    biases: Tensor
    source: tuple[int, ...]


_packed: WeakKeyDictionary[nn.Module, Panels] = WeakKeyDictionary()


@torch.no_grad()
def _panels(linear: nn.Linear | Int8Linear) -> Panels:
    """A layer's panels, packed when first asked for."""
    source = () if isinstance(linear, Int8Linear) else _version(linear.weight)
    found = _packed.get(linear)
    if found is None or found.source != source:
        if isinstance(linear, Int8Linear):
            weight, scales, bias = linear.unpacked()
        else:
            weight, scales, bias = linear.weight, torch.ones(linear.out_features), linear.bias
        panels = weight.unflatten(0, (-1, PANEL)).transpose(1, 2).contiguous()
        found = _packed[linear] = Panels(panels, scales, bias.detach().clone(), source)
    return found


def _version(weight: Tensor) -> tuple[int, ...]:
    """Where a weight lies and how often it has been written to, which tensors of inference mode do not count."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


def _row(block: Block, panels: list[Panels], keys: Tensor, values: Tensor) -> list[int]:
    """A block's row of the table of `nn.token_step`."""
    inputs, out, expand, reduce = (_places(each.weights, each.scales, each.biases) for each in panels)
    first, second = (_places(norm.weight, norm.bias) for norm in (block.attention_norm, block.feedforward_norm))
    return [*first, *inputs, *out, *second, *expand, *reduce, *_places(keys, values)]


def _places(*tensors: Tensor) -> list[int]:
    """Where they lie in memory."""
    return [tensor.data_ptr() for tensor in tensors]


def _linears(block: Block) -> tuple[nn.Module, ...]:
    return block.attention.inputs, block.attention.out, block.expand, block.reduce


def _check(transformer: Transformer) -> None:
    """Compiled code would read whatever lies where it expects weights."""
    config, norm = transformer.config, transformer.norm.weight
    width = config.dim // config.heads
    if any(size % PANEL for size in (config.dim, config.feedforward, width)):
        sizes = f"{config.dim}, {config.feedforward} and {width} a head"
        raise AudiogenError(f"the fused step needs widths that are multiples of {PANEL}, not {sizes}")
    kinds = {type(linear) for block in transformer.blocks for linear in _linears(block)}
    if len(kinds) != 1 or not kinds <= {nn.Linear, Int8Linear}:
        raise AudiogenError(f"the fused step needs layers of one kind, not {sorted(kind.__name__ for kind in kinds)}")
    if norm.dtype != torch.float32 or norm.device.type != "cpu":
        raise AudiogenError(f"the fused step needs float32 on the CPU, not {norm.dtype} on {norm.device}")
