"""Sound from a diffusion model: of nothing, of a class or, as a vocoder, of log-mel frames, in as few steps as asked.

The sampler is DDIM (Song, Meng and Ermon 2021, eq. 12) over evenly spaced steps: with `chance` 0 only the first noise
is drawn, with 1 and all steps it is the sampling of DDPM (Ho et al. 2020).
"""

import math

import torch
from torch import Tensor

from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError, unknown_name
from audiogen.infer.sampling import seeded
from audiogen.models.diffwave import DiffWave

FEW_STEPS = 12


class DiffusionGenerator:
    """A diffusion model of waves.

    Args:
        bundle: A bundle of kind `diffusion`, with its model. Its assets hold the names of its classes, `labels`.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.model: DiffWave = bundle.model
        self.labels: list[str] = list(bundle.assets.get("labels", ()))
        self.sample_rate: int = self.model.config.sample_rate

    def generate(
        self,
        seconds: float,
        count: int = 1,
        label: str | None = None,
        steps: int = FEW_STEPS,
        chance: float = 0.0,
        seed: int = 0,
    ) -> Tensor:
        """Make clips, waves [B, 1, N].

        Args:
            seconds: Length of each.
            count: How many, B.
            label: Of which class, for a model that has classes.
            steps: From noise to sound.
            chance: Share of the noise that is drawn anew at each step, 0 to 1.
            seed: Another number, another sound.
        """
        if seconds <= 0 or count < 1:
            raise AudiogenError(f"{seconds:g} s of {count} clips were asked for; both must be above 0")
        if label is not None and label not in self.labels:
            raise unknown_name("class", label, self.labels)
        if label is None and self.labels:
            raise AudiogenError(f"which class? give a label, one of: {', '.join(self.labels)}")
        labels = None if label is None else torch.full((count,), self.labels.index(label))
        shape = (count, max(1, round(seconds * self.sample_rate)))
        return sample(self.model, shape, steps, chance, seeded(seed), labels)[:, None]

    def resynthesize(self, wave: Tensor, steps: int = FEW_STEPS, chance: float = 0.0, seed: int = 0) -> Tensor:
        """Sound [B, 1, N] from nothing but the log-mel frames of waves [B, 1, N] at the model's rate."""
        if self.model.mel is None:
            raise AudiogenError("this model is no vocoder; one that takes log-mel frames is needed")
        frames, generator = self.model.frames(wave[:, 0]), seeded(seed)
        return sample(self.model, tuple(wave[:, 0].shape), steps, chance, generator, frames=frames)[:, None]


@torch.inference_mode()
def sample(
    model: DiffWave,
    shape: tuple[int, int],
    steps: int,
    chance: float,
    generator: torch.Generator,
    labels: Tensor | None = None,
    frames: Tensor | None = None,
) -> Tensor:
    """Waves of `shape` [B, N] out of noise, within ±1.

    Raises:
        AudiogenError: If there are not so many steps, or `chance` is no share.
    """
    total = model.config.steps
    if not 1 <= steps <= total or not 0 <= chance <= 1:
        raise AudiogenError(f"{steps} steps of chance {chance:g}; 1 to {total} steps of chance 0 to 1 are possible")
    noisy = torch.randn(shape, generator=generator)
    levels = torch.linspace(total - 1, 0, steps).round().long().tolist()
    for step, after in zip(levels, [*levels[1:], None], strict=True):
        kept, kept_after = float(model.kept[step]), 1.0 if after is None else float(model.kept[after])
        noise = model(noisy, torch.full(shape[:1], step), labels, frames)
        wave = ((noisy - math.sqrt(1 - kept) * noise) / math.sqrt(kept)).clamp(-1, 1)
        noise = (noisy - math.sqrt(kept) * wave) / math.sqrt(1 - kept)  # what it is if the sound lies within ±1
        fresh = chance * math.sqrt((1 - kept_after) / (1 - kept) * max(0.0, 1 - kept / kept_after))
        noisy = math.sqrt(kept_after) * wave + math.sqrt(max(0.0, 1 - kept_after - fresh**2)) * noise
        if fresh:
            noisy = noisy + fresh * torch.randn(shape, generator=generator)
    return noisy
