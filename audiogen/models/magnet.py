"""MAGNeT: sound from a caption, all frames at once, codebook after codebook (Ziv et al. 2024, arXiv 2401.04577).

In training one codebook is hidden in random spans, the codebooks before it are shown and those after it are hidden
whole. The first codebook sees the whole clip; the others, which refine it, only frames close by. How codes are drawn is
in `audiogen.infer.masked`.

With `hybrid` the model also learns to say the beginning of a clip causally, as MusicGen does, and to fill in the rest
after it (§3.6 there; the causal part follows a pattern of codebooks here). Unlike in the public code, captions are left
out clip by clip, not of a whole batch.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.models.code_lm import CodeLM, CodeLMConfig
from audiogen.nn.cross_transformer import Memory
from audiogen.nn.patterns import PatternConfig
from audiogen.nn.spans import random_spans
from audiogen.protocols import CodecSpec
from audiogen.registry import register


@dataclass
class MagnetConfig:
    """What a `Magnet` is made of.

    Attributes:
        codec: The codec whose codes it says.
        network: Sizes.
        span: Frames that are hidden together.
        reach: Frames to either side that the later codebooks see in each layer; 0 for all.
        hybrid: Whether it also learns to begin a clip causally.
        pattern: In which order a hybrid says that beginning.
        window: Frames of the clips it is trained on; longer sound is made in windows.
    """

    codec: CodecSpec
    network: CodeLMConfig = field(default_factory=CodeLMConfig)
    span: int = 3
    reach: int = 5
    hybrid: bool = False
    pattern: PatternConfig = field(default_factory=PatternConfig)
    window: int = 750

    def __post_init__(self) -> None:
        if not 1 <= self.span <= self.window:
            raise AudiogenError(f"span is {self.span}; it must be between 1 and the window of {self.window} frames")
        if self.reach < 0:
            raise AudiogenError(f"reach is {self.reach}; it must be a number of frames, or 0 for all")
        self.pattern.build(max(1, self.codec.num_codebooks), self.window)


@register("sound", "magnet", MagnetConfig)
class Magnet(nn.Module):
    """Predicts hidden codes from those that are shown."""

    def __init__(self, config: MagnetConfig) -> None:
        super().__init__()
        self.config = config
        self.network = CodeLM(config.network, config.codec)

    def reach(self, codebook: int) -> int | None:
        """How far a codebook's frames see; None for the whole clip."""
        return self.config.reach if codebook > 0 and self.config.reach else None

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy in nats a hidden code: of one random codebook in training, else the mean of all.

        Args:
            batch: `codes` [B, K, T], and the captions as `text` and `text_mask`; see `audiogen.data.sound`.
        """
        codes, (batch_size, codebooks, frames) = batch.codes, batch.codes.shape
        memory = self.network.remember(batch.text, batch.text_mask)
        generator = None if self.training else torch.Generator().manual_seed(0)
        begun = int(torch.randint(frames, (), generator=generator)) if self.config.hybrid else 0
        stages = [int(torch.randint(codebooks, ()))] if self.training else range(codebooks)
        losses = []
        for codebook in stages:
            rates = (math.pi / 2 * torch.rand(batch_size, generator=generator)).cos()
            hidden = random_spans(rates, frames - begun, min(self.config.span, frames - begun), generator)
            hidden = F.pad(hidden, (begun, 0)).to(codes.device)
            losses.append(self.masked_loss(codes, memory, codebook, hidden))
        loss = torch.stack(losses).mean()
        figures = {"masked": loss.item()}
        if not self.training:
            figures |= {f"codebook_{number}": each.item() for number, each in enumerate(losses, start=1)}
        if begun:
            pattern = self.config.pattern.build(codebooks, begun)
            causal = self.network.causal_loss(codes[:, :, :begun], memory, pattern)
            loss, figures = loss + causal, figures | {"causal": causal.item()}
        return loss, figures

    def masked_loss(self, codes: Tensor, memory: Memory | None, codebook: int, hidden: Tensor) -> Tensor:
        """Cross-entropy of the codes of one codebook in the frames `hidden`, bool [B, T]."""
        special = self.network.special
        shown = codes.clone()
        shown[:, codebook].masked_fill_(hidden, special)
        shown[:, codebook + 1 :] = special
        outputs = self.network.transformer(self.network.embed(shown), memory, reach=self.reach(codebook))
        logits = self.network.heads[codebook](outputs[hidden])
        return F.cross_entropy(logits.float(), codes[:, codebook][hidden])
