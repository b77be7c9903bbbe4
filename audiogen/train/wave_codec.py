"""How codecs that rebuild the wave itself are trained: mel distances and discriminators, balanced.

A codec's `forward(wave)` gives a `Reconstruction`. The losses of its wave share the gradient by `LossBalancer`; the
codec's own losses (KL, commitment) are added with plain weights. `CodebookObjective` is for residual codebooks: it
learns them, and if there is a teacher, makes the first one say what the teacher hears.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from audiogen.nn.discriminators import WaveDiscriminators, adversarial_loss, discriminator_loss, feature_loss
from audiogen.nn.quantize import CodebookLearner
from audiogen.nn.reconstruction import Reconstruction
from audiogen.nn.spectral import log_mel, magnitude, spectrum
from audiogen.train.balancer import LossBalancer
from audiogen.train.codec import perplexity
from audiogen.train.loop import TrainConfig, adamw

RESOLUTIONS = ((512, 40), (1024, 80), (2048, 120))  # samples in a window, mel bands

Teacher = Callable[[Tensor], Tensor]


@dataclass
class WaveTrainConfig:
    """Weights and schedule of the losses.

    Attributes:
        mel_weight: Share of the mel distances in the gradient of the wave; the next two are the other shares.
        adversarial_weight: Of the discriminators' scores.
        feature_weight: Of the distance of the discriminators' features.
        own_weights: Loss that a codec brings → factor.
        adversarial_from: Step after which there are discriminators.
        judged_rows: Segments of a batch that they see.
        used_codebooks: Residual codebooks in use are drawn from these.
        start_codebooks_after: Batches that are gathered before the codebooks start.
    """

    mel_weight: float = 1.0
    adversarial_weight: float = 0.5
    feature_weight: float = 0.5
    own_weights: dict[str, float] = field(default_factory=lambda: {"kl": 1e-3, "commitment": 0.25, "content": 1.0})
    adversarial_from: int = 1000
    judged_rows: int = 4
    used_codebooks: list[int] = field(default_factory=lambda: [2, 4, 8, 8])
    start_codebooks_after: int = 40


class WaveObjective:
    """A codec with `forward(wave) -> Reconstruction`, its discriminators and the balancer."""

    def __init__(self, codec: nn.Module, config: WaveTrainConfig) -> None:
        self.config, self.sample_rate = config, codec.spec.sample_rate
        shares = {name: getattr(config, f"{name}_weight") for name in ("mel", "adversarial", "feature")}
        self.modules = {"codec": codec, "discriminators": WaveDiscriminators(), "balancer": LossBalancer(shares)}

    def optimizers(self, config: TrainConfig) -> dict[str, Optimizer]:
        """AdamW for the codec, and for the discriminators."""
        return {name: adamw(self.modules[name], config, beta1=0.8) for name in ("codec", "discriminators")}

    def losses(self, batch: Tensor, step: int) -> Iterator[tuple[str, Tensor, dict[str, float]]]:
        """Discriminators' loss (once they have begun), then the codec's, for a batch [B, 1, N]."""
        batch = batch[..., : batch.shape[-1] // self.hop_length * self.hop_length]
        true, made = batch[:, 0], self.reconstruct(batch)
        adversarial = step > self.config.adversarial_from
        discriminators, rows = self.modules["discriminators"], slice(self.config.judged_rows)
        if adversarial:
            real = discriminators(true[rows])
            loss = discriminator_loss(real, discriminators(made.wave[rows].detach()))
            yield "discriminators", loss, {"discriminator": loss.item()}
        parts = {"mel": mel_distance(made.wave, true, self.sample_rate)}
        if adversarial:
            judged = discriminators(made.wave[rows])
            parts |= {"adversarial": adversarial_loss(judged), "feature": feature_loss(real, judged)}
        loss = self.modules["balancer"](parts, made.wave)
        loss = loss + sum(self.config.own_weights[name] * part for name, part in made.losses.items())
        figures = {name: part.item() for name, part in (parts | made.losses).items()}
        if made.quantized is not None:
            size, codes = self.modules["codec"].quantizer.vectors.shape[1], made.quantized.codes
            figures["perplexity/first"] = perplexity(codes[:, 0], size)
            figures["perplexity/last"] = perplexity(codes[:, -1], size)
        yield "codec", loss, figures

    @property
    def hop_length(self) -> int:
        """Segments are cut to a multiple of it."""
        return self.modules["codec"].spec.hop_length

    def reconstruct(self, batch: Tensor) -> Reconstruction:
        """A batch [B, 1, T · hop] through the codec."""
        return self.modules["codec"](batch)


class CodebookObjective(WaveObjective):
    """A codec with `forward(wave, used)` whose residual codebooks are learned.

    Args:
        codec: The codec.
        config: Weights and schedule.
        teacher: Gives features [B, T', F] of waves [B, N]; a linear map of the first codebook is to follow them.
    """

    def __init__(self, codec: nn.Module, config: WaveTrainConfig, teacher: Teacher | None = None) -> None:
        super().__init__(codec, config)
        self.teacher = teacher
        self.modules["learner"] = CodebookLearner(codec.quantizer, config.start_codebooks_after)
        if teacher is not None:
            features = teacher(torch.zeros(1, codec.spec.sample_rate)).shape[-1]
            self.modules["content"] = nn.Linear(codec.quantizer.vectors.shape[-1], features)

    def optimizers(self, config: TrainConfig) -> dict[str, Optimizer]:
        """As for every wave codec; the map to the teacher's features is learned with the codec."""
        optimizers = super().optimizers(config)
        if "content" in self.modules:
            optimizers["codec"].add_param_group({"params": list(self.modules["content"].parameters())})
        return optimizers

    def reconstruct(self, batch: Tensor) -> Reconstruction:
        """Unquantised until the codebooks have started; then with some of them, which moves them."""
        codec, learner = self.modules["codec"], self.modules["learner"]
        quantizer = codec.quantizer
        if not learner.started:
            made = codec(batch, None)
            learner.gather(quantizer, made.latents)
        else:
            options = self.config.used_codebooks
            made = codec(batch, min(len(quantizer.vectors), options[int(torch.randint(len(options), ()))]))
            learner.update(quantizer, made.quantized)
        if self.teacher is not None:
            said = self.modules["content"](first_values(made, quantizer.vectors[0]))
            made.losses["content"] = content_loss(said, self.teacher(batch[:, 0]))
        return made


def first_values(made: Reconstruction, vectors: Tensor) -> Tensor:
    """What the first codebook alone says [B, T, D], with a straight-through gradient; at first, the latents."""
    if made.quantized is None:
        return made.latents
    return made.latents + (vectors[made.quantized.codes[:, 0]] - made.latents).detach()


def content_loss(said: Tensor, heard: Tensor) -> Tensor:
    """−log σ(cos(said_f, heard_f)), cosines along time, averaged over features f (SpeechTokenizer, arXiv 2308.16692).

    Args:
        said: [B, T, F].
        heard: The teacher's features [B, T', F], brought to T frames.
    """
    heard = nn.functional.interpolate(heard.transpose(1, 2), said.shape[1], mode="linear", align_corners=False)
    return -nn.functional.logsigmoid(nn.functional.cosine_similarity(said.transpose(1, 2), heard, dim=2)).mean()


def mel_distance(rebuilt: Tensor, true: Tensor, sample_rate: int) -> Tensor:
    """Mean absolute difference of log-mel spectrograms of waves [B, N], averaged over `RESOLUTIONS`."""
    distances = []
    for n_fft, bands in RESOLUTIONS:
        ours, theirs = (log_mel(magnitude(spectrum(x, n_fft, n_fft // 4)), sample_rate, bands) for x in (rebuilt, true))
        distances.append((ours - theirs).abs().mean())
    return torch.stack(distances).mean()
