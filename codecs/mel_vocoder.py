"""Mel and vocoder: the latents are log-mel frames, which nothing learned makes, and a network makes waves of them.

For acoustic models that predict spectra (Mega-TTS, diffusion). The frames are those of BigVGAN's 24 kHz, 100-band
models (magnitudes on the Slaney scale, natural logarithm, at least 1e-5) but for the ends, beyond which they see
silence instead of a mirror image. The vocoder is `audiogen.nn.vocoder`, trained against discriminators by
`recipe=vocoder_default`.

Timing: a frame waits for 384 samples after its own, and so does a sample for the frames around it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.codecs.whole import decode_whole, encode_whole
from audiogen.nn.digest import digest
from audiogen.nn.reconstruction import Reconstruction
from audiogen.nn.state import State
from audiogen.nn.stft import FramesState, LogMelFrames
from audiogen.nn.vocoder import Vocoder, VocoderState
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.registry import register


@dataclass
class MelVocoderConfig:
    """The frames, and the width, depth and kernel of the vocoder's blocks."""

    sample_rate: int = 24_000
    hop_length: int = 256
    n_fft: int = 1024
    num_mels: int = 100
    decoder_dim: int = 256
    decoder_depth: int = 6
    kernel_size: int = 7


@dataclass
class MelVocoderState(State):
    """Both directions of a stream."""

    encoder: FramesState
    decoder: VocoderState


@register("codec", "mel_vocoder", MelVocoderConfig)
class MelVocoder(nn.Module):
    """Log-mel frames and their vocoder; see the module's first lines."""

    def __init__(self, config: MelVocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = CodecSpec("mel_vocoder", config.sample_rate, config.hop_length, latent_dim=config.num_mels)
        self.encoder = LogMelFrames(config.sample_rate, config.n_fft, config.hop_length, config.num_mels)
        sizes = config.decoder_dim, config.decoder_depth, config.kernel_size
        self.decoder = Vocoder(config.num_mels, *sizes, config.n_fft, config.hop_length)

    def codes_digest(self) -> str:
        """SHA-256 of what decides the latents: the settings of the frames."""
        names = ("sample_rate", "hop_length", "n_fft", "num_mels")
        return digest({name: getattr(self.config, name) for name in names})

    def forward(self, wave: Tensor) -> Reconstruction:
        """Training: wave [B, 1, T · hop] through its mel frames."""
        frames, _ = self.encoder(wave[:, 0], self.encoder.init_state(len(wave)), final=True)
        rebuilt, _ = self.decoder(frames)
        return Reconstruction(rebuilt)

    def encode(self, wave: Tensor, lengths: Tensor | None = None) -> AudioTokens:
        """Wave [B, 1, N], rows of `lengths` [B] samples, to log-mel frames as latents [B, mels, ceil(N / hop)]."""
        return encode_whole(self, wave, lengths)

    def decode(self, tokens: AudioTokens) -> Tensor:
        """Log-mel latents [B, mels, T] to wave [B, 1, N]."""
        return decode_whole(self, tokens)

    def init_state(self, batch_size: int = 1) -> MelVocoderState:
        """A stream that has seen nothing."""
        return MelVocoderState(self.encoder.init_state(batch_size), self.decoder.init_state(batch_size))

    def encode_step(
        self, wave: Tensor, state: MelVocoderState, final: bool = False
    ) -> tuple[AudioTokens, MelVocoderState]:
        """The frames that the next samples [B, 1, n] complete; `final` completes the last with silence."""
        frames, encoder = self.encoder(wave[:, 0], state.encoder, final)
        tokens = AudioTokens(self.spec, torch.full((len(frames),), frames.shape[1]), latents=frames.transpose(1, 2))
        return tokens, MelVocoderState(encoder, state.decoder)

    def decode_step(
        self, tokens: AudioTokens, state: MelVocoderState, final: bool = False
    ) -> tuple[Tensor, MelVocoderState]:
        """The samples [B, 1, n] that the next frames settle; `final` also gives those that wait for more."""
        wave, decoder = self.decoder(tokens.latents.transpose(1, 2), state.decoder, final)
        return wave[:, None], MelVocoderState(state.encoder, decoder)
