"""Streaming FastConformer with CTC: 16 kHz wave in, log-probabilities of labels out, whole or as it arrives.

Log-mel → causal subsampling by 8 (80 ms a frame) → Conformer with chunked attention → CTC head. The head gives every
frame `head_frames` label frames, so that short labels find room: at 4 (20 ms) the letters of fast words do.
Trained with several look-aheads, one drawn per batch, a model can be run with any of them. The blank is the last label.
Follows cache-aware streaming FastConformer (arXiv 2312.17279), with subsampling padded on the left only, so that
1,280 samples give exactly one frame and running sessions can be joined with fresh ones.

Published models frame sound otherwise (`framing`). Their feature frames are centred on their times, and their first
frame ends where its sound begins: the same as ours of a sound with 67.5 ms of nothing in front.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiogen.errors import AudiogenError, unknown_name
from audiogen.nn.conformer import Conformer, ConformerState, ConvolutionOptions
from audiogen.nn.features import LogMel, LogMelState, faded
from audiogen.nn.state import State
from audiogen.nn.subsampling import Bounds, DepthwiseStriding, SubsamplingState
from audiogen.registry import register

BLANK_BIAS = 4.0
FRAMINGS = ("causal", "centred", "offline")
LEAD_FRAMES = 7
"""Feature frames by which published framing begins later in the same subsampling."""


@dataclass
class FastConformerConfig:
    """Shape and training of the model.

    Attributes:
        vocab_size: Labels, the blank not counted.
        head_frames: Label frames per 80 ms frame.
        left_context: Frames before its own chunk that a frame sees; a multiple of each look-ahead + 1.
        lookaheads: Look-aheads in frames to train with; the first is the default at inference.
        frame_loss_weight: Weight of the cross-entropy with `frame_labels`, for clips that have them.
        timed_ctc_weight: Weight of CTC for those clips beside it; the others have CTC alone, at weight 1.
        frequency_mask: Widest of the two SpecAugment frequency masks, in mel bands.
        time_mask: Share of the clip each of the SpecAugment time masks may hide at most.
        time_masks: How many there are.
        framing: `causal`, ours; `centred`, of published streaming models; or `offline`, of published offline ones:
            features evened out over the clip, convolutions that look both ways, and every frame sees every other, up
            to `lookaheads[0]` + 1 frames, with `left_context` 0.
        convolution_norm: Whether LayerNorm follows the depthwise convolutions; imported models with batch
            normalisation, folded into the weights, have none.
    """

    vocab_size: int
    head_frames: int = 4
    sample_rate: int = 16_000
    num_mels: int = 80
    subsampling_channels: int = 32
    dim: int = 144
    depth: int = 8
    num_heads: int = 4
    ffn_multiplier: int = 4
    kernel_size: int = 9
    left_context: int = 56
    lookaheads: list[int] = field(default_factory=lambda: [6, 13, 1])
    dropout: float = 0.1
    frame_loss_weight: float = 1.0
    timed_ctc_weight: float = 0.0
    frequency_mask: int = 20
    time_mask: float = 0.04
    time_masks: int = 5
    framing: str = "causal"
    convolution_norm: bool = True


@dataclass
class RecognizerState(State):
    """Where a stream stands: the samples [B, n] of its unfinished chunk, and what each part remembers.

    A fresh stream of a published framing holds the samples in front of its sound, which `reset` does not restore.
    """

    samples: Tensor
    features: LogMelState
    subsampling: SubsamplingState
    encoder: ConformerState
    lookahead: int


class FastConformer(nn.Module):
    """The part that all heads share: waves to frames of the encoder, whole or as they arrive."""

    def __init__(self, config: FastConformerConfig) -> None:
        super().__init__()
        if config.framing not in FRAMINGS:
            raise unknown_name("framing", config.framing, FRAMINGS)
        if not config.lookaheads or any(config.left_context % (ahead + 1) for ahead in config.lookaheads):
            raise AudiogenError(
                f"left_context={config.left_context} must be a multiple of lookahead + 1 "
                f"for every one of lookaheads={config.lookaheads}"
            )
        if (config.left_context == 0) != (config.framing == "offline"):
            raise AudiogenError(
                f"left_context={config.left_context} does not go with framing={config.framing!r}: "
                "it is 0 for offline models, and for no others"
            )
        self.config = config
        self.features = LogMel(config.sample_rate, config.num_mels, slaney=config.framing != "causal")
        padding = (2, 1) if config.framing == "centred" else (1, 1)
        self.subsampling = DepthwiseStriding(config.num_mels, config.subsampling_channels, config.dim, padding)
        self.encoder = Conformer(
            config.dim,
            config.depth,
            config.num_heads,
            config.ffn_multiplier,
            config.kernel_size,
            config.left_context,
            max(config.lookaheads),
            config.dropout,
            ConvolutionOptions(symmetric=config.framing == "offline", norm=config.convolution_norm),
        )

    @property
    def frame_length(self) -> int:
        """Samples in a frame of the encoder."""
        return self.features.hop_length * self.subsampling.factor

    @property
    def frame_seconds(self) -> float:
        """Duration of a frame of the encoder."""
        return self.frame_length / self.config.sample_rate

    @property
    def streams(self) -> bool:
        """Whether it can hear sound as it arrives."""
        return self.config.framing != "offline"

    @property
    def _ahead(self) -> int:
        """Samples beyond a hop's end that a centred feature frame hears."""
        return self.features.window_length // 2 - self.features.hop_length

    @property
    def _lead(self) -> int:
        """Samples of nothing in front of a sound that make our framing the published one."""
        return 0 if self.config.framing == "causal" else LEAD_FRAMES * self.features.hop_length - self._ahead

    def chunk_length(self, lookahead: int) -> int:
        """Samples that are taken in at once: a stream moves on by whole chunks."""
        return (lookahead + 1) * self.frame_length

    def encode(
        self, wave: Tensor, lengths: Tensor | None = None, lookahead: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Frames of whole clips.

        Args:
            wave: [B, N].
            lengths: True lengths [B] in samples; without it all rows are full.
            lookahead: Frames of look-ahead; by default the first of the config's.

        Returns:
            [B, T, D], and the true number of frames [B].

        Raises:
            AudiogenError: If the clip is longer than an offline model hears at once.
        """
        lookahead = self.config.lookaheads[0] if lookahead is None else lookahead
        lengths = torch.full((len(wave),), wave.shape[1], device=wave.device) if lengths is None else lengths
        mel, bounds, num_frames = self._framed(wave, lengths)
        frames, _ = self.subsampling(self._mask(mel) if self.training else mel, bounds=bounds)
        if not self.streams and frames.shape[1] > lookahead + 1:
            longest = (lookahead + 1) * self.frame_seconds
            raise AudiogenError(f"this offline model hears at most {longest:g} s at once; cut the clip")
        frames, _ = self.encoder(frames, lookahead, lengths=num_frames)
        return frames, num_frames

    def init_state(self, batch_size: int = 1, lookahead: int | None = None) -> RecognizerState:
        """A stream that has heard nothing; `lookahead` as in `encode`."""
        if not self.streams:
            raise AudiogenError("an offline model cannot hear sound as it arrives; give it whole clips")
        return RecognizerState(
            self.features.window.new_zeros(batch_size, self._lead),
            self.features.init_state(batch_size),
            self.subsampling.init_state(batch_size),
            self.encoder.init_state(batch_size),
            self.config.lookaheads[0] if lookahead is None else lookahead,
        )

    def missing(self, state: RecognizerState) -> int:
        """Samples until the next chunk of a stream is whole."""
        return self.chunk_length(state.lookahead) - state.samples.shape[1]

    def encode_step(self, wave: Tensor, state: RecognizerState, final: bool = False) -> tuple[Tensor, RecognizerState]:
        """The frames [B, T, D] that the next samples [B, n], any n ≥ 0, settle.

        Whole chunks are taken in at once; `final` takes in the rest, with silence up to a whole frame.
        """
        samples = torch.cat([state.samples, wave], dim=1)
        samples, end = self._ended(samples) if final else (samples, None)
        chunk = self.frame_length if final else self.chunk_length(state.lookahead)
        used = samples.shape[1] // chunk * chunk
        if used == 0:
            nothing = samples.new_zeros(len(wave), 0, self.config.dim)
            return nothing, RecognizerState(samples, state.features, state.subsampling, state.encoder, state.lookahead)
        mel, features = self.features(samples[:, :used], state.features)
        bounds = self._stream_bounds(state, mel.shape[1] if end is None else end)
        frames, subsampling = self.subsampling(mel, state.subsampling, bounds)
        frames, encoder = self.encoder(frames, state.lookahead, state.encoder)
        return frames, RecognizerState(samples[:, used:], features, subsampling, encoder, state.lookahead)

    def _framed(self, wave: Tensor, lengths: Tensor) -> tuple[Tensor, Bounds | None, Tensor]:
        """Features [B, T, F] of whole clips, T a multiple of 8; which are any, if not all; encoder frames [B]."""
        if self.config.framing == "causal":
            # Everything is causal but for the attention, so silence after a row's end is all the padding it needs.
            wave = wave.masked_fill(torch.arange(wave.shape[1], device=wave.device) >= lengths[:, None], 0)
            mel, _ = self.features(F.pad(wave, (0, -wave.shape[1] % self.frame_length)))
            return mel, None, -(-lengths // self.frame_length)
        skipped = 0 if self.streams else LEAD_FRAMES
        end = (lengths + self._lead + self._ahead) // self.features.hop_length - skipped
        num_frames = -(-end // self.subsampling.factor)
        size = int(num_frames.max()) * self.frame_length + skipped * self.features.hop_length
        wave = faded(F.pad(wave, (0, max(0, size - wave.shape[1]))), lengths)
        mel, _ = self.features(F.pad(wave, (self._lead, 0))[:, :size])
        bounds = Bounds(torch.full_like(end, LEAD_FRAMES - skipped), end)
        return (mel if self.streams else _evened(mel[:, skipped:], end)), bounds, num_frames

    def _ended(self, samples: Tensor) -> tuple[Tensor, int | None]:
        """The last samples [B, n] of a stream with silence to whole frames, and how many feature frames they make."""
        if self.config.framing == "causal":
            return F.pad(samples, (0, -samples.shape[1] % self.frame_length)), None
        end = (samples.shape[1] + self._ahead) // self.features.hop_length
        size = -(-end // self.subsampling.factor) * self.frame_length
        lengths = torch.full((len(samples),), samples.shape[1], device=samples.device)
        return faded(F.pad(samples, (0, max(0, size - samples.shape[1]))), lengths)[:, :size] if end else samples, end

    def _stream_bounds(self, state: RecognizerState, end: int) -> Bounds | None:
        """Which feature frames of a step that ends with frame `end` are any, if not all."""
        if self.config.framing == "causal":
            return None
        first = torch.where(state.encoder.filled == 0, LEAD_FRAMES, 0)
        return Bounds(first, torch.full_like(first, end))

    def _mask(self, mel: Tensor) -> Tensor:
        """SpecAugment: hide bands of frequency and spans of time of mel [B, T, F] by the mean, zero."""
        config = self.config
        hidden = _spans(len(mel), 2, mel.shape[2], config.frequency_mask, mel.device)[:, None]
        longest = int(config.time_mask * mel.shape[1])
        return mel.masked_fill(
            hidden | _spans(len(mel), config.time_masks, mel.shape[1], longest, mel.device)[..., None], 0
        )


@register("recognizer", "fastconformer_ctc", FastConformerConfig)
class FastConformerCTC(FastConformer):
    """The encoder with a CTC head."""

    heads: tuple[str, ...] = ("ctc",)

    def __init__(self, config: FastConformerConfig) -> None:
        super().__init__(config)
        self.head = nn.Linear(config.dim, config.head_frames * (config.vocab_size + 1))
        # CTC first learns that most frames are blank; beginning there spares the encoder that push.
        nn.init.constant_(self.head.bias.unflatten(0, (config.head_frames, -1))[:, self.blank], BLANK_BIAS)

    @property
    def blank(self) -> int:
        """The label that stands for none."""
        return self.config.vocab_size

    @property
    def label_seconds(self) -> float:
        """Duration of a label frame."""
        return self.frame_seconds / self.config.head_frames

    def loss(self, batch: "RecognitionBatch") -> tuple[Tensor, dict[str, float]]:  # noqa: F821
        """Cross-entropy for the clips whose label frames are known, with some CTC if so configured; CTC for the others.

        CTC left to itself would have the blank everywhere but in peaks, against what known timings teach: to find when
        phones are said leave it out there, to find which were said its view of the whole sequence helps. The
        look-ahead is drawn at random.

        Args:
            batch: `wave` [B, N], `lengths` [B], `labels` [B, L], `label_lengths` [B], and `frame_labels` [B, T] at the
                label frame rate (−1 unknown) or None.
        """
        ahead = self.drawn_lookahead()
        loss, figures = self.ctc_loss(*self.encode(batch.wave, batch.lengths, ahead), batch)
        return loss, {"lookahead": float(ahead), **figures}

    def drawn_lookahead(self) -> int:
        """One of the look-aheads to train with."""
        return self.config.lookaheads[int(torch.randint(len(self.config.lookaheads), ()))]

    def ctc_loss(
        self,
        frames: Tensor,
        num_frames: Tensor,
        batch: "RecognitionBatch",  # noqa: F821
    ) -> tuple[Tensor, dict[str, float]]:
        """What `loss` describes, of frames [B, T, D] of the encoder."""
        log_probs, lengths = self.label_log_probs(frames), num_frames * self.config.head_frames
        timed = torch.zeros(len(lengths), dtype=torch.bool, device=lengths.device)
        loss, figures = log_probs.new_zeros(()), {}
        if batch.frame_labels is not None:
            labels = self._fit_frames(batch.frame_labels, log_probs.shape[1])
            timed = (labels >= 0).any(1)
        if timed.any():
            known = labels >= 0
            loss = self.config.frame_loss_weight * F.nll_loss(log_probs[known], labels[known])
            right = (log_probs.detach().argmax(-1) == labels)[known]
            figures |= {"frame": loss.item(), "frame_accuracy": right.float().mean().item()}
        for rows, weight in ((timed, self.config.timed_ctc_weight), (~timed, 1.0)):
            if weight and rows.any():
                ctc = self._ctc(log_probs[rows], lengths[rows], batch.labels[rows], batch.label_lengths[rows])
                loss = loss + weight * ctc
                figures |= {"ctc": ctc.item()}
        return loss, figures

    def log_probs(
        self, wave: Tensor, lengths: Tensor | None = None, lookahead: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities of whole clips; arguments as of `encode`.

        Returns:
            [B, T, vocab_size + 1] at the label frame rate, and the true number of label frames [B].
        """
        frames, num_frames = self.encode(wave, lengths, lookahead)
        return self.label_log_probs(frames), num_frames * self.config.head_frames

    def step(self, wave: Tensor, state: RecognizerState, final: bool = False) -> tuple[Tensor, RecognizerState]:
        """The log-probabilities [B, T, vocab_size + 1] that the next samples settle, as `encode_step`."""
        frames, state = self.encode_step(wave, state, final)
        return self.label_log_probs(frames), state

    def label_log_probs(self, frames: Tensor) -> Tensor:
        """Frames [B, T, D] to log-probabilities [B, T · head_frames, V + 1], in fp32."""
        shape = (self.config.head_frames, self.config.vocab_size + 1)
        return self.head(frames).unflatten(-1, shape).flatten(1, 2).float().log_softmax(-1)

    def _ctc(self, log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Negative log-likelihood per label; clips too short for their labels do not count."""
        summed = F.ctc_loss(
            log_probs.transpose(0, 1), labels, lengths, label_lengths, self.blank, reduction="sum", zero_infinity=True
        )
        return summed / label_lengths.sum().clamp(min=1)

    @staticmethod
    def _fit_frames(labels: Tensor, num_frames: int) -> Tensor:
        """Frame labels [B, T'] cut or filled up with −1 to [B, T]."""
        return F.pad(labels[:, :num_frames], (0, max(0, num_frames - labels.shape[1])), value=-1)


def _evened(mel: Tensor, lengths: Tensor) -> Tensor:
    """Features [B, T, F] with mean 0 and deviation 1 in each band over the first `lengths` frames."""
    present = (torch.arange(mel.shape[1], device=mel.device) < lengths[:, None])[..., None]
    count = lengths[:, None, None].clamp(min=1)
    centred = (mel - (mel * present).sum(1, keepdim=True) / count) * present
    deviation = (centred.square().sum(1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return centred / (deviation + 1e-5)


def _spans(rows: int, count: int, size: int, longest: int, device: torch.device) -> Tensor:
    """bool [rows, size], true within `count` random spans of at most `longest` in each row."""
    widths = torch.rand(rows, count, 1, device=device) * (longest + 1)
    starts = torch.rand(rows, count, 1, device=device) * (size - widths).clamp(min=0)
    places = torch.arange(size, device=device)
    return ((places >= starts.floor()) & (places < starts.floor() + widths.floor())).any(1)
