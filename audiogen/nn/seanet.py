"""The SEANet encoder and decoder of EnCodec (arXiv 2210.13438 §3.1), whole or streamed through one code path.

Waves are [B, N, C] and latents [B, T, D]: channels last, so every convolution is a few matrix products on views of its
input and nothing is copied into another layout. Weights are stored as the products take them, weight norm folded.

A layer is `forward(x, state, final) -> (y, state)`; a whole sequence is one step from a fresh state with `final`. The
layers pad with mirrored samples, so a stream must hold its first samples until it has seen enough to mirror, and its
end is known only when told. Without causality a layer waits for the samples to the right that it needs.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError, unknown_name
from audiogen.nn.linear import MIN_ROWS
from audiogen.nn.state import State

PAD_MODES = ("reflect", "constant")
GATHERED = 32


@dataclass
class SeanetConfig:
    """Sizes of encoder and decoder, which mirror each other.

    Attributes:
        channels: Of the wave.
        filters: Channels after the first layer; they double with every ratio.
        ratios: Strides in the decoder's order; their product is the hop length.
        latent_dim: D.
        kernel_size: Of the first layer of each.
        last_kernel_size: Of the last.
        residual_kernel_size: Of the residual blocks.
        residual_layers: Residual blocks for each ratio.
        dilation_growth: Dilation of one residual block by that of the one before.
        compress: How many times narrower a residual block is inside.
        lstm_layers: LSTM layers at the frame rate.
        causal: Whether no layer sees what is to come.
        pad_mode: How ends are padded: `reflect` or `constant` (zeros).
        conv_shortcut: Whether residual blocks add a linear map of their input rather than the input.
        time_norm: Whether convolutions are followed by a normalisation over channels and time.
    """

    channels: int = 1
    filters: int = 32
    ratios: list[int] = field(default_factory=lambda: [8, 5, 4, 2])
    latent_dim: int = 128
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    residual_layers: int = 1
    dilation_growth: int = 2
    compress: int = 2
    lstm_layers: int = 2
    causal: bool = True
    pad_mode: str = "reflect"
    conv_shortcut: bool = True
    time_norm: bool = False

    def __post_init__(self) -> None:
        if self.pad_mode not in PAD_MODES:
            raise unknown_name("pad_mode", self.pad_mode, PAD_MODES)
        if self.causal and self.time_norm:
            raise AudiogenError("time_norm looks at the whole of the sound; it needs causal: false")

    @property
    def hop_length(self) -> int:
        """Samples a latent frame stands for."""
        return math.prod(self.ratios)

    @property
    def latent_width(self) -> int:
        """Channels of the LSTM."""
        return self.filters * 2 ** len(self.ratios)


@dataclass
class WindowState(State):
    """The inputs [B, n, C] that outputs to come still need, padded at the start once `begun`."""

    held: Tensor
    begun: bool


@dataclass
class UpsampleState(State):
    """The last input [B, 1, C], zeros before the start, and how many outputs are still to be dropped."""

    last: Tensor
    skip: int


@dataclass
class LstmState(State):
    """Hidden and cell values, [B, layers, D] each."""

    hidden: Tensor
    cell: Tensor


@dataclass
class StackState(State):
    """One state a layer."""

    layers: list[WindowState | UpsampleState | LstmState]


@dataclass
class SeanetState(State):
    """The states of the two stacks of an encoder or a decoder."""

    first: StackState
    second: StackState


class Encoder(nn.Module):
    """Wave [B, N, C] to latents [B, ceil(N / hop), D]: `down` to the frame rate, then `tail` along the frames."""

    def __init__(self, config: SeanetConfig) -> None:
        super().__init__()
        width = config.filters
        down: list[nn.Module] = [Convolution(config, config.channels, width, config.kernel_size)]
        for ratio in reversed(config.ratios):
            down += _residuals(config, width)
            down += [Convolution(config, width, 2 * width, 2 * ratio, ratio, activate=True)]
            width *= 2
        last = Convolution(config, width, config.latent_dim, config.last_kernel_size, activate=True)
        self.down = Stack(down)
        self.tail = Stack([Lstm(width, config.lstm_layers), last])

    def init_state(self, batch_size: int) -> SeanetState:
        """A stream that has seen nothing."""
        return SeanetState(self.down.init_state(batch_size), self.tail.init_state(batch_size))

    def forward(self, wave: Tensor, state: SeanetState, final: bool) -> tuple[Tensor, SeanetState]:
        """The frames that the next samples complete; `final` completes the last one."""
        x, down = self.down(wave, state.first, final)
        latents, tail = self.tail(x, state.second, final)
        return latents, SeanetState(down, tail)


class Decoder(nn.Module):
    """Latents [B, T, D] to wave [B, T · hop, C]: `head` along the frames, then `up` to the sample rate."""

    def __init__(self, config: SeanetConfig) -> None:
        super().__init__()
        width = config.latent_width
        self.head = Stack(
            [Convolution(config, config.latent_dim, width, config.kernel_size), Lstm(width, config.lstm_layers)]
        )
        up: list[nn.Module] = []
        for ratio in config.ratios:
            width //= 2
            up += [Upsample(config, 2 * width, width, ratio), *_residuals(config, width)]
        up += [Convolution(config, width, config.channels, config.last_kernel_size, activate=True)]
        self.up = Stack(up)

    def init_state(self, batch_size: int) -> SeanetState:
        """A stream that has seen nothing."""
        return SeanetState(self.head.init_state(batch_size), self.up.init_state(batch_size))

    def forward(self, latents: Tensor, state: SeanetState, final: bool) -> tuple[Tensor, SeanetState]:
        """The samples that the next frames settle; `final` gives the rest."""
        x, head = self.head(latents, state.first, final)
        wave, up = self.up(x, state.second, final)
        return wave, SeanetState(head, up)


class Stack(nn.ModuleList):
    """Layers one after the other."""

    def init_state(self, batch_size: int) -> StackState:
        """A stream that has seen nothing."""
        return StackState([layer.init_state(batch_size) for layer in self])

    def forward(self, x: Tensor, state: StackState, final: bool) -> tuple[Tensor, StackState]:
        """Run the layers, continuing from `state`."""
        after = []
        for layer, before in zip(self, state.layers, strict=True):
            x, layer_state = layer(x, before, final)
            after.append(layer_state)
        return x, StackState(after)


class Convolution(nn.Module):
    """A convolution, padded so that N inputs give ceil(N / stride) outputs; `activate` puts an ELU before it.

    `weight` [taps, stride · inputs, outputs] is a kernel of taps · stride samples: an output is a sum over taps of
    products with a block of `stride` samples.
    """

    def __init__(
        self,
        config: SeanetConfig,
        inputs: int,
        outputs: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.inputs, self.kernel_size, self.stride, self.dilation = inputs, kernel_size, stride, dilation
        self.activate = activate
        bound = 1 / math.sqrt(inputs * kernel_size)
        self.weight = _uniform((kernel_size // stride, stride * inputs, outputs), bound)
        self.bias = _uniform((outputs,), bound)
        self.norm = TimeNorm(outputs) if config.time_norm else nn.Identity()
        self.windows = Windows((kernel_size - 1) * dilation + 1, stride, config.causal, config.pad_mode)

    def init_state(self, batch_size: int) -> WindowState:
        """A stream that has seen nothing."""
        return WindowState(self.weight.new_zeros(batch_size, 0, self.inputs), begun=False)

    def forward(self, x: Tensor, state: WindowState, final: bool) -> tuple[Tensor, WindowState]:
        """The outputs [B, m, outputs] that the next inputs [B, n, inputs] complete."""
        padded, count, state = self.windows(elu(x) if self.activate else x, state, final)
        return self.convolve(padded, count), state

    def convolve(self, padded: Tensor, count: int) -> Tensor:
        """`count` outputs from inputs that are padded already."""
        if count == 0:
            return padded.new_zeros(len(padded), 0, len(self.bias))
        taps = len(self.weight)
        blocks = count + (taps - 1) * self.dilation
        x = padded[:, : blocks * self.stride].reshape(len(padded), blocks, self.stride * self.inputs)
        if taps > 1 and taps * x.shape[-1] <= GATHERED:
            # So narrow an input is better copied into whole windows than read tap by tap.
            x = x.unfold(1, (taps - 1) * self.dilation + 1, 1)[..., :: self.dilation].transpose(2, 3).flatten(2)
            return self.norm(_products(x, self.weight.flatten(0, 1)[None], self.bias, count, 1))
        return self.norm(_products(x, self.weight, self.bias, count, self.dilation))


class Upsample(nn.Module):
    """ELU and a transposed convolution with a kernel of two strides: T inputs give T · stride outputs.

    Two neighbouring inputs make a block of `stride` outputs: `weight` [2, inputs, stride · outputs] holds the products
    with the earlier one and with the later one. The first and last outputs, made of one input only, are cut as EnCodec
    does: all at the end if causal, else half at either end.
    """

    def __init__(self, config: SeanetConfig, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.inputs, self.stride = inputs, stride
        self.activate = True
        bound = 1 / math.sqrt(2 * stride * outputs)
        self.weight = _uniform((2, inputs, stride * outputs), bound)
        self.bias = _uniform((outputs,), bound)
        self.norm = TimeNorm(outputs) if config.time_norm else nn.Identity()
        self.right = stride if config.causal else stride // 2
        self.left = stride - self.right

    def init_state(self, batch_size: int) -> UpsampleState:
        """A stream that has seen nothing."""
        return UpsampleState(self.weight.new_zeros(batch_size, 1, self.inputs), self.left)

    def forward(self, x: Tensor, state: UpsampleState, final: bool) -> tuple[Tensor, UpsampleState]:
        """The outputs that the next inputs settle, all the rest if `final`."""
        x = torch.cat([state.last, elu(x)], dim=1)
        last = x[:, -1:].clone()
        cut = 0
        if final and self.right < self.stride:
            x, cut = nn.functional.pad(x, (0, 0, 0, 1)), self.right
        y = _products(x, self.weight, self.bias.repeat(self.stride), x.shape[1] - 1, 1)
        y = self.norm(y.reshape(len(y), -1, len(self.bias)))
        dropped = min(state.skip, y.shape[1])
        return y[:, dropped : y.shape[1] - cut], UpsampleState(last, state.skip - dropped)


class ResidualBlock(nn.Module):
    """x + W₂ ELU(W₁ ELU(x)), where W₁ convolves into fewer channels and W₂ is pointwise; x itself may be mapped too."""

    def __init__(self, config: SeanetConfig, width: int, dilation: int) -> None:
        super().__init__()
        hidden = width // config.compress
        self.first = Convolution(config, width, hidden, config.residual_kernel_size, dilation=dilation)
        self.second = Convolution(config, hidden, width, 1)
        self.shortcut = Convolution(config, width, width, 1) if config.conv_shortcut else None

    def init_state(self, batch_size: int) -> WindowState:
        """A stream that has seen nothing."""
        return self.first.init_state(batch_size)

    def forward(self, x: Tensor, state: WindowState, final: bool) -> tuple[Tensor, WindowState]:
        """x [B, n, width] to the same width, delayed by what `first` sees to its right."""
        padded, count, state = self.first.windows(x, state, final)
        mapped = self.second.convolve(elu(self.first.convolve(elu(padded), count)), count)
        left = self.first.windows.left
        middle = padded[:, left : left + count]
        return mapped + (middle if self.shortcut is None else self.shortcut.convolve(middle, count)), state


class Lstm(nn.Module):
    """LSTM layers over frames [B, T, D], their output added to their input. Gates in the order i, f, o, g."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.width = width
        bound = 1 / math.sqrt(width)
        self.input_weights = _uniform((layers, width, 4 * width), bound)
        self.hidden_weights = _uniform((layers, width, 4 * width), bound)
        self.biases = _uniform((layers, 4 * width), bound)

    def init_state(self, batch_size: int) -> LstmState:
        """A stream that has seen nothing."""
        zeros = self.biases.new_zeros(batch_size, len(self.biases), self.width)
        return LstmState(zeros, zeros)

    def forward(self, x: Tensor, state: LstmState, final: bool) -> tuple[Tensor, LstmState]:
        """x to the same shape, continuing from `state`."""
        if x.shape[1] == 0:
            return x, state
        y, hidden, cell = x, list(state.hidden.unbind(1)), list(state.cell.unbind(1))
        for layer, (weight, bias) in enumerate(zip(self.hidden_weights, self.biases, strict=True)):
            gates = _products(y, self.input_weights[layer, None], bias, y.shape[1], 1)
            outputs = []
            for of_input in gates.unbind(1):
                gate = of_input + torch.mm(hidden[layer], weight)
                i, f, o = gate[:, : 3 * self.width].sigmoid().chunk(3, dim=1)
                cell[layer] = torch.addcmul(i * gate[:, 3 * self.width :].tanh(), f, cell[layer])
                hidden[layer] = o * cell[layer].tanh()
                outputs.append(hidden[layer])
            y = torch.stack(outputs, dim=1)
        return y + x, LstmState(torch.stack(hidden, dim=1), torch.stack(cell, dim=1))


class TimeNorm(nn.Module):
    """Normalises x [B, T, C] over time and channels together, then scales each channel: a group norm of one group."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x to the same shape; all of its frames are needed at once."""
        return torch.addcmul(self.bias, nn.functional.layer_norm(x, x.shape[1:]), self.weight)


class Windows:
    """Pads a stream at its two ends and says which outputs of a convolution are complete.

    Args:
        span: Samples an output sees.
        stride: Samples from one output to the next.
        causal: Whether all padding is at the start.
        pad_mode: See `SeanetConfig`.
    """

    def __init__(self, span: int, stride: int, causal: bool, pad_mode: str) -> None:
        self.total, self.stride = span - stride, stride
        self.right = 0 if causal else self.total // 2
        self.left = self.total - self.right
        self.mirrors = pad_mode == "reflect" and self.total > 0
        # What mirroring at either end may need; a stream waits for it at its start and keeps it until its end.
        self.needed = max(self.left, self.right + stride - 1) + 1 if self.mirrors else 0
        self.kept = max(self.total, self.right + stride) if self.mirrors else self.total

    def __call__(self, x: Tensor, state: WindowState, final: bool) -> tuple[Tensor, int, WindowState]:
        """Padded inputs to convolve, how many outputs they give, and the state after those."""
        if self.total == 0 and self.stride == 1:
            return x, x.shape[1], state
        if state.held.shape[1]:
            x = torch.cat([state.held, x], dim=1)
        begins = not state.begun and (x.shape[1] >= self.needed or final) and x.shape[1] > 0
        begun = state.begun or begins
        if not begun:
            return x[:, :0], 0, WindowState(x, begun=False)
        left = self.left if begins else 0
        right = self.right + -(x.shape[1] + left - self.left) % self.stride if final else 0
        if left or right:
            x = self._mirrored(x, left, right) if self.mirrors else nn.functional.pad(x, (0, 0, left, right))
        count = max(0, (x.shape[1] - (self.total if final else self.kept)) // self.stride)
        return x, count, WindowState(x[:, count * self.stride :].clone(), begun=True)

    @staticmethod
    def _mirrored(x: Tensor, left: int, right: int) -> Tensor:
        """x [B, n, C] with `left` and `right` samples mirrored at its ends; as EnCodec, a short x gets zeros first."""
        missing = max(0, max(left, right) + 1 - x.shape[1])
        x = nn.functional.pad(x, (0, 0, 0, missing))
        end = x.shape[1] - 1
        padded = torch.cat([x[:, 1 : left + 1].flip(1), x, x[:, end - right : end].flip(1)], dim=1)
        return padded[:, : padded.shape[1] - missing]


def elu(x: Tensor) -> Tensor:
    """ELU, faster on a processor than torch's own, which takes the exponential with more care than float32 needs."""
    return torch.maximum(x, x.clamp(max=0).exp_() - 1)


def _products(x: Tensor, weight: Tensor, bias: Tensor, count: int, dilation: int) -> Tensor:
    """y[:, t] = bias + Σ_j x[:, t + j · dilation] @ weight[j] for `count` rows t; x [B, ·, I], weight [J, I, O].

    Matrix libraries switch kernels for very few rows, which changes the last bits, and a stream must give the codes of
    the whole; so few rows are padded.
    """
    if count == 0:
        return x.new_zeros(len(x), 0, weight.shape[-1])
    rows = max(count, MIN_ROWS)
    if rows > count:
        x = nn.functional.pad(x, (0, 0, 0, rows - count))
    y = torch.baddbmm(bias, x[:, :rows], weight[0].expand(len(x), -1, -1))
    for tap in range(1, len(weight)):
        y.baddbmm_(x[:, tap * dilation : tap * dilation + rows], weight[tap].expand(len(x), -1, -1))
    return y[:, :count]


def _residuals(config: SeanetConfig, width: int) -> list[nn.Module]:
    return [ResidualBlock(config, width, config.dilation_growth**depth) for depth in range(config.residual_layers)]


def _uniform(shape: tuple[int, ...], bound: float) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
