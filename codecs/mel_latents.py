"""Continuous latents: a variational autoencoder of log-mel frames whose decoder makes the wave. For ARDiT.

The frames and the rate are ARDiT's (arXiv 2406.05551, §3.2 and App. C): 24 kHz, 100 mel bands every 256 samples, four
frames to a latent of 16 numbers, 23.4 latents a second; the loss is a reconstruction and β · KL(q(z | wave) ‖ N(0,
I)) (eq. 9). Theirs decodes by flow matching to mel frames and then by BigVGAN, both of which see the whole utterance.
Here one causal network goes from latents to the wave (`audiogen.nn.vocoder`), so that what is generated can be heard
at once.

`encode` gives the posterior's mean. Timing: a latent waits for 384 samples after its own 1,024, and so does a sample.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from audiogen.codecs.whole import decode_whole, encode_whole
from audiogen.nn.digest import digest
from audiogen.nn.linear import RowStableLinear
from audiogen.nn.mel_encoder import MelEncoder, MelEncoderState
from audiogen.nn.reconstruction import Reconstruction
from audiogen.nn.state import State
from audiogen.nn.stft import LogMelFrames
from audiogen.nn.vocoder import Vocoder, VocoderState
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.registry import register


@dataclass
class MelLatentsConfig:
    """The frames, how many make a latent, and the sizes of both networks."""

    sample_rate: int = 24_000
    frame_hop: int = 256
    n_fft: int = 1024
    num_mels: int = 100
    frames_per_latent: int = 4
    latent_dim: int = 16
    encoder_dim: int = 256
    encoder_depth: int = 4
    decoder_dim: int = 256
    decoder_depth: int = 6
    kernel_size: int = 7


@dataclass
class MelLatentsState(State):
    """Both directions of a stream."""

    encoder: MelEncoderState
    decoder: VocoderState


@register("codec", "mel_latents", MelLatentsConfig)
class MelLatents(nn.Module):
    """The variational autoencoder; see the module's first lines."""

    def __init__(self, config: MelLatentsConfig) -> None:
        super().__init__()
        self.config = config
        group, hop = config.frames_per_latent, config.frame_hop
        self.spec = CodecSpec("mel_latents", config.sample_rate, group * hop, latent_dim=config.latent_dim)
        mel = LogMelFrames(config.sample_rate, config.n_fft, hop, config.num_mels, group)
        sizes = config.encoder_dim, config.encoder_depth, config.kernel_size
        self.encoder = MelEncoder(mel, group, *sizes, output_dim=2 * config.latent_dim)
        self.expand = RowStableLinear(config.latent_dim, group * config.num_mels)
        sizes = config.decoder_dim, config.decoder_depth, config.kernel_size
        self.decoder = Vocoder(config.num_mels, *sizes, config.n_fft, hop)

    def codes_digest(self) -> str:
        """SHA-256 of what decides the latents: all settings and the encoder."""
        return digest(asdict(self.config), self.encoder)

    def forward(self, wave: Tensor) -> Reconstruction:
        """Training: wave [B, 1, T · hop] through a sample of its posterior; `kl` is in nats for each latent number."""
        mean, log_variance = self.encoder(wave[:, 0])[0].chunk(2, dim=-1)
        log_variance = log_variance.clamp(-20, 10)
        drawn = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return Reconstruction(self.decoder(self._frames(drawn))[0], {"kl": kl})

    def encode(self, wave: Tensor, lengths: Tensor | None = None) -> AudioTokens:
        """Wave [B, 1, N], rows of `lengths` [B] samples, to latents [B, D, ceil(N / hop)]."""
        return encode_whole(self, wave, lengths)

    def decode(self, tokens: AudioTokens) -> Tensor:
        """Latents [B, D, T] to wave [B, 1, N]."""
        return decode_whole(self, tokens)

    def init_state(self, batch_size: int = 1) -> MelLatentsState:
        """A stream that has seen nothing."""
        return MelLatentsState(self.encoder.init_state(batch_size), self.decoder.init_state(batch_size))

    def encode_step(
        self, wave: Tensor, state: MelLatentsState, final: bool = False
    ) -> tuple[AudioTokens, MelLatentsState]:
        """The latents that the next samples [B, 1, n] complete; `final` completes the last with silence."""
        posterior, encoder = self.encoder(wave[:, 0], state.encoder, final)
        mean = posterior.chunk(2, dim=-1)[0].transpose(1, 2)
        tokens = AudioTokens(self.spec, torch.full((len(mean),), mean.shape[-1]), latents=mean)
        return tokens, MelLatentsState(encoder, state.decoder)

    def decode_step(
        self, tokens: AudioTokens, state: MelLatentsState, final: bool = False
    ) -> tuple[Tensor, MelLatentsState]:
        """The samples [B, 1, n] that the next latents settle; `final` also gives those that wait for more."""
        wave, decoder = self.decoder(self._frames(tokens.latents.transpose(1, 2)), state.decoder, final)
        return wave[:, None], MelLatentsState(state.encoder, decoder)

    def _frames(self, latents: Tensor) -> Tensor:
        """Latents [B, T, D] to frames [B, T · frames_per_latent, mels]."""
        return self.expand(latents).unflatten(2, (self.config.frames_per_latent, -1)).flatten(1, 2)
