"""A transformer's step by one token a row in one compiled call, with weights packed once; see `nn.token_step`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.int8 import Int8Linear
from audiogen.nn.token_step import PANEL, TOGETHER, step
from audiogen.nn.transformer import Block, Transformer, TransformerState, full
from audiogen.nn.waiting import tell_when_compiled

tell_when_compiled({step: "the transformer's step"})


class FusedStepper:
    """The same as `audiogen.nn.stepper.Stepper`, about as fast as a processor core reads weights and caches.

    Weights of 8 bits are as `Int8Linear` has rounded them; activations are not rounded. Many rows are shared out among
    as many cores as torch may use.

    Args:
        transformer: Whose weights to use; they must not change meanwhile.
        state: The streams so far. Its buffers are written in place: go on from `FusedStepper.state`.

    Raises:
        AudiogenError: If a width is no multiple of 16, the weights are not float32, or 8-bit, on the CPU, or a cache
            lies in pieces.
    """

    def __init__(self, transformer: Transformer, state: TransformerState) -> None:
        self._packed, self._cache = _packed(transformer), state
        if not all(buffer.is_contiguous() for buffer in (*state.keys, *state.values)):
            raise AudiogenError("the fused step needs caches whose rows lie one after the other")
        caches = [_places(*buffers) for buffers in zip(state.keys, state.values, strict=True)]
        self._blocks = np.concatenate([self._packed.blocks, np.array(caches)], 1)
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
        if len(x) != len(self._lengths) or len(positions) != len(x):
            raise AudiogenError(
                f"{len(x)} tokens at {len(positions)} positions cannot go on {len(self._lengths)} streams"
            )
        lengths, capacity = self._lengths.numpy(), self._shape[2]
        end = 1 + int(lengths[self._rows].max(initial=-1))
        if end > capacity:
            raise full(capacity, end)
        out = x.detach().clone(memory_format=torch.contiguous_format)
        weights = self._blocks, self._packed.norm, self._packed.small, self._shape
        tokens = lengths, positions.contiguous().numpy(), self._frequencies, out.numpy()
        parts = min(torch.get_num_threads(), -(-len(self._rows) // TOGETHER))
        if parts > 1:
            rows = np.array_split(self._rows, parts)
            list(_workers(parts).map(lambda part: step(*weights, part, *tokens), rows))
        else:
            step(*weights, self._rows, *tokens)
        self._lengths += self._pace
        return out


@cache
def _workers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)


@dataclass(frozen=True)
class Packed:
    """A transformer as `nn.token_step` reads it.

    Attributes:
        source: What tells whether the transformer has changed since.
        small: Whether its weights have 8 bits.
        blocks: Addresses in each block but those of its cache, int64 [layers, 16].
        norm: Those of the last norm.
        held: What lies there.
    """

    source: list[nn.Module | tuple[int, int]]
    small: bool
    blocks: np.ndarray
    norm: np.ndarray
    held: list[Tensor]


_known: WeakKeyDictionary[Transformer, Packed] = WeakKeyDictionary()


def _packed(transformer: Transformer) -> Packed:
    """The transformer, packed when first asked for and when it has changed."""
    norms = (norm for block in transformer.blocks for norm in (block.attention_norm, block.feedforward_norm))
    linears = (linear for block in transformer.blocks for linear in _linears(block))
    source = [_version(module) for module in (*linears, *norms, transformer.norm)]
    found = _known.get(transformer)
    if found is None or found.source != source:
        _check(transformer)
        found = _known[transformer] = _pack(transformer, source)
    return found


def _version(module: nn.Module) -> nn.Module | tuple[int, int]:
    """What is another where other weights are: a layer of 8 bits never changes; others are known by the place of their
    weights, and how often these have been written to, which tensors of inference mode do not count.
    """
    if isinstance(module, Int8Linear):
        return module
    weight = module.weight
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


@torch.no_grad()
def _pack(transformer: Transformer, source: list[nn.Module | tuple[int, int]]) -> Packed:
    layers = [[_parts(linear) for linear in _linears(block)] for block in transformer.blocks]
    small = layers[0][0][0].dtype == torch.int8
    count = sum(weight.numel() for layer in layers for weight, *_ in layer)
    # In one piece from numpy, which asks for large pages: they spare the search for memory.
    space = torch.from_numpy(np.empty(count, np.int8 if small else np.float32))
    blocks, held, start = [], [space], 0
    for block, layer in zip(transformer.blocks, layers, strict=True):
        columns = []
        for weight, *others in layer:
            panels = weight.unflatten(0, (-1, PANEL)).transpose(1, 2)
            place = space[start : start + weight.numel()]
            place.view(panels.shape).copy_(panels)
            columns.append(_places(place, *others))
            held += others
            start += weight.numel()
        inputs, out, expand, reduce = columns
        first, second = (_places(norm.weight, norm.bias) for norm in (block.attention_norm, block.feedforward_norm))
        blocks.append([*first, *inputs, *out, *second, *expand, *reduce])
    norm = np.array(_places(transformer.norm.weight, transformer.norm.bias))
    return Packed(source, small, np.array(blocks), norm, held)


def _parts(linear: nn.Linear | Int8Linear) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [O, I], scales of the outputs [O], and biases [O]."""
    if isinstance(linear, Int8Linear):
        return linear.unpacked()
    return linear.weight, torch.ones(linear.out_features), linear.bias


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
