"""What is asked of a `VallER`: an utterance, the voice it is said in, and how to draw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audiogen.models.valle_r.config import VallERConfig
from audiogen.models.valle_r.phones import end_phones
from audiogen.models.valle_r.rows import padded


@dataclass(frozen=True, eq=False)
class VoicePrompt:
    """A few seconds of a voice: `codes` [K, T] with the `phones` [P] that were said and their `durations` [P].

    Durations count merged frames and sum to T / merge. Two prompts are the same only if they are one object.
    """

    codes: Tensor
    phones: Tensor
    durations: Tensor


@dataclass
class Utterance:
    """What to say.

    Attributes:
        phones: Symbols [L].
        prompt: The voice to say it in.
        durations: Merged frames that each phone takes [L], 0 where it is free; by default all are.
        following: Symbols [R] of what comes after, known but not said.
    """

    phones: Tensor
    prompt: VoicePrompt | None = None
    durations: Tensor | None = None
    following: Tensor | None = None


def most_likely(logits: Tensor, uniforms: Tensor) -> Tensor:
    """The best code [B] of logits [B, V]: generation without chance."""
    return logits.argmax(-1)


@dataclass(frozen=True)
class GenerateOptions:
    """How to draw.

    Attributes:
        sample: Chooses codes [B] by logits [B, V] and uniform numbers [B] in [0, 1).
        pointer_temperature: How much chance there is in durations; 0 advances as soon as that is likelier than not.
        min_dwell: Merged frames before which the pointer does not advance.
        max_dwell: Merged frames after which it advances anyway; plain VALL-E stops after that many per phone.
    """

    sample: Callable[[Tensor, Tensor], Tensor] = most_likely
    pointer_temperature: float = 1.0
    min_dwell: int = 1
    max_dwell: int = 20


def no_prompt(config: VallERConfig) -> VoicePrompt:
    """A prompt of no frames."""
    nothing = torch.zeros(0, dtype=torch.long)
    return VoicePrompt(torch.zeros(config.codec.num_codebooks, 0, dtype=torch.long), nothing, nothing)


def told_phones(utterances: Sequence[Utterance], config: VallERConfig, device: torch.device) -> tuple[Tensor, Tensor]:
    """Phones of prompt, utterance and what follows, ended and padded by the end symbol [B, L + 1]; their number [B]."""
    nothing = torch.zeros(0, dtype=torch.long)
    rows = [
        torch.cat([(u.prompt or no_prompt(config)).phones, u.phones, nothing if u.following is None else u.following])
        for u in utterances
    ]
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return end_phones(padded(rows, device), lengths, config.num_phones), lengths
