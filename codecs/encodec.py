"""EnCodec (Défossez et al. 2022, arXiv 2210.13438): a SEANet autoencoder around a residual vector quantiser.

The published 24 kHz model is the default configuration, and audiocraft's 32 kHz one is another; the 48 kHz model, which
cuts sound into normalised segments, is in `encodec_segmented.py`. Published weights are read by
`audiogen import encodec`.

Codes are nested: the first k codebooks of a frame are the codes at the bandwidth of k codebooks.

Timing of the causal model: a frame is complete with its last sample, but mirrored padding holds the first seven frames
back until the seventh, on the way in and on the way out.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Self

import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.digest import digest
from audiogen.nn.quantize import ResidualVectorQuantizer
from audiogen.nn.reconstruction import Reconstruction
from audiogen.nn.seanet import Decoder, Encoder, SeanetConfig, SeanetState
from audiogen.nn.state import State
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.registry import register

# Long sounds go through in blocks: small enough for a processor's cache, large enough that reading the weights pays.
BLOCK_FRAMES = 75


@dataclass
class EncodecConfig:
    """Rate, network and codebooks."""

    sample_rate: int = 24_000
    num_codebooks: int = 32
    codebook_size: int = 1024
    network: SeanetConfig = field(default_factory=SeanetConfig)

    def __post_init__(self) -> None:
        if self.network.time_norm:
            raise AudiogenError("time_norm needs sound in segments: use the codec 'encodec_segmented'")


class StreamState(State):
    """A state whose rows share one position in time."""

    def reset(self, mask: Tensor) -> Self:
        """Not possible: a stream does not start from zeros, for its first samples are mirrored or its segment begun."""
        raise AudiogenError("a row of an EnCodec stream cannot be reset by itself; begin a new init_state")


@dataclass
class EncodecState(StreamState):
    """Both directions of a stream."""

    encoder: SeanetState
    decoder: SeanetState


@register("codec", "encodec", EncodecConfig)
class EncodecCodec(nn.Module):
    """EnCodec without segments; see the module's first lines."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        self.config = config
        network = config.network
        self.spec = CodecSpec(
            "encodec",
            config.sample_rate,
            network.hop_length,
            config.num_codebooks,
            config.codebook_size,
            channels=network.channels,
        )
        self.encoder = Encoder(network)
        self.quantizer = ResidualVectorQuantizer(config.num_codebooks, config.codebook_size, network.latent_dim)
        self.decoder = Decoder(network)

    def codes_digest(self) -> str:
        """SHA-256 of what decides the codes: all settings, the encoder and the codebooks."""
        return digest(asdict(self.config), self.encoder, self.quantizer)

    def codebooks_at(self, kbps: float) -> int:
        """How many codebooks a bandwidth of `kbps` kbit/s has room for; at least one."""
        bits = (self.spec.codebook_size - 1).bit_length() * self.spec.frame_rate
        return max(1, min(self.spec.num_codebooks, int(round(1000 * kbps) // bits)))

    def forward(self, wave: Tensor, used: int | None) -> Reconstruction:
        """Training: wave [B, 1, T · hop] through the first `used` codebooks, or unquantised if None; mono."""
        state = self.init_state(len(wave))
        latents, _ = self.encoder(self._channels_last(wave), state.encoder, final=True)
        quantized = None if used is None else self.quantizer(latents, used)
        rebuilt, _ = self.decoder(latents if quantized is None else quantized.values, state.decoder, final=True)
        losses = {} if quantized is None else {"commitment": quantized.commitment}
        return Reconstruction(rebuilt[..., 0], losses, latents, quantized)

    def encode(self, wave: Tensor, lengths: Tensor | None = None, codebooks: int | None = None) -> AudioTokens:
        """Encode wave [B, C, N] to ceil(N / hop) frames.

        Args:
            wave: Samples; one channel serves for all that the codec has.
            lengths: True lengths [B] in samples, where rows are padded.
            codebooks: Use the first so many; all if None.
        """
        if lengths is not None and len(set(lengths.tolist())) > 1:
            return joined(
                [self.encode(row[None, :, :length], None, codebooks) for row, length in zip(wave, lengths, strict=True)]
            )
        wave = wave if lengths is None else wave[..., : int(lengths[0])]
        tokens, _ = self.encode_step(wave, self.init_state(len(wave)), final=True, codebooks=codebooks)
        tokens.num_samples = torch.full((len(wave),), wave.shape[-1])
        return tokens

    def decode(self, tokens: AudioTokens) -> Tensor:
        """Decode codes [B, k, T] of the first k codebooks to wave [B, C, N]."""
        if len(set(tokens.lengths.tolist())) > 1:
            return padded([self.decode(row) for row in rows_of(tokens)])
        tokens = replace(tokens, codes=tokens.codes[..., : int(tokens.lengths[0])])
        wave, _ = self.decode_step(tokens, self.init_state(len(tokens.codes)), final=True)
        return wave if tokens.num_samples is None else wave[..., : int(tokens.num_samples.max())]

    def init_state(self, batch_size: int = 1) -> EncodecState:
        """A stream that has seen nothing."""
        return EncodecState(self.encoder.init_state(batch_size), self.decoder.init_state(batch_size))

    def encode_step(
        self, wave: Tensor, state: EncodecState, final: bool = False, codebooks: int | None = None
    ) -> tuple[AudioTokens, EncodecState]:
        """Encode the next samples [B, C, n]; `final` completes the last frame."""
        encoder, latents = state.encoder, []
        for block, last in _blocks(self._channels_last(wave), BLOCK_FRAMES * self.spec.hop_length):
            part, encoder = self.encoder(block, encoder, final and last)
            latents.append(part)
        return self._quantized(torch.cat(latents, dim=1), codebooks), EncodecState(encoder, state.decoder)

    def decode_step(self, tokens: AudioTokens, state: EncodecState, final: bool = False) -> tuple[Tensor, EncodecState]:
        """Decode the next frames; `final` also gives the samples that were held back."""
        decoder, waves = state.decoder, []
        for block, last in _blocks(self.quantizer.decode(tokens.codes), BLOCK_FRAMES):
            part, decoder = self.decoder(block, decoder, final and last)
            waves.append(part)
        return torch.cat(waves, dim=1).transpose(1, 2), EncodecState(state.encoder, decoder)

    def _channels_last(self, wave: Tensor) -> Tensor:
        if wave.shape[1] not in (1, self.spec.channels):
            wanted = "1" if self.spec.channels == 1 else f"1 or {self.spec.channels}"
            raise AudiogenError(f"a wave of {wave.shape[1]} channels was given; this codec takes {wanted}")
        return wave.expand(-1, self.spec.channels, -1).transpose(1, 2).contiguous()

    def _quantized(self, latents: Tensor, codebooks: int | None) -> AudioTokens:
        used = self.spec.num_codebooks if codebooks is None else codebooks
        if not 1 <= used <= self.spec.num_codebooks:
            raise AudiogenError(f"{used} codebooks asked for; this codec has 1 to {self.spec.num_codebooks}")
        return AudioTokens.from_codes(self.spec, self.quantizer.encode(latents, used=used))


def joined(rows: list[AudioTokens]) -> AudioTokens:
    """Tokens of single rows as one batch, codes and scales padded with zeros."""
    lengths, samples = (torch.cat([getattr(row, name) for row in rows]) for name in ("lengths", "num_samples"))
    scales = None if rows[0].scales is None else padded([row.scales for row in rows])
    return AudioTokens(rows[0].spec, lengths, padded([row.codes for row in rows]), num_samples=samples, scales=scales)


def rows_of(tokens: AudioTokens) -> Iterator[AudioTokens]:
    """The rows of a batch, each at its own length."""
    for row, length in enumerate(tokens.lengths.tolist()):
        one = slice(row, row + 1)
        samples = None if tokens.num_samples is None else tokens.num_samples[one]
        scales = None if tokens.scales is None else tokens.scales[one]
        codes = tokens.codes[one, :, :length]
        yield AudioTokens(tokens.spec, tokens.lengths[one], codes, num_samples=samples, scales=scales)


def padded(rows: list[Tensor]) -> Tensor:
    """Tensors [1, …, n] of one row each as one [B, …, max n], filled up with zeros."""
    longest = max(row.shape[-1] for row in rows)
    return torch.cat([nn.functional.pad(row, (0, longest - row.shape[-1])) for row in rows])


def _blocks(x: Tensor, size: int) -> Iterator[tuple[Tensor, bool]]:
    """x [B, n, ·] in blocks of `size`, and whether each is the last."""
    blocks = x.split(size, dim=1)
    return ((block, number == len(blocks)) for number, block in enumerate(blocks, start=1))
