"""The default codec: magnitudes through residual codes, phases rebuilt from them on the way out.

24 kHz, 75 frames a second, 8 codebooks of 1,024: it drops in where EnCodec 24 kHz at 6 kbps would, at a fraction of the
work, because no layer runs faster than the frame rate and no bit and no parameter is spent on phase. The codes say what
a sound is, not where its waves begin, so they are smooth in time: merged over pairs of frames they lose little, and a
language model finds them easy to predict.

A frame holds the log-magnitudes of two short spectra. Encoder and decoder are a linear map, started from the principal
components of the training data, plus causal ConvNeXt blocks; the head rebuilds phases by gradient integration
(`audiogen.nn.phase`) and inverts the transform.

Timing: frame t analyses spectra that end with sample (t + 1) · hop at the latest. Overlap and the integrator's
look-ahead settle samples `n_fft / hop` frames later (40 ms). Whole decoding is one step and a flush, so it equals
streamed decoding; the flush repeats the last frame.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.conv import ConvNeXt, ConvNeXtState
from audiogen.nn.digest import digest
from audiogen.nn.linear import RowStableLinear
from audiogen.nn.phase import PhaseIntegrator, PhaseState
from audiogen.nn.quantize import Quantized, ResidualVectorQuantizer
from audiogen.nn.state import State
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.registry import register

ROWS_AT_A_TIME = 16
BLOCK_FRAMES = 375  # a whole recording passes in such blocks: 5 s amortise the weights and still lie in cache


@dataclass
class MagnitudeRvqConfig:
    """Sizes of the codec. `floor` is the magnitude below which a spectrum counts as silence."""

    sample_rate: int = 24_000
    hop_length: int = 320
    n_fft: int = 960
    spectra: int = 2
    floor: float = 0.02
    num_codebooks: int = 8
    codebook_size: int = 1024
    latent_dim: int = 64
    encoder_dim: int = 192
    encoder_depth: int = 4
    decoder_dim: int = 256
    decoder_depth: int = 5
    kernel_size: int = 7

    def __post_init__(self) -> None:
        if self.hop_length % self.spectra or self.n_fft % self.hop_length:
            raise AudiogenError(
                f"hop_length {self.hop_length} must be a multiple of spectra {self.spectra} "
                f"and n_fft {self.n_fft} one of hop_length"
            )

    @property
    def spectrum_hop(self) -> int:
        """Samples from one spectrum to the next."""
        return self.hop_length // self.spectra

    @property
    def features(self) -> int:
        """Log-magnitudes in a frame."""
        return self.spectra * (self.n_fft // 2 + 1)


@dataclass
class EncoderState(State):
    """Samples [B, n] not yet framed (context before the next spectrum, then pending ones) and the blocks' pasts."""

    samples: Tensor
    blocks: ConvNeXtState


@dataclass
class DecoderState(State):
    """What decoding remembers.

    Attributes:
        blocks: The blocks' pasts.
        phase: The integrator's.
        overlap: Samples [B, n_fft − hop of a spectrum] that later spectra will still add to.
        last: Latents of the last frame [B, 1, D], which a flush repeats.
        ahead: Samples still to drop before sample 0.
    """

    blocks: ConvNeXtState
    phase: PhaseState
    overlap: Tensor
    last: Tensor
    ahead: int


@dataclass
class CodecState(State):
    """Both directions of a stream."""

    encoder: EncoderState
    decoder: DecoderState


@register("codec", "magnitude_rvq", MagnitudeRvqConfig)
class MagnitudeRvqCodec(nn.Module):
    """The default codec; see the module's first lines."""

    def __init__(self, config: MagnitudeRvqConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = CodecSpec(
            "magnitude_rvq", config.sample_rate, config.hop_length, config.num_codebooks, config.codebook_size
        )
        self.analysis = Analysis(config)
        self.encoder = Encoder(config)
        self.quantizer = ResidualVectorQuantizer(config.num_codebooks, config.codebook_size, config.latent_dim)
        self.decoder = Decoder(config)
        self.synthesis = Synthesis(config)

    def codes_digest(self) -> str:
        """SHA-256 of what decides the codes: the analysis, the encoder and the codebooks."""
        names = ("sample_rate", "hop_length", "n_fft", "spectra", "floor")
        return digest({name: getattr(self.config, name) for name in names}, self.encoder, self.quantizer)

    def encode(self, wave: Tensor, lengths: Tensor | None = None, merge: int = 1) -> AudioTokens:
        """Encode wave [B, 1, N] to ceil(N / hop) frames.

        Args:
            wave: Samples.
            lengths: True lengths [B] in samples, where rows are padded.
            merge: Codec-merging rate of the first codebook (VALL-E R §3.1); pads to a multiple of it by repeating the
                last latent.
        """
        lengths = torch.full((len(wave),), wave.shape[-1]) if lengths is None else lengths
        wave = wave * (torch.arange(wave.shape[-1]) < lengths[:, None, None])
        parts, state = [], self.init_state(len(wave)).encoder
        blocks = wave.split(BLOCK_FRAMES * self.spec.hop_length, dim=-1)
        for number, block in enumerate(blocks, start=1):
            latents, state = self._encode_latents(block, state, final=number == len(blocks))
            parts.append(latents)
        latents = torch.cat(parts, dim=1)
        frames = -(-lengths // self.spec.hop_length)
        padded = -(-frames // merge) * merge
        index = torch.minimum(torch.arange(int(padded.max())), frames[:, None] - 1).clamp(min=0)
        latents = latents.gather(1, index[..., None].expand(-1, -1, latents.shape[-1]))
        return AudioTokens(self.spec, padded, codes=self.quantizer.encode(latents, merge), num_samples=lengths)

    def decode(self, tokens: AudioTokens) -> Tensor:
        """Decode codes [B, k, T] of the first k codebooks to wave [B, 1, N]."""
        parts, state = [], self.init_state(len(tokens.codes))
        blocks = tokens.codes.split(BLOCK_FRAMES, dim=-1)
        for number, codes in enumerate(blocks, start=1):
            step = AudioTokens.from_codes(self.spec, codes)
            wave, state = self.decode_step(step, state, final=number == len(blocks))
            parts.append(wave)
        wave = torch.cat(parts, dim=-1)
        return wave if tokens.num_samples is None else wave[..., : int(tokens.num_samples.max())]

    def init_state(self, batch_size: int = 1) -> CodecState:
        """A stream that has seen nothing."""
        config = self.config
        weight = self.encoder.skip.weight
        context = weight.new_zeros(batch_size, config.n_fft - config.spectrum_hop)
        encoder = EncoderState(context, self.encoder.blocks.init_state(batch_size))
        decoder = DecoderState(
            self.decoder.blocks.init_state(batch_size),
            self.synthesis.integrator.init_state(batch_size),
            torch.zeros_like(context),
            weight.new_zeros(batch_size, 1, config.latent_dim),
            config.n_fft,
        )
        return CodecState(encoder, decoder)

    def encode_step(self, wave: Tensor, state: CodecState, final: bool = False) -> tuple[AudioTokens, CodecState]:
        """Encode the next samples [B, 1, n]; `final` completes the last frame with silence."""
        latents, encoder = self._encode_latents(wave, state.encoder, final)
        tokens = AudioTokens.from_codes(self.spec, self.quantizer.encode(latents))
        return tokens, CodecState(encoder, state.decoder)

    def decode_step(self, tokens: AudioTokens, state: CodecState, final: bool = False) -> tuple[Tensor, CodecState]:
        """Decode the next frames; `final` also gives the samples that were waiting for frames to come."""
        before = state.decoder
        latents = self.quantizer.decode(tokens.codes)
        last = torch.cat([before.last, latents], dim=1)[:, -1:]
        if final:
            latents = torch.cat([latents, last.expand(-1, self.config.n_fft // self.config.hop_length, -1)], dim=1)
        log_magnitudes, blocks = self.decoder(latents, before.blocks)
        wave, phase, overlap = self.synthesis(log_magnitudes, before.phase, before.overlap)
        dropped = min(before.ahead, wave.shape[-1])
        decoder = DecoderState(blocks, phase, overlap, last, before.ahead - dropped)
        return wave[:, None, dropped:], CodecState(state.encoder, decoder)

    def forward(
        self, wave: Tensor, used: int | None, merge: int = 1
    ) -> tuple[Tensor, Tensor, Quantized | None, Tensor]:
        """Training: log-magnitudes rebuilt through the first `used` codebooks, or unquantised if None.

        Returns:
            The rebuilt and the true log-magnitudes [B, spectra · T, bins], what was quantised, and the latents.
        """
        frames, _ = self.analysis(wave[:, 0], self.init_state(len(wave)).encoder.samples, final=True)
        latents, _ = self.encoder(frames)
        quantized = None if used is None else self.quantizer(latents, used, merge)
        rebuilt, _ = self.decoder(latents if quantized is None else quantized.values)
        return rebuilt, frames.unflatten(2, (self.config.spectra, -1)).flatten(1, 2), quantized, latents

    @torch.no_grad()
    def start_from(self, wave: Tensor) -> None:
        """Set the linear maps to the principal components of wave [B, 1, N]: a transform coder to improve from."""
        frames, _ = self.analysis(wave[:, 0], self.init_state(len(wave)).encoder.samples, final=True)
        x = frames.flatten(0, 1)
        mean = x.mean(0)
        _, vectors = torch.linalg.eigh((x - mean).T @ (x - mean))
        basis = vectors.flip(1)[:, : self.config.latent_dim]
        self.encoder.skip.weight.copy_(basis.T)
        self.encoder.skip.bias.copy_(-mean @ basis)
        self.decoder.skip.weight.copy_(basis)
        self.decoder.skip.bias.copy_(mean)

    @torch.no_grad()
    def fit_codebooks(self, wave: Tensor, merge: int) -> None:
        """Choose all codes anew for wave [B, 1, N]; encoder and decoder stay as they are.

        Args:
            wave: Segments of whole groups of `merge` frames.
            merge: Frames that a language model will merge in the first codebook.
        """
        parts = wave.split(ROWS_AT_A_TIME)
        latents = [self._encode_latents(part, self.init_state(len(part)).encoder, final=True)[0] for part in parts]
        self.quantizer.fit(torch.cat(latents), merge)

    def _encode_latents(self, wave: Tensor, state: EncoderState, final: bool) -> tuple[Tensor, EncoderState]:
        frames, samples = self.analysis(wave[:, 0], state.samples, final)
        latents, blocks = self.encoder(frames, state.blocks)
        return latents, EncoderState(samples, blocks)


class Analysis(nn.Module):
    """Samples to log-magnitudes, `spectra` of them a frame. Fixed."""

    def __init__(self, config: MagnitudeRvqConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def forward(self, samples: Tensor, pending: Tensor, final: bool) -> tuple[Tensor, Tensor]:
        """Samples [B, n] after those `pending` to frames [B, T, features], and what is pending then."""
        n_fft, hop, step = self.config.n_fft, self.config.hop_length, self.config.spectrum_hop
        samples = torch.cat([pending, samples], dim=-1)
        waiting = samples.shape[-1] - (n_fft - step)
        if final:
            samples = nn.functional.pad(samples, (0, -waiting % hop))
            waiting += -waiting % hop
        frames = waiting // hop
        if frames == 0:
            return samples.new_zeros(len(samples), 0, self.config.features), samples
        windows = samples.unfold(-1, n_fft, step)[:, : frames * self.config.spectra] * self.window
        log_magnitudes = (torch.fft.rfft(windows).abs() / self.config.floor).log1p()
        return log_magnitudes.unflatten(1, (frames, -1)).flatten(2), samples[:, frames * hop :]


class Encoder(nn.Module):
    """Log-magnitudes [B, T, features] to latents [B, T, D]."""

    def __init__(self, config: MagnitudeRvqConfig) -> None:
        super().__init__()
        self.skip = RowStableLinear(config.features, config.latent_dim)
        self.input = RowStableLinear(config.features, config.encoder_dim)
        self.norm_input = nn.LayerNorm(config.encoder_dim)
        self.blocks = ConvNeXt(config.encoder_dim, config.encoder_depth, config.kernel_size)
        self.norm = nn.LayerNorm(config.encoder_dim)
        self.output = RowStableLinear(config.encoder_dim, config.latent_dim)
        nn.init.zeros_(self.output.weight)

    def forward(self, frames: Tensor, state: ConvNeXtState | None = None) -> tuple[Tensor, ConvNeXtState]:
        """Encode frames, continuing from `state`."""
        x, state = self.blocks(self.norm_input(self.input(frames)), state)
        return self.skip(frames) + self.output(self.norm(x)), state


class Decoder(nn.Module):
    """Latents [B, T, D] to log-magnitudes [B, spectra · T, bins]."""

    def __init__(self, config: MagnitudeRvqConfig) -> None:
        super().__init__()
        self.spectra = config.spectra
        self.skip = RowStableLinear(config.latent_dim, config.features)
        self.input = RowStableLinear(config.latent_dim, config.decoder_dim)
        self.norm_input = nn.LayerNorm(config.decoder_dim)
        self.blocks = ConvNeXt(config.decoder_dim, config.decoder_depth, config.kernel_size)
        self.norm = nn.LayerNorm(config.decoder_dim)
        self.output = RowStableLinear(config.decoder_dim, config.features)
        nn.init.zeros_(self.output.weight)

    def forward(self, latents: Tensor, state: ConvNeXtState | None = None) -> tuple[Tensor, ConvNeXtState]:
        """Decode latents, continuing from `state`."""
        x, state = self.blocks(self.norm_input(self.input(latents)), state)
        frames = self.skip(latents) + self.output(self.norm(x))
        return frames.unflatten(2, (self.spectra, -1)).flatten(1, 2).clamp(0, 12), state


class Synthesis(nn.Module):
    """Log-magnitudes to samples: phases by integration, inverse transform, overlap-add. Fixed."""

    def __init__(self, config: MagnitudeRvqConfig) -> None:
        super().__init__()
        self.config = config
        self.integrator = PhaseIntegrator(config.n_fft, config.spectrum_hop)
        window = torch.hann_window(config.n_fft)
        overlapped = window.square().view(-1, config.spectrum_hop).sum(0)
        # Phases refer to the window's centre: alternating signs shift the transform by half a window.
        signs = 1.0 - 2.0 * (torch.arange(config.n_fft // 2 + 1) % 2)
        self.register_buffer("window", window / overlapped.mean(), persistent=False)
        self.register_buffer("signs", signs * config.floor, persistent=False)

    def forward(self, log_magnitudes: Tensor, phase: PhaseState, overlap: Tensor) -> tuple[Tensor, PhaseState, Tensor]:
        """The samples [B, n] that the spectra [B, S, bins] settle, and the states after them."""
        step, n_fft = self.config.spectrum_hop, self.config.n_fft
        count = log_magnitudes.shape[1]
        if count == 0:
            return overlap[:, :0], phase, overlap
        log_magnitudes, phases, phase = self.integrator(log_magnitudes, phase)
        magnitudes = log_magnitudes.expm1() * self.signs
        spectra = torch.complex(magnitudes * phases.cos(), magnitudes * phases.sin())
        windows = torch.fft.irfft(spectra, n_fft) * self.window
        summed = nn.functional.pad(overlap, (0, count * step)).unflatten(1, (-1, step))
        for shift, part in enumerate(windows.split(step, dim=-1)):
            summed[:, shift : shift + count] += part
        summed = summed.flatten(1)
        return summed[:, : count * step], phase, summed[:, count * step :]
