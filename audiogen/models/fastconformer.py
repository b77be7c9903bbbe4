"""Streaming FastConformer with CTC: 16 kHz wave in, log-probabilities of labels out, whole or as it arrives.

Log-mel → causal subsampling by 8 (80 ms a frame) → Conformer with chunked attention → CTC head. The head gives every
frame `head_frames` label frames, so that short labels find room: at 4 (20 ms) the letters of fast words do.
Trained with several look-aheads, one drawn per batch, a model can be run with any of them. The blank is the last label.
Follows cache-aware streaming FastConformer (arXiv 2312.17279), with subsampling padded on the left only, so that
1,280 samples give exactly one frame and running sessions can be joined with fresh ones.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiogen.errors import AudiogenError
from audiogen.nn.conformer import Conformer, ConformerState
from audiogen.nn.features import LogMel, LogMelState
from audiogen.nn.state import State
from audiogen.nn.subsampling import DepthwiseStriding, SubsamplingState
from audiogen.registry import register

BLANK_BIAS = 4.0


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


@dataclass
class RecognizerState(State):
    """Where a stream stands: the samples [B, n] of its unfinished chunk, and what each part remembers."""

    samples: Tensor
    features: LogMelState
    subsampling: SubsamplingState
    encoder: ConformerState
    lookahead: int


@register("recognizer", "fastconformer_ctc", FastConformerConfig)
class FastConformerCTC(nn.Module):
    """See the module's first lines."""

    def __init__(self, config: FastConformerConfig) -> None:
        super().__init__()
        if not config.lookaheads or any(config.left_context % (ahead + 1) for ahead in config.lookaheads):
            raise AudiogenError(
                f"left_context={config.left_context} must be a multiple of lookahead + 1 "
                f"for every one of lookaheads={config.lookaheads}"
            )
        self.config = config
        self.features = LogMel(config.sample_rate, config.num_mels)
        self.subsampling = DepthwiseStriding(config.num_mels, config.subsampling_channels, config.dim)
        self.encoder = Conformer(
            config.dim,
            config.depth,
            config.num_heads,
            config.ffn_multiplier,
            config.kernel_size,
            config.left_context,
            max(config.lookaheads),
            config.dropout,
        )
        self.head = nn.Linear(config.dim, config.head_frames * (config.vocab_size + 1))
        # CTC first learns that most frames are blank; beginning there spares the encoder that push.
        nn.init.constant_(self.head.bias.unflatten(0, (config.head_frames, -1))[:, self.blank], BLANK_BIAS)

    @property
    def blank(self) -> int:
        """The label that stands for none."""
        return self.config.vocab_size

    @property
    def frame_length(self) -> int:
        """Samples in a frame of the encoder."""
        return self.features.hop_length * self.subsampling.factor

    @property
    def label_seconds(self) -> float:
        """Duration of a label frame."""
        return self.frame_length / self.config.sample_rate / self.config.head_frames

    def chunk_length(self, lookahead: int) -> int:
        """Samples that are taken in at once: a stream moves on by whole chunks."""
        return (lookahead + 1) * self.frame_length

    def loss(self, batch: "RecognitionBatch") -> tuple[Tensor, dict[str, float]]:  # noqa: F821
        """Cross-entropy for the clips whose label frames are known, with some CTC if so configured; CTC for the others.

        CTC left to itself would have the blank everywhere but in peaks, against what known timings teach: to find when
        phones are said leave it out there, to find which were said its view of the whole sequence helps. The
        look-ahead is drawn at random.

        Args:
            batch: `wave` [B, N], `lengths` [B], `labels` [B, L], `label_lengths` [B], and `frame_labels` [B, T] at the
                label frame rate (−1 unknown) or None.
        """
        ahead = self.config.lookaheads[int(torch.randint(len(self.config.lookaheads), ()))]
        log_probs, lengths = self.log_probs(batch.wave, batch.lengths, ahead)
        timed = torch.zeros(len(lengths), dtype=torch.bool, device=lengths.device)
        loss, figures = log_probs.new_zeros(()), {"lookahead": float(ahead)}
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
        """Log-probabilities of whole clips.

        Args:
            wave: [B, N].
            lengths: True lengths [B] in samples; without it all rows are full.
            lookahead: Frames of look-ahead; by default the first of the config's.

        Returns:
            [B, T, vocab_size + 1] at the label frame rate, and the true number of label frames [B].
        """
        lookahead = self.config.lookaheads[0] if lookahead is None else lookahead
        lengths = torch.full((len(wave),), wave.shape[1], device=wave.device) if lengths is None else lengths
        # Everything below is causal but for the attention, so silence after a row's end is all the padding it needs.
        wave = wave.masked_fill(torch.arange(wave.shape[1], device=wave.device) >= lengths[:, None], 0)
        wave = F.pad(wave, (0, -wave.shape[1] % self.frame_length))
        mel, _ = self.features(wave)
        frames, _ = self.subsampling(self._mask(mel) if self.training else mel)
        num_frames = -(-lengths // self.frame_length)
        frames, _ = self.encoder(frames, lookahead, lengths=num_frames)
        return self._head(frames), num_frames * self.config.head_frames

    def init_state(self, batch_size: int = 1, lookahead: int | None = None) -> RecognizerState:
        """A stream that has heard nothing; `lookahead` as in `log_probs`."""
        return RecognizerState(
            self.head.weight.new_zeros(batch_size, 0),
            self.features.init_state(batch_size),
            self.subsampling.init_state(batch_size),
            self.encoder.init_state(batch_size),
            self.config.lookaheads[0] if lookahead is None else lookahead,
        )

    def step(self, wave: Tensor, state: RecognizerState, final: bool = False) -> tuple[Tensor, RecognizerState]:
        """The log-probabilities [B, T, vocab_size + 1] that the next samples [B, n], any n ≥ 0, settle.

        Whole chunks are taken in at once; `final` takes in the rest, with silence up to a whole frame.
        """
        samples = torch.cat([state.samples, wave], dim=1)
        if final:
            samples = F.pad(samples, (0, -samples.shape[1] % self.frame_length))
        chunk = self.frame_length if final else self.chunk_length(state.lookahead)
        used = samples.shape[1] // chunk * chunk
        if used == 0:
            nothing = self.head.weight.new_zeros(len(wave), 0, self.config.vocab_size + 1)
            return nothing, RecognizerState(samples, state.features, state.subsampling, state.encoder, state.lookahead)
        mel, features = self.features(samples[:, :used], state.features)
        frames, subsampling = self.subsampling(mel, state.subsampling)
        frames, encoder = self.encoder(frames, state.lookahead, state.encoder)
        return self._head(frames), RecognizerState(samples[:, used:], features, subsampling, encoder, state.lookahead)

    def _head(self, frames: Tensor) -> Tensor:
        """Frames [B, T, D] to log-probabilities [B, T · head_frames, V + 1], in fp32."""
        logits = self.head(frames).unflatten(-1, (self.config.head_frames, -1)).flatten(1, 2)
        return logits.float().log_softmax(-1)

    def _mask(self, mel: Tensor) -> Tensor:
        """SpecAugment: hide bands of frequency and spans of time of mel [B, T, F] by the mean, zero."""
        config = self.config
        hidden = _spans(len(mel), 2, mel.shape[2], config.frequency_mask, mel.device)[:, None]
        longest = int(config.time_mask * mel.shape[1])
        return mel.masked_fill(
            hidden | _spans(len(mel), config.time_masks, mel.shape[1], longest, mel.device)[..., None], 0
        )

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


def _spans(rows: int, count: int, size: int, longest: int, device: torch.device) -> Tensor:
    """bool [rows, size], true within `count` random spans of at most `longest` in each row."""
    widths = torch.rand(rows, count, 1, device=device) * (longest + 1)
    starts = torch.rand(rows, count, 1, device=device) * (size - widths).clamp(min=0)
    places = torch.arange(size, device=device)
    return ((places >= starts.floor()) & (places < starts.floor() + widths.floor())).any(1)
