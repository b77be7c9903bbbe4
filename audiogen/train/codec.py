"""How the magnitude codec is trained: spectral reconstruction, then adversarial and feature losses on top.

Each batch draws how many codebooks are used (so that one codec serves several bitrates) and whether the first one is
merged (so that the codes VALL-E R works with decode well too).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from audiogen.nn.discriminators import Discriminators, adversarial_loss, discriminator_loss, feature_loss
from audiogen.nn.quantize import CodebookLearner, Quantized
from audiogen.nn.spectral import log_mel, magnitude, mel_filters, spectrum
from audiogen.train.loop import TrainConfig, adamw


@dataclass
class CodecTrainConfig:
    """Loss weights and schedule of codec training.

    The discriminators see the first `judged_rows` segments of a batch. `decoder_only` trains the decoder against frozen
    encoder and codebooks: the codes, and what was trained on them, stay valid.
    """

    log_weight: float = 10.0
    power_weight: float = 10.0
    mel_weight: float = 10.0
    commitment_weight: float = 0.1
    adversarial_weight: float = 0.5
    feature_weight: float = 2.0
    adversarial_from: int = 4000
    judged_rows: int = 4
    start_codebooks_after: int = 40
    used_codebooks: list[int] = field(default_factory=lambda: [2, 4, 8, 8, 8])
    merge_probability: float = 0.4
    decoder_only: bool = False


class CodecObjective:
    """A codec with `forward(wave, used, merge)`, its codebook learner and its discriminators."""

    def __init__(self, codec: nn.Module, config: CodecTrainConfig) -> None:
        self.config, self.codec_config = config, codec.config
        learner = CodebookLearner(codec.quantizer, 0 if config.decoder_only else config.start_codebooks_after)
        bins = codec.config.n_fft // 2 + 1
        self.modules = {"codec": codec, "learner": learner, "discriminators": Discriminators(bins)}
        self.weights = loudness_weights(bins, codec.config.sample_rate)
        self.filters = mel_filters(codec.config.sample_rate, codec.config.n_fft, 80)
        if config.decoder_only:
            codec.encoder.requires_grad_(False)

    def optimizers(self, config: TrainConfig) -> dict[str, Optimizer]:
        """AdamW for codec and discriminators."""
        return {name: adamw(self.modules[name], config, beta1=0.8) for name in ("codec", "discriminators")}

    def losses(self, batch: Tensor, step: int) -> Iterator[tuple[str, Tensor, dict[str, float]]]:
        """Discriminators' loss (once they have begun), then the codec's, for a batch [B, 1, N]."""
        rebuilt, true, quantized = self._reconstruct(batch)
        adversarial = step > self.config.adversarial_from
        discriminators, rows = self.modules["discriminators"], slice(self.config.judged_rows)
        if adversarial:
            real = discriminators(true[rows])
            loss = discriminator_loss(real, discriminators(rebuilt[rows].detach()))
            yield "discriminators", loss, {"discriminator": loss.item()}
        parts = self.reconstruction(rebuilt, true)
        if quantized is not None and not self.config.decoder_only:
            parts["commitment"] = quantized.commitment
        if adversarial:
            discriminators.requires_grad_(False)  # here they only pass the gradient on
            judged = discriminators(rebuilt[rows])
            discriminators.requires_grad_(True)
            parts |= {"adversarial": adversarial_loss(judged), "feature": feature_loss(real, judged)}
        loss = sum(getattr(self.config, f"{name}_weight") * part for name, part in parts.items())
        figures = {name: part.item() for name, part in parts.items()}
        if quantized is not None:
            figures["perplexity/first"] = perplexity(quantized.codes[:, 0], self.codec_config.codebook_size)
            figures["perplexity/last"] = perplexity(quantized.codes[:, -1], self.codec_config.codebook_size)
        yield "codec", loss, figures

    def reconstruction(self, rebuilt: Tensor, true: Tensor) -> dict[str, Tensor]:
        """L1 distances of log-magnitudes [B, T, bins]: as they are, as magnitude^0.3, and in mel bands."""
        a, b = rebuilt.expm1() * self.codec_config.floor, true.expm1() * self.codec_config.floor
        mel = [(self.filters @ x.transpose(1, 2) + 1e-4).log() for x in (a, b)]
        power = ((a + 1e-4).pow(0.3) - (b + 1e-4).pow(0.3)).abs()
        return {
            "log": ((rebuilt - true).abs() * self.weights).mean(),
            "power": (power * self.weights).mean(),
            "mel": (mel[0] - mel[1]).abs().mean(),
        }

    def _reconstruct(self, batch: Tensor) -> tuple[Tensor, Tensor, Quantized | None]:
        """One pass through the codec, unquantised until the codebooks have started; moves them after."""
        codec, learner = self.modules["codec"], self.modules["learner"]
        quantizer = codec.quantizer
        if not learner.started:
            rebuilt, true, _, latents = codec(batch, None)
            learner.gather(quantizer, latents)
            return rebuilt, true, None
        options = self.config.used_codebooks
        used = options[int(torch.randint(len(options), ()))]
        merge = 2 if torch.rand(()) < self.config.merge_probability else 1
        rebuilt, true, quantized, _ = codec(batch, used, merge)
        if not self.config.decoder_only:
            learner.update(quantizer, quantized)
        return rebuilt, true, quantized


def loudness_weights(bins: int, sample_rate: int) -> Tensor:
    """Weights [bins] of mean 1 that count each critical band alike: 1 / equivalent rectangular bandwidth."""
    hertz = torch.linspace(0, sample_rate / 2, bins)
    weights = 1 / (24.7 * (4.37 * hertz / 1000 + 1))  # Glasberg and Moore 1990
    return weights / weights.mean()


def reconstruction_losses(rebuilt: Tensor, wave: Tensor, sample_rate: int) -> dict[str, Tensor]:
    """Mean absolute difference of the log-mel spectrograms of waves [B, N], for validation."""
    ours, true = (log_mel(magnitude(spectrum(x, 1024, 256)), sample_rate, 80) for x in (rebuilt, wave))
    return {"mel": (ours - true).abs().mean()}


def perplexity(codes: Tensor, size: int) -> float:
    """How many codes are in effective use: exp of the entropy of their frequencies."""
    share = torch.bincount(codes.flatten(), minlength=size).float() / codes.numel()
    return float(torch.exp(-(share * (share + 1e-12).log()).sum()))
