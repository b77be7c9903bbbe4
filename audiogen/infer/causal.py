"""MusicGen's decoding: step by step in its pattern, with a cache, giving frames as soon as they are whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.infer.sampling import Sampler
from audiogen.models.code_lm import CodeLM
from audiogen.models.magnet import Magnet
from audiogen.models.musicgen import MusicGen
from audiogen.nn.cross_transformer import Memory, Past


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
    network, codebooks = model.network, len(model.network.codes)
    known = torch.zeros(len(seeds), codebooks, 0, dtype=torch.long) if prompt is None else prompt
    if known.shape[2] >= frames:
        raise AudiogenError(f"the prompt has {known.shape[2]} frames; a clip of {frames} must be longer")
    pattern = model.config.pattern.build(codebooks, frames)
    unknown = frames - known.shape[2]
    sequence = pattern.spread(F.pad(known, (0, unknown), value=network.special), network.special)
    open_cells = pattern.spread(F.pad(torch.zeros_like(known[:1]), (0, unknown), value=1), 0).bool()
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    guided, sampler = Guided(network, memory, options.guidance), options.sampler()
    past = guided.init_state(len(seeds), pattern.num_steps)
    start, given = pattern.first_step(known.shape[2]), known.shape[2]
    fresh = sequence[:, :, :start]
    for step in range(start, pattern.num_steps):
        logits, past = guided.step(fresh, past)
        noise = torch.stack([torch.rand(codebooks, generator=generator) for generator in generators])
        said = sampler.pick(logits.flatten(0, 1), noise.flatten().to(logits.device)).view(len(seeds), codebooks)
        sequence[:, :, step] = torch.where(open_cells[:, :, step], said, sequence[:, :, step])
        fresh = sequence[:, :, step : step + 1]
        whole = pattern.whole_frames(step)
        if whole == frames or (chunk and whole - given >= chunk):
            yield pattern.collect(sequence)[:, :, given:whole]
            given = whole


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
