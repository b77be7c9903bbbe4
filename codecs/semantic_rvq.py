"""The semantic codec: the first codebook says what is spoken, the others how it sounds. For Pheme.

The format is that of the SpeechTokenizer that Pheme speaks through (arXiv 2401.02839; arXiv 2308.16692): 16 kHz, 50
frames a second, 8 residual codebooks of 1,024. What makes the first one semantic is its training: it is to say,
linearly, what a recogniser hears in the same frames (`audiogen.train.wave_codec`). SpeechTokenizer learns this from
HuBERT, which knows no labels; here the teacher is this toolkit's own recogniser. The network is causal: mel frames
through ConvNeXt blocks, and back by an inverse-STFT head.

Timing: a frame waits for 480 samples after its own 320, and so does a sample.
"""

from dataclasses import asdict, dataclass

from torch import Tensor, nn

from audiogen.codecs.whole import decode_whole, encode_whole
from audiogen.nn.digest import digest
from audiogen.nn.mel_encoder import MelEncoder, MelEncoderState
from audiogen.nn.quantize import ResidualVectorQuantizer
from audiogen.nn.reconstruction import Reconstruction
from audiogen.nn.state import State
from audiogen.nn.stft import LogMelFrames
from audiogen.nn.vocoder import Vocoder, VocoderState
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.registry import register


@dataclass
class SemanticRvqConfig:
    """The frames, the codebooks and the sizes of both networks."""

    sample_rate: int = 16_000
    hop_length: int = 320
    n_fft: int = 1280
    num_mels: int = 80
    num_codebooks: int = 8
    codebook_size: int = 1024
    latent_dim: int = 64
    encoder_dim: int = 192
    encoder_depth: int = 4
    decoder_dim: int = 256
    decoder_depth: int = 5
    kernel_size: int = 7


@dataclass
class SemanticRvqState(State):
    """Both directions of a stream."""

    encoder: MelEncoderState
    decoder: VocoderState


@register("codec", "semantic_rvq", SemanticRvqConfig)
class SemanticRvq(nn.Module):
    """The semantic codec; see the module's first lines."""

    def __init__(self, config: SemanticRvqConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = CodecSpec(
            "semantic_rvq", config.sample_rate, config.hop_length, config.num_codebooks, config.codebook_size
        )
        mel = LogMelFrames(config.sample_rate, config.n_fft, config.hop_length, config.num_mels)
        sizes = config.encoder_dim, config.encoder_depth, config.kernel_size
        self.encoder = MelEncoder(mel, 1, *sizes, output_dim=config.latent_dim)
        self.quantizer = ResidualVectorQuantizer(config.num_codebooks, config.codebook_size, config.latent_dim)
        sizes = config.decoder_dim, config.decoder_depth, config.kernel_size
        self.decoder = Vocoder(config.latent_dim, *sizes, config.n_fft, config.hop_length)

    def codes_digest(self) -> str:
        """SHA-256 of what decides the codes: all settings, the encoder and the codebooks."""
        return digest(asdict(self.config), self.encoder, self.quantizer)

    def forward(self, wave: Tensor, used: int | None) -> Reconstruction:
        """Training: wave [B, 1, T · hop] through the first `used` codebooks, or unquantised if None."""
        latents, _ = self.encoder(wave[:, 0])
        quantized = None if used is None else self.quantizer(latents, used)
        rebuilt, _ = self.decoder(latents if quantized is None else quantized.values)
        losses = {} if quantized is None else {"commitment": quantized.commitment}
        return Reconstruction(rebuilt, losses, latents, quantized)

    def encode(self, wave: Tensor, lengths: Tensor | None = None) -> AudioTokens:
        """Wave [B, 1, N], rows of `lengths` [B] samples, to codes [B, K, ceil(N / hop)]; the first are semantic."""
        return encode_whole(self, wave, lengths)

    def decode(self, tokens: AudioTokens) -> Tensor:
        """Codes [B, k, T] of the first k codebooks to wave [B, 1, N]."""
        return decode_whole(self, tokens)

    def init_state(self, batch_size: int = 1) -> SemanticRvqState:
        """A stream that has seen nothing."""
        return SemanticRvqState(self.encoder.init_state(batch_size), self.decoder.init_state(batch_size))

    def encode_step(
        self, wave: Tensor, state: SemanticRvqState, final: bool = False
    ) -> tuple[AudioTokens, SemanticRvqState]:
        """The codes of the frames that the next samples [B, 1, n] complete; `final` completes the last with silence."""
        latents, encoder = self.encoder(wave[:, 0], state.encoder, final)
        tokens = AudioTokens.from_codes(self.spec, self.quantizer.encode(latents))
        return tokens, SemanticRvqState(encoder, state.decoder)

    def decode_step(
        self, tokens: AudioTokens, state: SemanticRvqState, final: bool = False
    ) -> tuple[Tensor, SemanticRvqState]:
        """The samples [B, 1, n] that the next frames settle; `final` also gives those that wait for more."""
        wave, decoder = self.decoder(self.quantizer.decode(tokens.codes), state.decoder, final)
        return wave[:, None], SemanticRvqState(state.encoder, decoder)
