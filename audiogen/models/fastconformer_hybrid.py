"""FastConformer with two heads on one encoder: a transducer, and CTC beside it (hybrid CTC / RNN-T).

CTC hears every frame for itself; the transducer also knows what it has said. Trained together they help each other, and
either can be listened to.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.models.fastconformer import FastConformerConfig, FastConformerCTC
from audiogen.nn.rnnt_loss import rnnt_loss
from audiogen.nn.transducer import Joiner, Predictor
from audiogen.registry import register


@dataclass
class FastConformerHybridConfig(FastConformerConfig):
    """Shape and training of the model; the encoder's and CTC's are those of `FastConformerConfig`.

    Attributes:
        predictor_dim: Width of the embedding and the LSTM over the labels said.
        predictor_layers: LSTM layers.
        joint_dim: Width in which frames and predictions meet.
        predictor_dropout: Dropout after the LSTM.
        ctc_weight: Weight of CTC's loss; the transducer's has the rest. 0 leaves CTC's head out.
        fast_emit: λ of FastEmit, which makes labels come earlier.
    """

    predictor_dim: int = 160
    predictor_layers: int = 1
    joint_dim: int = 160
    predictor_dropout: float = 0.2
    ctc_weight: float = 0.3
    fast_emit: float = 0.005


@register("recognizer", "fastconformer_hybrid", FastConformerHybridConfig)
class FastConformerHybrid(FastConformerCTC):
    """See the module's first lines."""

    def __init__(self, config: FastConformerHybridConfig) -> None:
        super().__init__(config)
        if not 0 <= config.ctc_weight < 1:
            raise AudiogenError(f"ctc_weight={config.ctc_weight} must be at least 0 and less than 1")
        if config.ctc_weight == 0:
            self.head = None
        self.predictor = Predictor(
            config.vocab_size, config.predictor_dim, config.predictor_layers, config.predictor_dropout
        )
        self.joiner = Joiner(config.dim, config.predictor_dim, config.joint_dim, config.vocab_size)

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads it has."""
        return ("rnnt",) if self.head is None else ("rnnt", "ctc")

    def loss(self, batch: "RecognitionBatch") -> tuple[Tensor, dict[str, float]]:  # noqa: F821
        """(1 − w) of the transducer's loss per label and w of CTC's, as `FastConformerCTC.loss` has it."""
        ahead, weight = self.drawn_lookahead(), self.config.ctc_weight
        frames, num_frames = self.encode(batch.wave, batch.lengths, ahead)
        logits = self.transducer_logits(frames, batch.labels)
        lost = rnnt_loss(logits, batch.labels, num_frames, batch.label_lengths, self.config.fast_emit)
        transducer = lost.sum() / batch.label_lengths.sum().clamp(min=1)
        figures = {"lookahead": float(ahead), "transducer": transducer.item()}
        if self.head is None:
            return transducer, figures
        ctc, more = self.ctc_loss(frames, num_frames, batch)
        return (1 - weight) * transducer + weight * ctc, figures | more

    def transducer_logits(self, frames: Tensor, labels: Tensor) -> Tensor:
        """Logits [B, T, U + 1, V + 1] at each of frames [B, T, D] after none to all of labels [B, U]; fp32."""
        start = labels.new_full((len(labels), 1), self.predictor.start)
        predicted, _ = self.predictor(torch.cat([start, labels], dim=1))
        return self.joiner(frames[:, :, None], predicted[:, None]).float()
