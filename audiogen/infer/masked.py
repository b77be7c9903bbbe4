"""MAGNeT's decoding: every codebook in a few steps, each of which says all hidden frames and hides the worst again.

Source: arXiv 2401.04577 §3.2, 3.5 and Figure 4, and the public code where the paper leaves something open. Chance comes
from a seed a clip and falls on frames, so a clip is the same alone and in any batch. What gives the same codes with
less work is done so: see `_Stage`, and `audiogen.nn.draft`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.infer.sampling import Sampler, check_guidance, seeded
from audiogen.models.code_lm import CodeLM
from audiogen.models.magnet import Magnet
from audiogen.models.musicgen import MusicGen
from audiogen.nn.cross_transformer import Memory
from audiogen.nn.draft import Draft, places_of
from audiogen.nn.spans import SpanRule, cosine_schedule

COLDEST = 0.01


@dataclass(frozen=True)
class MaskedOptions:
    """How to draw.

    Attributes:
        steps: Of each codebook; the last number holds for all further ones.
        temperature: Of the first step; it falls to nothing with the steps.
        top_p: Keeps the likeliest codes that together reach this probability.
        top_k: Keeps this many codes; 0 keeps all.
        guidance: How far to go from what would be said without the caption to what is said with it, at the first step.
        last_guidance: The same at the last step; 1 is no guidance, and saves half the work there.
        arrangement: Which spans are hidden again; see `SpanRule`.
        scoring: How spans are judged; see `SpanRule`.
        rescorer_weight: Share of the rescorer's probability in that judgement.
    """

    steps: tuple[int, ...] = (20, 10)
    temperature: float = 3.0
    top_p: float = 0.9
    top_k: int = 0
    guidance: float = 10.0
    last_guidance: float = 1.0
    arrangement: str = "grid"
    scoring: str = "max"
    rescorer_weight: float = 0.5

    def __post_init__(self) -> None:
        if not self.steps or min(self.steps) < 1:
            raise AudiogenError(f"steps are {list(self.steps)}; each codebook needs at least 1")
        check_guidance(self.guidance)
        check_guidance(self.last_guidance)
        if not 0 <= self.rescorer_weight <= 1:
            raise AudiogenError(f"rescorer_weight is {self.rescorer_weight}; it must be between 0 and 1")
        Sampler(self.temperature, self.top_p, self.top_k)
        SpanRule(1, self.arrangement, self.scoring)

    def steps_of(self, codebook: int) -> int:
        """Steps of a codebook."""
        return self.steps[min(codebook, len(self.steps) - 1)]

    def guidance_of(self, schedule: Tensor) -> list[float]:
        """How much guidance each step has, by the share that is masked before it."""
        return (schedule * self.guidance + (1 - schedule) * self.last_guidance).tolist()

    def sampler(self, cooled: float) -> Sampler:
        """The sampler at a share `cooled` of the first temperature."""
        return Sampler(max(COLDEST, self.temperature * cooled), self.top_p, self.top_k)


@dataclass(frozen=True)
class Rescorer:
    """An autoregressive model that judges what was said, with the same captions as its memory."""

    model: MusicGen
    memory: Memory | None

    def probabilities(self, codes: Tensor, codebook: int) -> Tensor:
        """Of the codes [B, K, T] of one codebook, [B, T]; those of later codebooks must be the special code."""
        network, pattern = self.model.network, self.model.config.pattern.build(*codes.shape[1:])
        logits = network.causal_logits(codes, self.memory, pattern, codebook)
        return logits.float().softmax(-1).gather(2, codes[:, codebook, :, None])[..., 0]


@torch.no_grad()
def fill_in(
    model: Magnet,
    memory: Memory | None,
    codes: Tensor,
    given: Tensor,
    options: MaskedOptions,
    seeds: Sequence[int],
    rescorer: Rescorer | None = None,
) -> Tensor:
    """Say the frames that are not given.

    Args:
        model: In evaluation mode.
        memory: The captions; without one there is no guidance.
        codes: Int64 [B, K, T]; only given frames count.
        given: Frames that stay as they are, bool [B, T]: a beginning, an end, or any.
        options: How.
        seeds: One a clip.
        rescorer: If given, it has a say in which spans are hidden again.

    Returns:
        All codes [B, K, T].
    """
    network = model.network
    if len(network.codes) != codes.shape[1]:
        raise AudiogenError(f"{codes.shape[1]} codebooks are given; the model has {len(network.codes)}")
    if bool(given.all()):
        return codes
    generators = [seeded(seed) for seed in seeds]
    codes = codes.masked_fill(~given[:, None], network.special)
    for codebook in range(codes.shape[1]):
        size = (options.steps_of(codebook), codes.shape[2])
        noise = torch.stack([torch.rand(size, generator=generator) for generator in generators], 1)
        stage = _Stage(model, memory, codes, codebook, rescorer)
        codes[:, codebook] = stage.run(~given, noise.to(codes.device), options)
    return codes


class _Stage:
    """The steps of one codebook. What the other codebooks add to a frame is summed up once for all steps."""

    def __init__(
        self, model: Magnet, memory: Memory | None, codes: Tensor, codebook: int, rescorer: Rescorer | None
    ) -> None:
        self._model, self._memory, self._codebook, self._rescorer = model, memory, codebook, rescorer
        self._network: CodeLM = model.network
        self._shown = codes.clone()
        self._shown[:, codebook + 1 :] = self._network.special
        self._table, self._head = self._network.codes[codebook], self._network.heads[codebook]
        others = [table for table in self._network.codes if table is not self._table]
        rows = [row for number, row in enumerate(self._shown.unbind(1)) if number != codebook]
        self._draft = Draft(self._network.transformer, memory, model.reach(codebook))
        self._others = sum((table(row) for table, row in zip(others, rows, strict=True)), torch.zeros(()))

    def run(self, wanted: Tensor, noise: Tensor, options: MaskedOptions) -> Tensor:
        """The codes [B, T] of the codebook, with the frames `wanted` [B, T] said by noise [steps, B, T]."""
        rule = SpanRule(self._model.config.span, options.arrangement, options.scoring)
        steps, schedule = len(noise), cosine_schedule(len(noise))
        codes, masked, chances = self._shown[:, self._codebook], wanted, torch.zeros_like(noise[0])
        guidance = options.guidance_of(schedule) if self._memory is not None else [1.0] * steps
        for step, share in enumerate(schedule):
            if step:
                masked = rule.remask(chances, masked, wanted, share)
            sampler = options.sampler((steps - 1 - step) / steps)
            codes, chances = self._say(codes, masked, noise[step], guidance[step:], sampler)
            if self._rescorer is not None and step < steps - 1:
                chances = chances.lerp(self._second_opinion(codes), options.rescorer_weight)
        return codes

    def _say(
        self, codes: Tensor, masked: Tensor, noise: Tensor, guidance: Sequence[float], sampler: Sampler
    ) -> tuple[Tensor, Tensor]:
        """Codes [B, T] with those `masked` said anew, and the probabilities [B, T] of these.

        `guidance` is that of this step and of those to come.
        """
        places = places_of(masked)
        logits = self._head(self._outputs(codes.masked_fill(masked, self._network.special), masked, guidance))
        logits = logits.flatten(0, 1).float()
        said = sampler.pick(logits, F.pad(noise, (0, 1)).gather(1, places).flatten())
        chances = _probabilities(logits, sampler).gather(1, said[:, None])
        return _put(codes, places, said), _put(torch.zeros_like(noise), places, chances)

    def _second_opinion(self, codes: Tensor) -> Tensor:
        """The rescorer's probabilities [B, T] of codes [B, T]."""
        candidate = self._shown.clone()
        candidate[:, self._codebook] = codes
        return self._rescorer.probabilities(candidate, self._codebook)

    def _outputs(self, shown: Tensor, masked: Tensor, guidance: Sequence[float]) -> Tensor:
        """The guided outputs [B, M, D] of the frames `masked` [B, T].

        Heads are linear, so guidance is done before them, in single precision at least. Once there is none any more,
        nothing is said without the caption.
        """
        guided = any(strength != 1 for strength in guidance)
        outputs = self._draft.revise(self._others + self._table(shown), masked, also_without=guided)
        if not guided:
            return outputs
        told, untold = outputs.to(torch.promote_types(outputs.dtype, torch.float32)).chunk(2)
        return (untold + guidance[0] * (told - untold)).to(outputs.dtype)


def _put(target: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """`target` [B, T] with values, of B M elements, at `places` [B, M], of which those at T are nowhere."""
    return F.pad(target, (0, 1)).scatter(1, places, values.view_as(places))[:, :-1]


def _probabilities(logits: Tensor, sampler: Sampler) -> Tensor:
    """What codes [N, V] are judged by: the softmax, cut to the `top_k` likeliest but not to `top_p`."""
    chances = (logits / sampler.temperature).softmax(-1)
    if sampler.top_k:
        least = chances.topk(min(sampler.top_k, chances.shape[-1]), dim=-1).values[:, -1:]
        chances = chances.masked_fill(chances < least, 0)
        chances = chances / chances.sum(-1, keepdim=True)
    return chances
