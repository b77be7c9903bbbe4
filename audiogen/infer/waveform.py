"""Sound from a waveform model, sample by sample: from nothing, of a class, or going on from a recording."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from audiogen import registry
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError, unknown_name
from audiogen.infer.ending import Ending
from audiogen.infer.sampling import Sampler, seeded
from audiogen.models.sashimi import Sashimi
from audiogen.models.waveform import WaveformModel
from audiogen.nn.state import State
from audiogen.protocols import AudioTokens, Codec

CHUNK_SECONDS = 0.064
MOST_GUIDANCE = 10.0
CUT = (0.4, 0.05)  # shares of the least and the most likely clips that the published samples leave out


@dataclass(frozen=True)
class Generated:
    """Clips: `wave` [B, 1, N], of which `lengths` [B] samples are theirs, and the mean log-likelihood [B] of these.

    The likelihood is in nats a sample and without that of a prompt; the lengths are with the silence that ends a clip.
    """

    wave: Tensor
    lengths: Tensor
    log_likelihood: Tensor

    def clips(self) -> list[Tensor]:
        """Every clip [1, n] at its own length."""
        return [wave[:, :length] for wave, length in zip(self.wave, self.lengths.tolist(), strict=True)]

    def first(self, count: int) -> "Generated":
        """The first clips."""
        return self.rows(torch.arange(min(count, len(self.wave))))

    def likeliest_but(self, low: float = CUT[0], high: float = CUT[1]) -> "Generated":
        """Without the share `low` of the least likely clips, often noise, and `high` of the likeliest, often silence.

        The defaults are those of the published SaShiMi samples (Goel et al. 2022). The likeliest come first.
        """
        if not (0 <= low and 0 <= high and low + high < 1):
            raise AudiogenError(f"shares {low:g} and {high:g} to leave out must be at least 0 and together less than 1")
        count = len(self.wave)
        order = self.log_likelihood.argsort(descending=True)[int(high * count) : count - int(low * count)]
        return self.rows(order)

    def rows(self, rows: Tensor) -> "Generated":
        """Those clips, in that order."""
        return Generated(self.wave[rows], self.lengths[rows], self.log_likelihood[rows])


class WaveformGenerator:
    """A waveform model with its codec; it steps fused where numba is installed and the model lies on the CPU.

    Args:
        bundle: A bundle of kind `waveform`, with its model. Its assets hold the config `pcm` of the codec; for a model
            of classes, their names, `labels`, and how far it leans towards them, `guidance`; for one of sounds that
            end, the silence after them, `tail_seconds`.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.model: WaveformModel = bundle.model
        self.codec: Codec = registry.build("codec", "pcm", bundle.assets["pcm"])
        self.labels: list[str] = list(bundle.assets.get("labels", ()))
        self.sample_rate: int = self.codec.spec.sample_rate
        self.guidance: float = bundle.assets.get("guidance", 1.0)
        self._tail = round(bundle.assets.get("tail_seconds", 0) * self.sample_rate)
        self._stepper = stepper(self.model)

    def to_bf16(self) -> None:
        """Step with weights of 16 bits, where it steps fused: faster, less exact."""
        self._stepper = stepper(self.model, half=True)

    def generate(
        self,
        seconds: float,
        count: int = 1,
        label: str | None = None,
        prompt: Tensor | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float | None = None,
        seed: int = 0,
        reject: bool = False,
    ) -> Generated:
        """Make clips.

        Args:
            seconds: Length of each, without the prompt; sounds that end may be shorter.
            count: How many.
            label: Of which class, for a model that has classes.
            prompt: Sound [1, N] to go on from.
            temperature: Above 1 for more surprise, below for less.
            top_p: Keep the likeliest codes that together reach this probability.
            guidance: How far to lean from any class towards `label`: 1 is no further than learnt and takes half the
                work; the model's own if None.
            seed: Another number, another sound.
            reject: Whether to make more and keep `count`: of a class the clearest half, else `Generated.likeliest_but`.
        """
        if reject and self.labels:
            made = self.generate(seconds, 2 * count, label, prompt, temperature, top_p, guidance, seed)
            return made.rows(self.lead(made, label).argsort(descending=True)[:count])
        if reject:
            more = math.ceil(count / (1 - sum(CUT)))
            made = self.generate(seconds, more, label, prompt, temperature, top_p, guidance, seed)
            return made.likeliest_but().first(count)
        ending = self._ending(seconds, count)
        pieces = list(self._pieces(seconds, ending, label, prompt, Sampler(temperature, top_p), guidance, seed))
        codes, likelihood = torch.cat([piece for piece, _ in pieces], dim=-1), sum(each for _, each in pieces)
        return Generated(self._decode(codes), ending.lengths, likelihood / ending.lengths)

    @torch.inference_mode()
    def lead(self, made: Generated, label: str) -> Tensor:
        """How much likelier clips are as those of a class than of any, [B] in nats of all that was made."""
        codes, count = self.codec.encode(made.wave).codes[:, 0], len(made.wave)
        own, of_any = (
            self.model.log_likelihood(codes, made.lengths, labels)
            for labels in (self._label_index(label, count), torch.full((count,), len(self.labels)))
        )
        return own - of_any

    def stream(
        self,
        seconds: float,
        label: str | None = None,
        prompt: Tensor | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float | None = None,
        seed: int = 0,
    ) -> Iterator[Tensor]:
        """The clip of `generate` with count 1 while it is made, in pieces [1, n]."""
        ending = self._ending(seconds, 1)
        for codes, _ in self._pieces(seconds, ending, label, prompt, Sampler(temperature, top_p), guidance, seed):
            yield self._decode(codes)[0]

    def _ending(self, seconds: float, count: int) -> Ending:
        if seconds <= 0 or count < 1:
            raise AudiogenError(f"{seconds:g} s of {count} clips were asked for; both must be above 0")
        return Ending(count, self.model.config.start, self._tail)

    def _pieces(
        self,
        seconds: float,
        ending: Ending,
        label: str | None,
        prompt: Tensor | None,
        sampler: Sampler,
        guidance: float | None,
        seed: int,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Codes [B, n] and the log-likelihood [B] of each piece, until all clips have ended."""
        count, guidance = len(ending.lengths), self._checked_guidance(guidance)
        generator = seeded(seed)
        last, state = self._begin(count, label, prompt, guided=guidance != 1)
        options = {"temperature": sampler.temperature, "top_p": sampler.top_p, "guidance": guidance}
        left, longest = max(1, round(seconds * self.sample_rate)), round(CHUNK_SECONDS * self.sample_rate)
        while left and not ending.all:
            size = min(left, longest)
            # Drawn sample after sample, so that a clip is the same in pieces of any length.
            uniforms = torch.rand(size, count, generator=generator).T
            codes, likelihood, state = self._stepper.draw(last, uniforms, state, **options)
            last, left = codes[:, -1], left - size
            codes, going = ending(codes)
            yield codes, likelihood * going

    def _checked_guidance(self, guidance: float | None) -> float:
        if guidance is None:
            return self.guidance if self.labels else 1.0
        if guidance != 1 and not self.labels:
            raise AudiogenError(f"guidance is {guidance:g}, but this model has no classes to lean towards")
        if not 0 <= guidance <= MOST_GUIDANCE:
            raise AudiogenError(f"guidance is {guidance:g}; it must be between 0 and {MOST_GUIDANCE:g}")
        return guidance

    @torch.no_grad()
    def _begin(self, count: int, label: str | None, prompt: Tensor | None, guided: bool) -> tuple[Tensor, State]:
        """The code to go on from and the streams before it; a prompt is taken in by convolution.

        With guidance there are as many streams again, of any class.
        """
        labels, start = self._label_index(label, count), self.model.config.start
        if guided:
            labels = torch.cat([labels, torch.full((count,), len(self.labels))])
        streams = count * (1 + guided)
        if prompt is None or prompt.shape[-1] == 0:
            return torch.full((count,), start), self._stepper.init_state(streams, labels)
        codes = self.codec.encode(prompt[None]).codes[0, :1].expand(streams, -1)
        before = torch.nn.functional.pad(codes[:, :-1], (1, 0), value=start)
        return codes[:count, -1], self._stepper.hear(before, labels)

    def _label_index(self, label: str | None, count: int) -> Tensor | None:
        if label is None and self.labels:
            raise AudiogenError(f"which class? give a label, one of: {', '.join(self.labels)}")
        if label is None:
            return None
        if label not in self.labels:
            raise unknown_name("class", label, self.labels)
        return torch.full((count,), self.labels.index(label))

    def _decode(self, codes: Tensor) -> Tensor:
        return self.codec.decode(AudioTokens.from_codes(self.codec.spec, codes[:, None]))


class PlainStepper:
    """The model's own step, in the form of `audiogen.kernels.sashimi.FusedSashimi`."""

    def __init__(self, model: WaveformModel) -> None:
        self._model = model

    def init_state(self, batch_size: int = 1, labels: Tensor | None = None) -> State:
        """Streams that have seen nothing."""
        return self._model.init_state(batch_size, labels)

    @torch.no_grad()
    def hear(self, codes: Tensor, labels: Tensor | None = None) -> State:
        """Streams that have seen codes [B, n]."""
        return self._model.step(codes, self._model.init_state(len(codes), labels))[1]

    @torch.no_grad()
    def draw(
        self,
        last: Tensor,
        uniforms: Tensor,
        state: State,
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float = 1.0,
    ) -> tuple[Tensor, Tensor, State]:
        """Sample on from the codes `last` [B], one sample for each of uniforms [B, n]; see `FusedSashimi.draw`."""
        sampler, count = Sampler(temperature, top_p), len(last)
        codes, likelihood = [last], torch.zeros(count, dtype=torch.float64)
        for uniform in uniforms.unbind(1):
            heard = codes[-1].repeat(len(state.label) // count)[:, None]
            logits, state = self._model.step(heard, state)
            own, others = logits[:count, 0], logits[-count:, 0]
            logits = others + guidance * (own - others)
            codes.append(sampler.pick(logits, uniform))
            likelihood += logits.log_softmax(-1).gather(1, codes[-1][:, None])[:, 0]
        return torch.stack(codes[1:], dim=1), likelihood, state


def stepper(model: WaveformModel, half: bool = False) -> "PlainStepper | FusedSashimi":  # noqa: F821
    """The fastest there is for this model on this machine; fused, with 16-bit weights if `half`."""
    if not isinstance(model, Sashimi):
        return PlainStepper(model)
    try:
        from audiogen.kernels.sashimi import FusedSashimi

        return FusedSashimi(model, half)
    except (ModuleNotFoundError, AudiogenError):  # no numba, or a width it does not take
        return PlainStepper(model)
