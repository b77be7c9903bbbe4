"""How a codec is trained: spectral and waveform reconstruction, then adversarial and feature losses on top.

Each batch draws how many codebooks are used (so that one codec serves several bitrates) and whether the first one is
merged (so that the codes VALL-E R works with decode well too).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from audiogen.nn.discriminators import Discriminators, adversarial_loss, discriminator_loss, feature_loss
from audiogen.nn.quantize import CodebookLearner
from audiogen.nn.spectral import compressed, log_mel, magnitude, spectrum
from audiogen.train.loop import TrainConfig, adamw

SCALES = {256: 32, 512: 64, 1024: 80, 2048: 120}


@dataclass
class CodecTrainConfig:
    """Loss weights and schedule of codec training.

    The discriminators, the dearest part on a CPU, see the first `judged_rows` segments of a batch.
    `decoder_only` trains the decoder against frozen encoder and codebooks: the codes, and what was trained on them,
    stay valid.
    """

    mel_weight: float = 30.0
    complex_weight: float = 30.0
    wave_weight: float = 10.0
    commitment_weight: float = 5.0
    adversarial_weight: float = 1.0
    feature_weight: float = 5.0
    adversarial_from: int = 4000
    judged_rows: int = 4
    start_codebooks_after: int = 200
    used_codebooks: list[int] = field(default_factory=lambda: [2, 4, 8, 8, 8])
    merge_probability: float = 0.4
    decoder_only: bool = False


class CodecObjective:
    """A codec with `forward(wave, used, merge)`, its codebook learner and its discriminators."""

    def __init__(self, codec: nn.Module, config: CodecTrainConfig, sample_rate: int) -> None:
        self.config, self.sample_rate = config, sample_rate
        learner = CodebookLearner(codec.quantizer, 0 if config.decoder_only else config.start_codebooks_after)
        self.modules = {"codec": codec, "learner": learner, "discriminators": Discriminators()}
        if config.decoder_only:
            codec.encoder.requires_grad_(False)

    def optimizers(self, config: TrainConfig) -> dict[str, Optimizer]:
        """AdamW for codec and discriminators."""
        return {name: adamw(self.modules[name], config, beta1=0.8) for name in ("codec", "discriminators")}

    def losses(self, batch: Tensor, step: int) -> Iterator[tuple[str, Tensor, dict[str, float]]]:
        """Discriminator's loss (once it has begun), then the codec's, for a batch [B, 1, N]."""
        rebuilt, quantized, latents = self._reconstruct(batch)
        adversarial = step > self.config.adversarial_from
        discriminators = self.modules["discriminators"]
        rows = slice(self.config.judged_rows)
        if adversarial:
            real = discriminators(batch[rows])
            loss = discriminator_loss(real, discriminators(rebuilt[rows].detach()))
            yield "discriminators", loss, {"discriminator": loss.item()}
        parts = reconstruction_losses(rebuilt[:, 0], batch[:, 0], self.sample_rate)
        if quantized is not None and not self.config.decoder_only:
            parts["commitment"] = quantized.commitment
        if adversarial:
            judged = discriminators(rebuilt[rows])
            parts |= {"adversarial": adversarial_loss(judged), "feature": feature_loss(real, judged)}
        loss = sum(getattr(self.config, f"{name}_weight") * part for name, part in parts.items())
        figures = {name: part.item() for name, part in parts.items()}
        if quantized is not None:
            figures["perplexity/first"] = perplexity(quantized.codes[:, 0], 1024)
            figures["perplexity/last"] = perplexity(quantized.codes[:, -1], 1024)
        yield "codec", loss, figures

    def _reconstruct(self, batch: Tensor) -> tuple[Tensor, object, Tensor]:
        """One pass through the codec, unquantised until the codebooks have started; moves them after."""
        codec, learner = self.modules["codec"], self.modules["learner"]
        quantizer = codec.module.quantizer
        if not learner.started:
            rebuilt, _, latents = codec(batch, None)
            learner.gather(quantizer, latents)
            return rebuilt, None, latents
        options = self.config.used_codebooks
        used = options[int(torch.randint(len(options), ()))]
        merge = 2 if torch.rand(()) < self.config.merge_probability else 1
        rebuilt, quantized, latents = codec(batch, used, merge)
        if not self.config.decoder_only:
            learner.update(quantizer, quantized)
        return rebuilt, quantized, latents


def reconstruction_losses(rebuilt: Tensor, wave: Tensor, sample_rate: int) -> dict[str, Tensor]:
    """L1 between waves [B, N]: log-mel at four scales, compressed complex spectra at two of them, and samples."""
    mel, complex_ = [], []
    for n_fft, num_mels in SCALES.items():
        ours, theirs = (spectrum(x, n_fft, n_fft // 4) for x in (rebuilt, wave))
        a, b = (log_mel(magnitude(x), sample_rate, num_mels) for x in (ours, theirs))
        mel.append((a - b).abs().mean())
        if n_fft in (512, 2048):
            complex_.append((compressed(ours) - compressed(theirs)).abs().mean())
    return {
        "mel": torch.stack(mel).mean(),
        "complex": torch.stack(complex_).mean(),
        "wave": (rebuilt - wave).abs().mean(),
    }


def perplexity(codes: Tensor, size: int) -> float:
    """How many codes are in effective use: exp of the entropy of their frequencies."""
    share = torch.bincount(codes.flatten(), minlength=size).float() / codes.numel()
    return float(torch.exp(-(share * (share + 1e-12).log()).sum()))
