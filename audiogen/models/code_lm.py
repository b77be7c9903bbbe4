"""The network under MAGNeT and MusicGen: K streams of codes under a caption, with one head for each stream.

Every codebook has a table of vectors with one more row, that of the special code: a mask, or a cell without a code. A
frame is the sum of its codes' vectors.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.errors import AudiogenError, unknown_name
from audiogen.nn.captions import FeatureInput, WordInput
from audiogen.nn.cross_transformer import CrossTransformer, Memory, init_truncated
from audiogen.nn.patterns import Pattern
from audiogen.protocols import CodecSpec

TEXTS, PADDINGS = ("words", "features"), ("masked", "zero_keys")


@dataclass
class CodeLMConfig:
    """Size of the network and how captions enter it.

    Attributes:
        dim: Width.
        heads: Attention heads.
        layers: Blocks.
        text: `words` are read by a small encoder trained with the model; `features` come from an outside one.
        text_size: Rows of the words' table, or width of the features.
        text_layers: Blocks of the small encoder.
        text_padding: Whether shorter captions of a batch are `masked` at their end, or padded with `zero_keys` that
            take part in attention, as in the public code: there, a clip depends on the longest caption beside it.
        text_dropout: Chance that a clip is trained without its caption, for guidance.
    """

    dim: int = 256
    heads: int = 4
    layers: int = 6
    text: str = "words"
    text_size: int = 4096
    text_layers: int = 2
    text_padding: str = "masked"
    text_dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.text not in TEXTS:
            raise unknown_name("text", self.text, TEXTS)
        if self.text_padding not in PADDINGS:
            raise unknown_name("text_padding", self.text_padding, PADDINGS)
        if not 0 <= self.text_dropout < 1:
            raise AudiogenError(f"text_dropout is {self.text_dropout}; it must be at least 0 and below 1")


class CodeLM(nn.Module):
    """Embeddings, transformer and heads."""

    def __init__(self, config: CodeLMConfig, codec: CodecSpec) -> None:
        super().__init__()
        if codec.num_codebooks < 1:
            raise AudiogenError(f"the codec {codec.name!r} has no codebooks; a codec of discrete codes is needed")
        dim, size = config.dim, codec.codebook_size
        self.config, self.special = config, size
        self.codes = nn.ModuleList(nn.Embedding(size + 1, dim) for _ in range(codec.num_codebooks))
        if config.text == "words":
            self.text = WordInput(config.text_size, dim, config.text_layers)
        else:
            self.text = FeatureInput(config.text_size, dim)
        self.transformer = CrossTransformer(dim, config.heads, config.layers, 4 * dim)
        self.heads = nn.ModuleList(nn.Linear(dim, size, bias=False) for _ in range(codec.num_codebooks))
        for module in (*self.codes, *self.heads):
            init_truncated(module.weight, dim)

    def embed(self, codes: Tensor) -> Tensor:
        """Codes [B, K, T] to the sums of their vectors [B, T, D]."""
        return torch.stack([table(row) for table, row in zip(self.codes, codes.unbind(1), strict=True)]).sum(0)

    def remember(self, text: Tensor, mask: Tensor) -> Memory:
        """Captions, text [B, L, …] and mask [B, L], for the transformer; some are left out in training."""
        if self.training:
            kept = torch.rand(len(mask), device=mask.device) >= self.config.text_dropout
            mask = mask & kept[:, None]
        counts = mask if self.config.text_padding == "masked" else None
        return self.transformer.remember(self.text(text, mask), counts)

    def causal_hidden(self, codes: Tensor, memory: Memory | None, pattern: Pattern, trained: bool = False) -> Tensor:
        """What codes [B, K, T] are foretold from, each by what the pattern says before it: [B, S − 1, D].

        `trained` leaves out the tail of the pattern.
        """
        sequence = pattern.spread(codes, self.special)
        end = pattern.trained_steps if trained else pattern.num_steps
        return self.transformer(self.embed(sequence[:, :, : end - 1]), memory, causal=True)

    def causal_logits(self, codes: Tensor, memory: Memory | None, pattern: Pattern, codebook: int) -> Tensor:
        """Logits [B, T, V] of one codebook, each from what the pattern says before it."""
        hidden = self.causal_hidden(codes, memory, pattern)
        return self.heads[codebook](hidden[:, pattern.steps[codebook].to(hidden.device) - 1])

    def causal_loss(self, codes: Tensor, memory: Memory | None, pattern: Pattern) -> Tensor:
        """Cross-entropy in nats a code, the mean over codebooks; the pattern's tail is left out.

        In a clip of fewer frames than the pattern's longest delay, that leaves nothing of some codebooks.
        """
        hidden = self.causal_hidden(codes, memory, pattern, trained=True)
        losses = []
        for codebook, steps in enumerate(pattern.steps.to(codes.device)):
            said = steps < pattern.trained_steps
            if not bool(said.any()):
                continue
            logits = self.heads[codebook](hidden[:, steps[said] - 1])
            losses.append(F.cross_entropy(logits.flatten(0, 1).float(), codes[:, codebook, said].flatten()))
        return torch.stack(losses).mean()
