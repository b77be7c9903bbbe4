"""DiffWave (Kong et al. 2021) on the backbone of SaShiMi (Goel et al. 2022, §5.3): noise becomes sound in few steps.

A network tells the noise in a noisy wave. Its tiers are SaShiMi's with blocks on the way down too, but sound is there
as a whole, so the state spaces run both ways in time and nothing is shifted between the rates. It makes sound of
nothing, of a class, or of log-mel frames: then it is a vocoder.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.errors import AudiogenError, unknown_name
from audiogen.nn.features import LogMel
from audiogen.nn.ssm import S4, S4D, TwoSided
from audiogen.registry import register

SSMS = {"s4": S4, "s4d": S4D}
LONGEST_PERIOD = 10_000.0


@dataclass
class DiffWaveConfig:
    """Sizes of the network and its noise; by default those of the paper's unconditional model (appendix C.2).

    Attributes:
        sample_rate: Of the sound.
        dim: Width of the outermost tier.
        layers: Blocks a tier, on either way.
        pools: Samples, or frames, that make a frame of the next tier.
        expand: How much wider the next tier is.
        feedforward: Width of a feed-forward's hidden layer by that of its tier.
        ssm: State spaces of the blocks, `s4` or `s4d`.
        state_size: States a channel, both of each conjugate pair counted.
        classes: Labels that sound can be asked for by; 0 for none.
        num_mels: Bands of the log-mel frames that sound is made of; 0 for none.
        steps: Steps from sound to noise.
        noise: Variance that the first and the last step add.
    """

    sample_rate: int
    dim: int = 128
    layers: int = 6
    pools: list[int] = field(default_factory=lambda: [4, 4])
    expand: int = 2
    feedforward: int = 2
    ssm: str = "s4"
    state_size: int = 64
    classes: int = 0
    num_mels: int = 0
    steps: int = 200
    noise: list[float] = field(default_factory=lambda: [1e-4, 0.02])

    def __post_init__(self) -> None:
        if self.ssm not in SSMS:
            raise unknown_name("ssm", self.ssm, SSMS)
        if len(self.noise) != 2 or not 0 < self.noise[0] <= self.noise[1] < 1:
            raise AudiogenError(f"noise is {self.noise}; the variances of the first and last step, below 1, are needed")

    @property
    def dims(self) -> list[int]:
        """Width of every tier, the outermost first."""
        return [self.dim * self.expand**tier for tier in range(len(self.pools) + 1)]


@register("diffusion", "diffwave", DiffWaveConfig)
class DiffWave(nn.Module):
    """The network; see the module's first lines."""

    def __init__(self, config: DiffWaveConfig) -> None:
        super().__init__()
        self.config = config
        *outer, inner = config.dims
        self.first = nn.Linear(1, config.dim)
        self.time = nn.Sequential(
            nn.Linear(config.dim, 4 * config.dim), nn.SiLU(), nn.Linear(4 * config.dim, 4 * config.dim), nn.SiLU()
        )
        self.labels = nn.Embedding(config.classes, 4 * config.dim) if config.classes else None
        self.mel = LogMel(config.sample_rate, config.num_mels) if config.num_mels else None
        self.down_blocks = nn.ModuleList(_blocks(config, dim) for dim in outer)
        self.down = nn.ModuleList(
            nn.Linear(pool * dim, config.expand * dim) for pool, dim in zip(config.pools, outer, strict=True)
        )
        self.centre = _blocks(config, inner)
        self.up = nn.ModuleList(
            nn.Linear(config.expand * dim, pool * dim) for pool, dim in zip(config.pools, outer, strict=True)
        )
        self.up_blocks = nn.ModuleList(_blocks(config, dim) for dim in outer)
        self.norm = nn.LayerNorm(config.dim)
        self.last = nn.Linear(config.dim, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        kept = (1 - torch.linspace(*config.noise, config.steps, dtype=torch.float64)).cumprod(0)
        self.register_buffer("kept", kept.float(), persistent=False)

    def forward(
        self, noisy: Tensor, steps: Tensor, labels: Tensor | None = None, frames: Tensor | None = None
    ) -> Tensor:
        """Tell the noise, of variance 1, in waves.

        Args:
            noisy: √ᾱ · wave + √(1 − ᾱ) · noise, [B, N].
            steps: How noisy they are, from 0 to `config.steps` − 1, [B].
            labels: Classes [B], for a model that has classes.
            frames: Log-mel frames [B, T, F] of `config.num_mels` bands of the whole sound, for a model of them.

        Raises:
            AudiogenError: If labels or frames are missing, or are not for this model.
        """
        self._check(labels, frames)
        length, period = noisy.shape[1], math.prod(self.config.pools)
        context = self.time(_sines(steps, self.config.dim))
        if self.labels is not None:
            context = context + self.labels(labels)
        x, skips = F.relu(self.first(F.pad(noisy, (0, -length % period))[..., None])), []
        for blocks, down, pool in zip(self.down_blocks, self.down, self.config.pools, strict=True):
            skips.append([x])
            for block in blocks:
                x = block(x, context, frames)
                skips[-1].append(x)
            x = down(x.unflatten(1, (-1, pool)).flatten(2))
        inside = x
        for block in self.centre:
            x = block(x, context, frames)
        x = x + inside
        for blocks, up, pool, kept in reversed(
            list(zip(self.up_blocks, self.up, self.config.pools, skips, strict=True))
        ):
            x = up(x).unflatten(2, (pool, -1)).flatten(1, 2) + kept.pop()
            for block in blocks:
                x = block(x, context, frames) + kept.pop()
        return self.last(self.norm(x))[:, :length, 0]

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error of the noise told in waves `wave` [B, N], of which `lengths` [B] samples count."""
        wave, lengths = batch.wave, batch.lengths
        steps = torch.randint(self.config.steps, (len(wave),), device=wave.device)
        noise, kept = torch.randn_like(wave), self.kept[steps, None]
        frames = None if self.mel is None else self.frames(wave)
        labels = batch.labels if self.config.classes else None
        told = self(kept.sqrt() * wave + (1 - kept).sqrt() * noise, steps, labels, frames)
        inside = torch.arange(wave.shape[1], device=wave.device) < lengths[:, None]
        loss = (told - noise)[inside].square().mean()
        return loss, {"error": loss.item()}

    def frames(self, wave: Tensor) -> Tensor:
        """The log-mel frames [B, T, F] that waves [B, N] can be made of again; T hops cover them."""
        return self.mel(F.pad(wave, (0, -wave.shape[1] % self.mel.hop_length)))[0]

    def _check(self, labels: Tensor | None, frames: Tensor | None) -> None:
        for given, wanted, what in (
            (labels, self.labels, "labels of its classes"),
            (frames, self.mel, "log-mel frames"),
        ):
            if (given is None) != (wanted is None):
                raise AudiogenError(f"this model {'takes no' if wanted is None else 'needs'} {what}")


class DenoisingBlock(nn.Module):
    """Two pre-norm residuals: state spaces both ways in time, told the step and the frames, and a feed-forward."""

    def __init__(self, config: DiffWaveConfig, dim: int) -> None:
        super().__init__()
        self.ssm_norm = nn.LayerNorm(dim)
        self.context = nn.Linear(4 * config.dim, dim)
        self.ssm = TwoSided(SSMS[config.ssm], dim, config.state_size)
        self.mix = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GLU())
        self.frames = nn.Linear(config.num_mels, dim) if config.num_mels else None
        self.norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, config.feedforward * dim)
        self.contract = nn.Linear(config.feedforward * dim, dim)

    def forward(self, x: Tensor, context: Tensor, frames: Tensor | None) -> Tensor:
        """x [B, T, D] to the same shape."""
        y = self.mix(F.gelu(self.ssm(self.ssm_norm(x) + self.context(context)[:, None])))
        if self.frames is not None:
            y = y + F.interpolate(self.frames(frames).transpose(1, 2), x.shape[1], mode="linear").transpose(1, 2)
        x = x + y
        return x + self.contract(F.gelu(self.expand(self.norm(x))))


def _blocks(config: DiffWaveConfig, dim: int) -> nn.ModuleList:
    return nn.ModuleList(DenoisingBlock(config, dim) for _ in range(config.layers))


def _sines(steps: Tensor, dim: int) -> Tensor:
    """Steps [B] as sines and cosines of falling frequency, [B, dim]."""
    rates = torch.exp(-math.log(LONGEST_PERIOD) * torch.arange(dim // 2, device=steps.device) / (dim // 2))
    angles = steps[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
