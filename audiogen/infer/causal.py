"""MusicGen's decoding: step by step in its pattern, with a cache, giving frames as soon as they are whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.infer.sampling import Sampler, check_guidance, seeded
from audiogen.models.code_lm import CodeLM
from audiogen.models.magnet import Magnet
from audiogen.models.musicgen import MusicGen
from audiogen.nn.cross_transformer import Memory, Past
from audiogen.nn.patterns import Pattern


@dataclass(frozen=True)
class CausalOptions:
    """How to draw.

    Attributes:
        temperature: Divides the logits; 0 always takes the likeliest code.
        top_p: Keeps the likeliest codes that together reach this probability.
        top_k: Keeps this many codes; 0 keeps all.
        guidance: How far to go from what would be said without the caption to what is said with it; 1 is none.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 250
    guidance: float = 3.0

    def __post_init__(self) -> None:
        check_guidance(self.guidance)
        self.sampler()

    def sampler(self) -> Sampler:
        """What draws the codes."""
        return Sampler(self.temperature, self.top_p, self.top_k)


class Guided:
    """A network's steps with classifier-free guidance (Ho and Salimans 2022): every row goes twice, once untold.

    Args:
        network: Whose steps.
        memory: The captions; without one there is nothing to guide to.
        guidance: 1 takes each row once.
    """

    def __init__(self, network: CodeLM, memory: Memory | None, guidance: float) -> None:
        self._network, self._memory, self._guidance = network, memory, guidance
        self._rows = 1 if guidance == 1 or memory is None else 2
        self._heads = torch.cat([head.weight for head in network.heads])

    def init_state(self, batch_size: int, capacity: int) -> Past:
        """Streams that have seen nothing."""
        return self._network.transformer.init_state(self._rows * batch_size, capacity)

    def step(self, codes: Tensor, past: Past) -> tuple[Tensor, Past]:
        """The next steps [B, K, n] to the logits [B, K, V] of the one after them."""
        x = self._network.embed(codes).repeat(self._rows, 1, 1)
        outputs, past = self._network.transformer.step(x, past, self._memory)
        last = outputs[:, -1].float()
        if self._rows == 2:
            told, untold = last.chunk(2)
            last = untold + self._guidance * (told - untold)
        return F.linear(last.to(outputs.dtype), self._heads).float().unflatten(1, (codes.shape[1], -1)), past


@torch.no_grad()
def stream(
    model: MusicGen | Magnet,
    memory: Memory | None,
    frames: int,
    options: CausalOptions,
    seeds: Sequence[int],
    prompt: Tensor | None = None,
    chunk: int = 0,
) -> Iterator[Tensor]:
    """Say clips step by step.

    Args:
        model: A MusicGen, or a hybrid MAGNeT for the beginning of a clip.
        memory: The captions.
        frames: Frames of a clip, the prompt's included.
        options: How.
        seeds: One a clip.
        prompt: Codes [B, K, P] to go on from.
        chunk: Give frames as soon as so many are whole; 0 gives all at the end.

    Yields:
        Codes [B, K, n], which together are the clip without the prompt.
    """
    if isinstance(model, Magnet) and not model.config.hybrid:
        raise AudiogenError("this MAGNeT has not learnt to begin causally; one trained with hybrid=true has")
    codebooks = len(model.network.codes)
    known = torch.zeros(len(seeds), codebooks, 0, dtype=torch.long) if prompt is None else prompt
    if known.shape[2] >= frames:
        raise AudiogenError(f"the prompt has {known.shape[2]} frames; a clip of {frames} must be longer")
    pattern = model.config.pattern.build(codebooks, frames)
    cells, whole, given = _Cells(pattern, known, model.network.special), pattern.whole_frames(), known.shape[2]
    size = (pattern.num_steps, codebooks)
    noise = torch.stack([torch.rand(size, generator=seeded(seed)) for seed in seeds], 1)
    guided, sampler = Guided(model.network, memory, options.guidance), options.sampler()
    past, start = guided.init_state(len(seeds), pattern.num_steps), pattern.first_step(given)
    fresh = cells.sequence[:, :, :start]
    for step in range(start, pattern.num_steps):
        logits, past = guided.step(fresh, past)
        said = sampler.pick(logits.flatten(0, 1), noise[step].flatten().to(logits.device))
        fresh = cells.say(step, said.view(len(seeds), codebooks))
        if step == pattern.num_steps - 1 or (chunk and whole[step] - given >= chunk):
            yield pattern.collect(cells.sequence)[:, :, given : whole[step]]
            given = whole[step]


class _Cells:
    """Clips in their pattern: `sequence` [B, K, S] of what has been said, the special code where nothing has."""

    def __init__(self, pattern: Pattern, known: Tensor, special: int) -> None:
        missing = (0, pattern.steps.shape[1] - known.shape[2])
        self.sequence = pattern.spread(F.pad(known, missing, value=special), special)
        self._open = pattern.spread(F.pad(torch.zeros_like(known[:1]), missing, value=1), 0).bool()

    def say(self, step: int, codes: Tensor) -> Tensor:
        """Put codes [B, K] where a step has open cells; returns the whole step [B, K, 1]."""
        self.sequence[:, :, step] = torch.where(self._open[:, :, step], codes, self.sequence[:, :, step])
        return self.sequence[:, :, step : step + 1]


def generate(
    model: MusicGen | Magnet,
    memory: Memory | None,
    frames: int,
    options: CausalOptions,
    seeds: Sequence[int],
    prompt: Tensor | None = None,
) -> Tensor:
    """The clips of `stream` whole, with the prompt: codes [B, K, T]."""
    said = torch.cat(list(stream(model, memory, frames, options, seeds, prompt)), 2)
    return said if prompt is None else torch.cat([prompt, said], 2)
