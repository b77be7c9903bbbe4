"""MusicGen: sound from a caption, step by step in a pattern of codebooks (Copet et al. 2023, arXiv 2306.05284)."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from audiogen.models.code_lm import CodeLM, CodeLMConfig
from audiogen.nn.patterns import PatternConfig
from audiogen.protocols import CodecSpec
from audiogen.registry import register


@dataclass
class MusicGenConfig:
    """What a `MusicGen` is made of.

    Attributes:
        codec: The codec whose codes it says.
        network: Sizes.
        pattern: In which order codes are said.
        window: Frames of the clips it is trained on; longer sound is made in windows.
    """

    codec: CodecSpec
    network: CodeLMConfig = field(default_factory=CodeLMConfig)
    pattern: PatternConfig = field(default_factory=PatternConfig)
    window: int = 750

    def __post_init__(self) -> None:
        self.pattern.build(max(1, self.codec.num_codebooks), self.window)


@register("sound", "musicgen", MusicGenConfig)
class MusicGen(nn.Module):
    """Predicts every code from those the pattern says before it."""

    def __init__(self, config: MusicGenConfig) -> None:
        super().__init__()
        self.config = config
        self.network = CodeLM(config.network, config.codec)

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy in nats a code.

        Args:
            batch: `codes` [B, K, T], and the captions as `text` and `text_mask`; see `audiogen.data.sound`.
        """
        memory = self.network.remember(batch.text, batch.text_mask)
        pattern = self.config.pattern.build(*batch.codes.shape[1:])
        loss = self.network.causal_loss(batch.codes, memory, pattern)
        return loss, {"causal": loss.item()}
