"""SQ-Codec: a latent of scalars, each rounded to one of 2 S + 1 levels. For SimpleSpeech, whose diffusion works on it.

SimpleSpeech §2.1 (arXiv 2406.02328) and SimpleSpeech 2 §3.3 (arXiv 2408.13893). The network is that of the released
models: residual units of growing dilation, strided convolutions down to the frame rate, the mirror image up again, all
causal but for the decoder's first layer, which sees `(delay_kernel_size − 1) / 2` frames ahead. Names of tensors are
the released ones, so published weights fit once their weight norm is folded.

As in the released models, frame t sees no sample beyond the first `num_samples` after t · hop, and the decoder's
look-ahead makes up for it; what follows there in the last frame of a recording is heard by no frame.

A latent dimension is a codebook of 2 S + 1 codes. Diffusion may also take the latents before rounding (`latents`), and
`decode` takes latents too: it keeps them within ±1 and rounds them.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.conv import CausalConv1d, ConvState
from audiogen.nn.digest import digest
from audiogen.nn.reconstruction import Reconstruction
from audiogen.nn.state import State
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.registry import register

DILATIONS = (1, 3, 5, 7, 9)
POOLED_KERNEL = 7


@dataclass
class SqCodecConfig:
    """Sizes of the codec, under the names of the released configurations.

    Attributes:
        sample_rate: Samples a second.
        levels: S: a latent is rounded to a multiple of 1 / S.
        latent_hidden_dim: Latents in a frame.
        init_channel: Channels at the sample rate; each downsampling doubles them.
        downsample_factors: Strides of the encoder, first to last; the decoder takes them back last to first.
        num_samples: Samples that are averaged before the first residual unit.
        default_kernel_size: Of the first and last convolutions.
        delay_kernel_size: Of the decoder's first convolution, which looks ahead; odd.
        res_kernel_size: Of the residual units.
    """

    sample_rate: int = 16_000
    levels: int = 9
    latent_hidden_dim: int = 32
    init_channel: int = 12
    downsample_factors: list[int] = field(default_factory=lambda: [2, 2, 4, 4, 5])
    num_samples: int = 1
    default_kernel_size: int = 7
    delay_kernel_size: int = 5
    res_kernel_size: int = 7

    def __post_init__(self) -> None:
        if self.delay_kernel_size % 2 == 0:
            raise AudiogenError(f"delay_kernel_size is {self.delay_kernel_size}; an odd number is needed")
        if min([*self.downsample_factors, self.num_samples, self.levels]) < 1:
            raise AudiogenError(
                f"downsample_factors {self.downsample_factors}, num_samples and levels must be positive"
            )

    @property
    def hop_length(self) -> int:
        """Samples in a frame."""
        return math.prod(self.downsample_factors) * self.num_samples

    @property
    def look_ahead(self) -> int:
        """Frames the decoder waits for."""
        return (self.delay_kernel_size - 1) // 2


@dataclass
class SqEncoderState(State):
    """Samples [B, 1, n < hop] that do not fill a frame yet, and the convolutions' pasts."""

    samples: Tensor
    convs: list[ConvState]


@dataclass
class SqDecoderState(State):
    """The convolutions' pasts, and how many frames of the first one precede the start and are still to be dropped."""

    convs: list[ConvState]
    ahead: int


@dataclass
class SqCodecState(State):
    """Both directions of a stream."""

    encoder: SqEncoderState
    decoder: SqDecoderState


class ScalarQuantizer(nn.Module):
    """Rounds numbers between −1 and 1 to multiples of 1 / `levels`; the gradient passes straight through."""

    def __init__(self, levels: int, dim: int) -> None:
        super().__init__()
        self.levels, self.dim = levels, dim

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape, rounded; what lies beyond ±1 (guided diffusion overshoots) is brought back to it."""
        x = x.clamp(-1, 1)
        return x + ((self.levels * x).round() / self.levels - x).detach()

    def encode(self, x: Tensor) -> Tensor:
        """x to codes 0 … 2 · levels."""
        return (self.levels * x.clamp(-1, 1)).round().long() + self.levels

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, k, T] of the first k dimensions to values [B, D, T]; the others are 0."""
        values = (codes - self.levels) / self.levels
        return nn.functional.pad(values, (0, 0, 0, self.dim - codes.shape[1]))

    @property
    def vectors(self) -> Tensor:
        """The latent [D, 2 · levels + 1, D] that each code of each dimension stands for by itself."""
        values = torch.arange(-self.levels, self.levels + 1) / self.levels
        return torch.eye(self.dim)[:, None, :] * values[:, None]


@register("codec", "sq_codec", SqCodecConfig)
class SqCodec(nn.Module):
    """The scalar codec; see the module's first lines."""

    def __init__(self, config: SqCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = CodecSpec(
            "sq_codec",
            config.sample_rate,
            config.hop_length,
            num_codebooks=config.latent_hidden_dim,
            codebook_size=2 * config.levels + 1,
            latent_dim=config.latent_hidden_dim,
        )
        widths = [config.init_channel * 2**i for i in range(len(config.downsample_factors) + 1)]
        default, res = config.default_kernel_size, config.res_kernel_size
        pooled = config.num_samples > 1
        self.encoder = nn.ModuleList(
            [
                CausalConv1d(1, widths[0], default),
                *([PreProcessor(widths[0], config.num_samples)] if pooled else []),
                *map(EncoderBlock, widths, config.downsample_factors, [res] * len(widths)),
                CausalConv1d(widths[-1], config.latent_hidden_dim, default),
            ]
        )
        self.quantizer = ScalarQuantizer(config.levels, config.latent_hidden_dim)
        self.decoder = nn.ModuleList(
            [
                CausalConv1d(config.latent_hidden_dim, widths[-1], config.delay_kernel_size),
                *map(DecoderBlock, widths[:0:-1], config.downsample_factors[::-1], [res] * len(widths)),
                *([PostProcessor(widths[0], config.num_samples)] if pooled else []),
                CausalConv1d(widths[0], 1, default),
            ]
        )

    def codes_digest(self) -> str:
        """SHA-256 of what decides the codes: all settings and the encoder."""
        return digest(asdict(self.config), self.encoder)

    def forward(self, wave: Tensor) -> Reconstruction:
        """Training: wave [B, 1, T · hop] through rounding."""
        latents, _ = run(self.encoder, wave, self.init_state(len(wave)).encoder.convs)
        rounded = self.quantizer(latents.tanh())
        rebuilt, _ = self._decode_latents(rounded, self.init_state(len(wave)).decoder, final=True)
        return Reconstruction(rebuilt[:, 0])

    def latents(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Latents [B, D, T] of wave [B, 1, N] before rounding, between −1 and 1."""
        if lengths is not None:
            wave = wave * (torch.arange(wave.shape[-1]) < lengths[:, None, None])
        return self._encode_latents(wave, self.init_state(len(wave)).encoder, final=True)[0]

    def encode(self, wave: Tensor, lengths: Tensor | None = None) -> AudioTokens:
        """Wave [B, 1, N], rows of `lengths` [B] samples, to codes [B, D, ceil(N / hop)]."""
        lengths = torch.full((len(wave),), wave.shape[-1]) if lengths is None else lengths
        codes = self.quantizer.encode(self.latents(wave, lengths))
        return AudioTokens(self.spec, -(-lengths // self.spec.hop_length), codes=codes, num_samples=lengths)

    def decode(self, tokens: AudioTokens) -> Tensor:
        """Codes [B, k, T], or latents [B, D, T] to be rounded, to wave [B, 1, N]."""
        values = tokens.codes if tokens.latents is None else tokens.latents
        wave, _ = self.decode_step(tokens, self.init_state(len(values)), final=True)
        return wave if tokens.num_samples is None else wave[..., : int(tokens.num_samples.max())]

    def init_state(self, batch_size: int = 1) -> SqCodecState:
        """A stream that has seen nothing."""
        encoder = SqEncoderState(
            self.encoder[0].weight.new_zeros(batch_size, 1, 0),
            [conv.init_state(batch_size) for conv in _convs(self.encoder)],
        )
        decoder = [conv.init_state(batch_size) for conv in _convs(self.decoder)]
        return SqCodecState(encoder, SqDecoderState(decoder, self.config.look_ahead))

    def encode_step(self, wave: Tensor, state: SqCodecState, final: bool = False) -> tuple[AudioTokens, SqCodecState]:
        """Encode the next samples [B, 1, n]; `final` completes the last frame with silence."""
        latents, encoder = self._encode_latents(wave, state.encoder, final)
        tokens = AudioTokens.from_codes(self.spec, self.quantizer.encode(latents))
        return tokens, SqCodecState(encoder, state.decoder)

    def decode_step(self, tokens: AudioTokens, state: SqCodecState, final: bool = False) -> tuple[Tensor, SqCodecState]:
        """Decode the next frames; `final` also gives the frames that were waiting for others to come."""
        values = self.quantizer.decode(tokens.codes) if tokens.latents is None else self.quantizer(tokens.latents)
        values = values.to(self.encoder[0].weight)
        wave, decoder = self._decode_latents(values, state.decoder, final)
        return wave, SqCodecState(state.encoder, decoder)

    def _encode_latents(self, wave: Tensor, state: SqEncoderState, final: bool) -> tuple[Tensor, SqEncoderState]:
        samples = torch.cat([state.samples, wave], dim=-1)
        if final:
            samples = nn.functional.pad(samples, (0, -samples.shape[-1] % self.spec.hop_length))
        whole = samples.shape[-1] // self.spec.hop_length * self.spec.hop_length
        latents, convs = run(self.encoder, samples[..., :whole], state.convs)
        return latents.tanh(), SqEncoderState(samples[..., whole:], convs)

    def _decode_latents(self, latents: Tensor, state: SqDecoderState, final: bool) -> tuple[Tensor, SqDecoderState]:
        if final:
            latents = nn.functional.pad(latents, (0, self.config.look_ahead))
        first, *others = self.decoder
        x, seen = run([first], latents, state.convs[:1])
        dropped = min(state.ahead, x.shape[-1])
        wave, convs = run(others, x[..., dropped:], state.convs[1:])
        return wave, SqDecoderState([*seen, *convs], state.ahead - dropped)


class ResidualUnit(nn.Module):
    """A dilated convolution and one across channels, added to what came in."""

    def __init__(self, channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = CausalConv1d(channels, channels, kernel_size, dilation=dilation)
        self.activation1 = nn.PReLU()
        self.conv2 = CausalConv1d(channels, channels, 1)
        self.activation2 = nn.PReLU()

    def forward(self, x: Tensor, states: list[ConvState]) -> Tensor:
        """x [B, C, T] to the same shape; see `run` for `states`."""
        hidden = self.activation1(_step(self.conv1, x, states))
        return x + self.activation2(_step(self.conv2, hidden, states))


class EncoderBlock(nn.Module):
    """Residual units, then a strided convolution to twice the channels."""

    def __init__(self, channels: int, stride: int, res_kernel_size: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ResidualUnit(channels, res_kernel_size, d) for d in DILATIONS)
        self.down_conv = Downsample(channels, stride)

    def forward(self, x: Tensor, states: list[ConvState]) -> Tensor:
        """x [B, C, T] to [B, 2 C, T / stride]; see `run` for `states`."""
        for unit in self.convs:
            x = unit(x, states)
        return self.down_conv(x, states)


class DecoderBlock(nn.Module):
    """A transposed convolution to half the channels, then residual units."""

    def __init__(self, channels: int, stride: int, res_kernel_size: int) -> None:
        super().__init__()
        self.up_conv = Upsample(channels, stride)
        self.convs = nn.ModuleList(ResidualUnit(channels // 2, res_kernel_size, d) for d in DILATIONS)

    def forward(self, x: Tensor, states: list[ConvState]) -> Tensor:
        """x [B, C, T] to [B, C / 2, T · stride]; see `run` for `states`."""
        x = self.up_conv(x, states)
        for unit in self.convs:
            x = unit(x, states)
        return x


class PreProcessor(nn.Module):
    """A convolution whose output is averaged over groups of `num_samples`."""

    def __init__(self, channels: int, num_samples: int) -> None:
        super().__init__()
        self.num_samples = num_samples
        self.conv = CausalConv1d(channels, channels, POOLED_KERNEL)
        self.activation = nn.PReLU()

    def forward(self, x: Tensor, states: list[ConvState]) -> Tensor:
        """x [B, C, T] to [B, C, T / num_samples]; see `run` for `states`."""
        return self.activation(_step(self.conv, x, states)).unflatten(-1, (-1, self.num_samples)).mean(-1)


class PostProcessor(nn.Module):
    """Every frame repeated `num_samples` times, then a convolution."""

    def __init__(self, channels: int, num_samples: int) -> None:
        super().__init__()
        self.num_samples = num_samples
        self.conv = CausalConv1d(channels, channels, POOLED_KERNEL)
        self.activation = nn.PReLU()

    def forward(self, x: Tensor, states: list[ConvState]) -> Tensor:
        """x [B, C, T] to [B, C, T · num_samples]; see `run` for `states`."""
        return self.activation(_step(self.conv, x.repeat_interleave(self.num_samples, dim=-1), states))


class Downsample(nn.Module):
    """A strided convolution to twice the channels."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.layer = CausalConv1d(channels, 2 * channels, 2 * stride, stride=stride)
        self.activation = nn.PReLU()

    def forward(self, x: Tensor, states: list[ConvState]) -> Tensor:
        """x [B, C, T] to [B, 2 C, T / stride]; see `run` for `states`."""
        return self.activation(_step(self.layer, x, states))


class Upsample(nn.Module):
    """A transposed convolution to half the channels."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.layer = CausalConvTranspose1d(channels, channels // 2, stride)

    def forward(self, x: Tensor, states: list[ConvState]) -> Tensor:
        """x [B, C, T] to [B, C / 2, T · stride]; see `run` for `states`."""
        return _step(self.layer, x, states)


class CausalConvTranspose1d(nn.ConvTranspose1d):
    """Upsamples by `stride` with a kernel of twice that: an output depends on its own frame and the one before."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, 2 * stride, stride)

    def init_state(self, batch_size: int) -> ConvState:
        """Silence before the start."""
        return ConvState(self.weight.new_zeros(batch_size, self.in_channels, 1))

    def forward(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """x [B, C, T] to [B, C', T · stride], continuing from `state`."""
        x = torch.cat([state.past, x], dim=-1)
        (stride,) = self.stride
        return super().forward(x)[..., stride:-stride], ConvState(x[..., -1:])


def run(layers: Sequence[nn.Module], x: Tensor, states: list[ConvState]) -> tuple[Tensor, list[ConvState]]:
    """Run `layers` over x [B, C, T], continuing from one state a convolution, in the order they are run in."""
    if x.shape[-1] == 0:
        return x.new_zeros(len(x), layers[-1].out_channels, 0), states
    queue = list(states)
    for layer in layers:
        x = _step(layer, x, queue) if isinstance(layer, CausalConv1d) else layer(x, queue)
    return x, queue


def _step(conv: CausalConv1d | CausalConvTranspose1d, x: Tensor, queue: list[ConvState]) -> Tensor:
    """Run the convolution whose state is the first in `queue`, and put its next state last: a round renews all."""
    x, state = conv(x, queue.pop(0))
    queue.append(state)
    return x


def _convs(layers: nn.ModuleList) -> list[nn.Module]:
    """The convolutions in the order they are run in."""
    return [module for module in layers.modules() if isinstance(module, CausalConv1d | CausalConvTranspose1d)]
