"""EnCodec in segments: how the published 48 kHz stereo model codes music.

Sound is cut into segments of a second that overlap by a hundredth. Each is scaled to a loudness of one, coded on its
own by a network that sees all of it, decoded, scaled back and faded into the next (arXiv 2210.13438 §3.1, the setup
that is not streamable). So a stream moves by segments, and segments of a long sound go through the LSTM side by side.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby

import torch
from torch import Tensor, nn

from audiogen.codecs.encodec import EncodecCodec, EncodecConfig, StreamState
from audiogen.errors import AudiogenError
from audiogen.nn.seanet import SeanetConfig
from audiogen.protocols import AudioTokens
from audiogen.registry import register

TOGETHER = 16


@dataclass
class SegmentedEncodecConfig(EncodecConfig):
    """As `EncodecConfig`; a segment has `segment` samples and the next begins `segment_stride` samples later."""

    sample_rate: int = 48_000
    num_codebooks: int = 16
    network: SeanetConfig = field(default_factory=lambda: SeanetConfig(channels=2, causal=False, time_norm=True))
    segment: int = 48_000
    segment_stride: int = 47_520

    def __post_init__(self) -> None:
        if self.segment % self.network.hop_length or not self.segment / 2 <= self.segment_stride <= self.segment:
            raise AudiogenError(
                f"segment {self.segment} must be a multiple of the hop length {self.network.hop_length}, and "
                f"segment_stride {self.segment_stride} between half of it and all of it"
            )


@dataclass
class SegmentedState(StreamState):
    """Both directions of a stream.

    Attributes:
        samples: Samples [B, n, C] of segments that are not complete.
        codes: Codes [B, k, t] of segments not known to be complete.
        scales: Loudness [B, s] of the segments not yet decoded.
        overlap: Weighted samples [B, m, C] of the last decoded segment, to be faded into the next.
        length: Samples of the first segment, 0 before it.
    """

    samples: Tensor
    codes: Tensor | None
    scales: Tensor
    overlap: Tensor
    length: int


@register("codec", "encodec_segmented", SegmentedEncodecConfig)
class SegmentedEncodecCodec(EncodecCodec):
    """EnCodec in segments; see the module's first lines."""

    def __init__(self, config: SegmentedEncodecConfig) -> None:
        super().__init__(config)
        segments = {"segment": config.segment, "segment_stride": config.segment_stride}
        self.spec = replace(self.spec, name="encodec_segmented", **segments)

    def init_state(self, batch_size: int = 1) -> SegmentedState:
        """A stream that has seen nothing."""
        zeros = self.quantizer.vectors.new_zeros
        none = zeros(batch_size, 0, self.spec.channels)
        return SegmentedState(none, None, zeros(batch_size, 0), none, length=0)

    def encode_step(
        self, wave: Tensor, state: SegmentedState, final: bool = False, codebooks: int | None = None
    ) -> tuple[AudioTokens, SegmentedState]:
        """Encode the segments that the next samples [B, C, n] complete; `final` encodes what is left."""
        samples = torch.cat([state.samples, self._channels_last(wave)], dim=1)
        size, stride = self.config.segment, self.config.segment_stride
        count = len(range(0, samples.shape[1], stride)) if final else max(0, (samples.shape[1] - size) // stride + 1)
        segments = [samples[:, number * stride : number * stride + size] for number in range(count)]
        latents, scales = [samples.new_zeros(len(samples), 0, self.config.network.latent_dim)], [state.scales[:, :0]]
        for group in _alike(segments):
            volumes = [segment.mean(2).square().mean(1).sqrt() + 1e-8 for segment in group]
            latents += self._latents(
                [part / volume[:, None, None] for part, volume in zip(group, volumes, strict=True)]
            )
            scales += [volume[:, None] for volume in volumes]
        tokens = self._quantized(torch.cat(latents, dim=1), codebooks)
        tokens.scales = torch.cat(scales, dim=1)
        return tokens, replace(state, samples=samples[:, count * stride :].clone())

    def decode_step(
        self, tokens: AudioTokens, state: SegmentedState, final: bool = False
    ) -> tuple[Tensor, SegmentedState]:
        """Decode the segments that the next frames complete; `scales` of segments come with their first frame."""
        if tokens.scales is None:
            raise AudiogenError("these tokens have no scales; a codec in segments cannot decode codes alone")
        codes = tokens.codes if state.codes is None else torch.cat([state.codes, tokens.codes], dim=2)
        scales = torch.cat([state.scales, tokens.scales], dim=1)
        sizes = self._segment_frames(codes.shape[2], final)
        if len(sizes) > scales.shape[1]:
            raise AudiogenError(f"{codes.shape[2]} frames are {len(sizes)} segments, but {scales.shape[1]} scales came")
        *parts, rest = codes.split([*sizes, codes.shape[2] - sum(sizes)], dim=2)
        state = replace(state, codes=rest.clone(), scales=scales[:, len(sizes) :])
        waves = [state.overlap[:, :0]]
        for number, segment in enumerate(self._segments(parts), start=1):
            segment = segment * scales[:, number - 1, None, None]
            wave, state = self._faded(segment, state, final and number == len(sizes))
            waves.append(wave)
        return torch.cat(waves, dim=1).transpose(1, 2), state

    def _latents(self, segments: list[Tensor]) -> list[Tensor]:
        """Latents of segments [B, n, C] of one length."""
        batch = len(segments[0])
        fresh = self.encoder.down.init_state(batch)
        narrow = torch.cat([self.encoder.down(segment, fresh, final=True)[0] for segment in segments])
        latents, _ = self.encoder.tail(narrow, self.encoder.tail.init_state(len(narrow)), final=True)
        return list(latents.split(batch))

    def _segments(self, parts: list[Tensor]) -> Iterator[Tensor]:
        """The decoded samples [B, n, C] of the codes of segments."""
        for group in _alike(parts):
            latents = self.quantizer.decode(torch.cat(group))
            narrow, _ = self.decoder.head(latents, self.decoder.head.init_state(len(latents)), final=True)
            for part in narrow.split(len(group[0])):
                yield self.decoder.up(part, self.decoder.up.init_state(len(part)), final=True)[0]

    def _segment_frames(self, frames: int, final: bool) -> list[int]:
        """Frames of each segment in a stream of `frames` frames, which goes on unless `final`.

        The last segment has up to a stride of new samples; the one before is short as well if those do not fill it.
        Every number of frames belongs to one such ending only.
        """
        hop, size, stride = self.spec.hop_length, self.config.segment, self.config.segment_stride
        full, last = size // hop, -(-stride // hop)
        # A first segment that is not full is followed by so few frames at most that more of them prove it full.
        doubtful = full - 1 - (stride - size) // hop
        whole = max(0, -(-(frames - (full + last if final else doubtful)) // full))
        sizes, left = [full] * whole, frames - whole * full
        if not final or left == 0:
            return sizes
        if left <= last:
            return [*sizes, left]
        for ending in range(1, last + 1):
            fewest, most = (-(-min(size, stride + new) // hop) for new in ((ending - 1) * hop + 1, ending * hop))
            if fewest <= left - ending <= most:
                return [*sizes, left - ending, ending]
        raise AudiogenError(f"{frames} frames are no whole number of segments")

    def _faded(self, segment: Tensor, state: SegmentedState, last: bool) -> tuple[Tensor, SegmentedState]:
        """The samples that a decoded segment [B, n, C] settles: overlapping ones are averaged by triangular weights."""
        length, stride, before = state.length or segment.shape[1], self.config.segment_stride, state.overlap.shape[1]
        rising = torch.linspace(0, 1, length + 2, dtype=segment.dtype, device=segment.device)[1:-1]
        triangle = 0.5 - (rising - 0.5).abs()
        size = max(segment.shape[1], before)
        weights = nn.functional.pad(triangle[: segment.shape[1]], (0, size - segment.shape[1]))
        sums = nn.functional.pad(segment, (0, 0, 0, size - segment.shape[1])) * weights[:, None]
        sums[:, :before] += state.overlap
        weights[:before] += triangle[stride : stride + before]
        settled = size if last else stride
        wave = sums[:, :settled] / weights[:settled, None]
        return wave, replace(state, overlap=sums[:, stride:], length=length)


def _alike(parts: list[Tensor]) -> Iterator[list[Tensor]]:
    """Successive parts of equal shape in lists, not too many at once."""
    for _, group in groupby(parts, key=lambda part: part.shape):
        alike = list(group)
        yield from (alike[at : at + TOGETHER] for at in range(0, len(alike), TOGETHER))
