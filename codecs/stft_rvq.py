"""The default codec: short-time spectra in, causal ConvNeXt blocks at frame rate, residual codes, inverse STFT out.

24 kHz, 75 frames a second, 8 codebooks of 1,024: it drops in where EnCodec 24 kHz at 6 kbps would, at a fraction of the
work, because no layer runs faster than the frame rate. The head follows Vocos (arXiv 2306.00814, §3.3): log-magnitude
and phase of each frame.

Timing: frame t analyses the `n_fft` samples that end with sample (t + 1) · hop, and its synthesis covers the same
samples. So samples are settled `delay` = n_fft / hop − 1 frames after the frame that begins with them (40 ms), and
whole decoding equals streamed decoding because whole decoding is one step and a flush.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.conv import ConvNeXt, ConvNeXtState
from audiogen.nn.quantize import Quantized, ResidualVectorQuantizer
from audiogen.nn.state import State
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.registry import register


@dataclass
class StftRvqConfig:
    """Sizes of the codec."""

    sample_rate: int = 24_000
    hop_length: int = 320
    n_fft: int = 1280
    num_codebooks: int = 8
    codebook_size: int = 1024
    latent_dim: int = 64
    encoder_dim: int = 192
    encoder_depth: int = 4
    decoder_dim: int = 256
    decoder_depth: int = 6
    kernel_size: int = 7

    def __post_init__(self) -> None:
        if self.n_fft % self.hop_length:
            raise AudiogenError(f"n_fft {self.n_fft} must be a multiple of hop_length {self.hop_length}")


@dataclass
class EncoderState(State):
    """Samples not yet framed [B, n] (context before the next frame, then pending ones) and the blocks' pasts."""

    samples: Tensor
    blocks: ConvNeXtState


@dataclass
class DecoderState(State):
    """Overlap not yet settled [B, n_fft − hop], the blocks' pasts, and frames left to drop before sample 0."""

    overlap: Tensor
    blocks: ConvNeXtState
    ahead: int


@dataclass
class CodecState(State):
    """Both directions of a stream."""

    encoder: EncoderState
    decoder: DecoderState


@register("codec", "stft_rvq", StftRvqConfig)
class StftRvqCodec(nn.Module):
    """The default codec; see the module's first lines."""

    def __init__(self, config: StftRvqConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = CodecSpec(
            "stft_rvq", config.sample_rate, config.hop_length, config.num_codebooks, config.codebook_size
        )
        self.encoder = SpectralEncoder(config)
        self.quantizer = ResidualVectorQuantizer(config.num_codebooks, config.codebook_size, config.latent_dim)
        self.decoder = SpectralDecoder(config)

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
        latents, _ = self.encoder(wave[:, 0], final=True)
        frames = -(-lengths // self.spec.hop_length)
        padded = -(-frames // merge) * merge
        index = torch.minimum(torch.arange(int(padded.max())), frames[:, None] - 1).clamp(min=0)
        latents = latents.gather(1, index[..., None].expand(-1, -1, latents.shape[-1]))
        return AudioTokens(self.spec, padded, codes=self.quantizer.encode(latents, merge), num_samples=lengths)

    def decode(self, tokens: AudioTokens) -> Tensor:
        """Decode codes [B, k, T] of the first k codebooks to wave [B, 1, N]."""
        wave, _ = self.decode_step(tokens, self.init_state(len(tokens.codes)), final=True)
        return wave if tokens.num_samples is None else wave[..., : int(tokens.num_samples.max())]

    def init_state(self, batch_size: int = 1) -> CodecState:
        """A stream that has seen nothing."""
        return CodecState(self.encoder.init_state(batch_size), self.decoder.init_state(batch_size))

    def encode_step(self, wave: Tensor, state: CodecState, final: bool = False) -> tuple[AudioTokens, CodecState]:
        """Encode the next samples [B, 1, n]; `final` completes the last frame with silence."""
        latents, encoder = self.encoder(wave[:, 0], state.encoder, final)
        tokens = AudioTokens.from_codes(self.spec, self.quantizer.encode(latents))
        return tokens, CodecState(encoder, state.decoder)

    def decode_step(self, tokens: AudioTokens, state: CodecState, final: bool = False) -> tuple[Tensor, CodecState]:
        """Decode the next frames; `final` also gives the samples that were waiting for frames to come."""
        wave, decoder = self.decoder(self.quantizer.decode(tokens.codes), state.decoder, final)
        return wave[:, None], CodecState(state.encoder, decoder)

    def forward(self, wave: Tensor, used: int | None, merge: int = 1) -> tuple[Tensor, Quantized | None, Tensor]:
        """Training: reconstruct wave [B, 1, N] through the first `used` codebooks, or unquantised if None.

        Returns:
            The reconstruction [B, 1, N] (N a multiple of the hop), what was quantised, and the latents.
        """
        latents, _ = self.encoder(wave[:, 0], final=True)
        quantized = None if used is None else self.quantizer(latents, used, merge)
        rebuilt, _ = self.decoder(latents if quantized is None else quantized.values, final=True)
        return rebuilt[:, None], quantized, latents


class SpectralEncoder(nn.Module):
    """Samples to latents, one frame a hop."""

    def __init__(self, config: StftRvqConfig) -> None:
        super().__init__()
        self.hop_length, self.n_fft = config.hop_length, config.n_fft
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.input = nn.Linear(3 * (config.n_fft // 2 + 1), config.encoder_dim)
        self.norm_input = nn.LayerNorm(config.encoder_dim)
        self.blocks = ConvNeXt(config.encoder_dim, config.encoder_depth, config.kernel_size)
        self.norm = nn.LayerNorm(config.encoder_dim)
        self.output = nn.Linear(config.encoder_dim, config.latent_dim)

    def init_state(self, batch_size: int) -> EncoderState:
        """Silence before the first sample."""
        context = self.window.new_zeros(batch_size, self.n_fft - self.hop_length)
        return EncoderState(context, self.blocks.init_state(batch_size))

    def forward(
        self, samples: Tensor, state: EncoderState | None = None, final: bool = False
    ) -> tuple[Tensor, EncoderState]:
        """Samples [B, n] to the latents [B, T, D] of the frames they complete."""
        state = state or self.init_state(len(samples))
        samples = torch.cat([state.samples, samples], dim=-1)
        pending = samples.shape[-1] - (self.n_fft - self.hop_length)
        if final:
            samples = nn.functional.pad(samples, (0, -pending % self.hop_length))
            pending += -pending % self.hop_length
        frames = pending // self.hop_length
        if frames == 0:
            empty = samples.new_zeros(len(samples), 0, self.output.out_features)
            return empty, EncoderState(samples, state.blocks)
        x = self.norm_input(self.input(self._features(samples.unfold(-1, self.n_fft, self.hop_length)[:, :frames])))
        x, blocks = self.blocks(x, state.blocks)
        return self.output(self.norm(x)), EncoderState(samples[:, frames * self.hop_length :], blocks)

    def _features(self, frames: Tensor) -> Tensor:
        """Windows [B, T, n_fft] to log-magnitude and the spectrum compressed to magnitude^0.3, [B, T, 3 · bins]."""
        spectrum = torch.fft.rfft(frames * self.window)
        power = spectrum.real.square() + spectrum.imag.square() + 1e-6
        compress = power.pow(-0.35)
        return torch.cat([0.25 * power.log(), spectrum.real * compress, spectrum.imag * compress], dim=-1)


class SpectralDecoder(nn.Module):
    """Latents to samples, one hop a frame."""

    def __init__(self, config: StftRvqConfig) -> None:
        super().__init__()
        self.hop_length, self.n_fft = config.hop_length, config.n_fft
        self.delay = config.n_fft // config.hop_length - 1
        window = torch.hann_window(config.n_fft)
        overlapped = window.square().view(-1, config.hop_length).sum(0)
        self.register_buffer("window", window / overlapped.mean(), persistent=False)
        self.input = nn.Linear(config.latent_dim, config.decoder_dim)
        self.norm_input = nn.LayerNorm(config.decoder_dim)
        self.blocks = ConvNeXt(config.decoder_dim, config.decoder_depth, config.kernel_size)
        self.norm = nn.LayerNorm(config.decoder_dim)
        self.output = nn.Linear(config.decoder_dim, config.n_fft + 2)

    def init_state(self, batch_size: int) -> DecoderState:
        """Nothing settled yet; the first `delay` hops lie before sample 0."""
        overlap = self.window.new_zeros(batch_size, self.n_fft - self.hop_length)
        return DecoderState(overlap, self.blocks.init_state(batch_size), self.delay)

    def forward(
        self, latents: Tensor, state: DecoderState | None = None, final: bool = False
    ) -> tuple[Tensor, DecoderState]:
        """Latents [B, T, D] to the samples [B, n] they settle; `final` adds `delay` frames of zero latents."""
        state = state or self.init_state(len(latents))
        if final:
            latents = nn.functional.pad(latents, (0, 0, 0, self.delay))
        if latents.shape[1] == 0:
            return latents.new_zeros(len(latents), 0), state
        x, blocks = self.blocks(self.norm_input(self.input(latents)), state.blocks)
        samples, overlap = self._overlap_add(self._synthesize(self.output(self.norm(x))), state.overlap)
        dropped = min(state.ahead, latents.shape[1])
        return samples[:, dropped * self.hop_length :], DecoderState(overlap, blocks, state.ahead - dropped)

    def _synthesize(self, x: Tensor) -> Tensor:
        """Log-magnitude and phase [B, T, n_fft + 2] to windowed frames [B, T, n_fft]."""
        log_magnitude, phase = x.chunk(2, dim=-1)
        spectrum = torch.polar(log_magnitude.clamp(max=6.0).exp(), phase)
        return torch.fft.irfft(spectrum, self.n_fft) * self.window

    def _overlap_add(self, frames: Tensor, overlap: Tensor) -> tuple[Tensor, Tensor]:
        """Add frames [B, T, n_fft] at every hop onto `overlap`; returns what is settled [B, T · hop] and the rest."""
        batch, count, _ = frames.shape
        length = (count - 1) * self.hop_length + self.n_fft
        summed = nn.functional.fold(
            frames.transpose(1, 2), (1, length), (1, self.n_fft), stride=(1, self.hop_length)
        ).view(batch, length)
        summed = summed + nn.functional.pad(overlap, (0, length - overlap.shape[-1]))
        return summed[:, : count * self.hop_length], summed[:, count * self.hop_length :]
