"""VALL-E R: codec language modelling for speech with a phone pointer that can neither skip, repeat nor run away.

Two transformers speak in turn. `Coarse` goes frame by frame through the first codebook, which the codec has merged to
a lower rate, and holds a pointer into the phones that stays or advances by one each frame. `Fine` fills in the other
codebooks one after the other, a chunk of frames at a time. A voice prompt is simply what was said before.

Source: VALL-E R, arXiv 2406.07855 §3; VALL-E, arXiv 2301.02111 §4. With `pointer=False` it is plain VALL-E. Where we
differ from the papers: `Fine` sees whole chunks and some context before them instead of the whole utterance, so that
a stream is exact; its transformer reads a chunk once, and a small network says the codebooks one after the other, where
the papers run the whole transformer for each; it is told mean and deviation of the prompt's sound; with the pointer it
gets each frame's phone with its neighbours instead of the text before it, so that a prompt is read once for all
sentences; the chance to advance between two equal phones has a head of its own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.state import State
from audiogen.nn.transformer import (
    StageNorm,
    Stepper,
    Transformer,
    TransformerConfig,
    TransformerState,
    chunk_mask,
    prefix_mask,
)
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.registry import register

IGNORED = -100  # the label that cross-entropy leaves out
SATED = 1 << 30  # a dwell that makes the pointer move on at once
DRAWN_STAGES = 3  # of the stages of `Fine`, so many are trained at a time
ROOM = 8  # chunks that a stream of `Fine` takes before it has to forget some
TIME_OFFSETS = 1024  # training starts a clip's time anywhere below this, so that no position is new in a long one


@dataclass
class VallERConfig:
    """What a `VallER` is made of.

    Attributes:
        codec: The codec whose codes it speaks.
        num_phones: Symbols in the phone inventory.
        pointer: Whether a phone pointer leads the first codebook; False is plain VALL-E, which learns when to stop.
        phone_lag: With 1 a frame is spoken knowing its phone; with 0 the phone and the code of a frame are drawn from
            the same prediction, as eq. 1 is printed.
        merge: Frames of the codec that share a code of the first codebook.
        dim, heads, feedforward, dropout: Size of both transformers.
        coarse_layers: Blocks of the one for the first codebook.
        fine_layers: Blocks of the one for the others.
        chunk: Frames that `Fine` speaks at a time; a multiple of `merge`.
        context: Chunks before it that a chunk sees, besides the prompt.
        window: Longest stretch of frames that `Fine` trains on.
        code_dim: Dimensions of the codec's vectors, by which `Fine` knows the codes.
    """

    codec: CodecSpec
    num_phones: int
    pointer: bool = True
    phone_lag: int = 1
    merge: int = 2
    dim: int = 256
    heads: int = 4
    feedforward: int = 768
    dropout: float = 0.1
    coarse_layers: int = 6
    fine_layers: int = 4
    chunk: int = 24
    context: int = 4
    window: int = 320
    code_dim: int = 64

    def __post_init__(self) -> None:
        if self.phone_lag not in (0, 1):
            raise AudiogenError(f"phone_lag is {self.phone_lag}; it must be 0 or 1")
        if self.codec.num_codebooks < 2:
            raise AudiogenError(
                f"the codec {self.codec.name!r} has {self.codec.num_codebooks} codebooks; at least 2 needed"
            )
        if self.chunk % self.merge or self.window % self.merge:
            raise AudiogenError(f"chunk {self.chunk} and window {self.window} must be multiples of merge {self.merge}")

    def transformer(self, layers: int, dropout: float) -> TransformerConfig:
        """The size of one of the two transformers."""
        return TransformerConfig(self.dim, self.heads, layers, self.feedforward, dropout)


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
    """What to say: `phones` [L] in the voice of `prompt`; `durations` [L] in merged frames preset the path."""

    phones: Tensor
    prompt: VoicePrompt | None = None
    durations: Tensor | None = None


def most_likely(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The best code [B] of logits [B, V]: generation without chance."""
    return logits.argmax(-1)


@dataclass(frozen=True)
class GenerateOptions:
    """How to draw.

    Attributes:
        sample: Draws codes [B] from logits [B, V] with a generator.
        pointer_temperature: How much chance there is in durations; 0 advances as soon as that is likelier than not.
        speed: Multiplies the rate at which the pointer advances.
        max_dwell: Merged frames after which it advances anyway; plain VALL-E stops after that many per phone.
    """

    sample: Callable[[Tensor, torch.Generator | None], Tensor] = most_likely
    pointer_temperature: float = 1.0
    speed: float = 1.0
    max_dwell: int = 20


@dataclass
class CoarseState(State):
    """Where the first codebook stands: the cache, the text with its end symbol, and the pointer's place in it.

    Attributes:
        cache: Keys and values of text and frames so far.
        text: Embedded phones [B, L + 1, D].
        phones: Their symbols [B, L + 1]; the end symbol follows the last.
        limits: Most merged frames a phone may take [B, L + 1].
        forced: Whether a row's phones take exactly their limits [B].
        pointer: The phone [B] that is fed next.
        dwell: Merged frames spent on it [B].
        code: The code spoken last [B].
        frame: Merged frames fed so far, prompt included [B].
        remaining: Merged frames that may still be spoken [B].
        durations: Merged frames spent on each phone of the text [B, L + 1].
        done: Which rows have ended [B].
    """

    cache: TransformerState
    text: Tensor
    phones: Tensor
    limits: Tensor
    forced: Tensor
    pointer: Tensor
    dwell: Tensor
    code: Tensor
    frame: Tensor
    remaining: Tensor
    durations: Tensor
    done: Tensor


@dataclass
class FineState(State):
    """Where the other codebooks stand.

    Attributes:
        cache: Keys and values of what the transformer has read.
        text: Embedded phones [B, L + 1, D].
        prefix: Tokens before the first spoken frame [B], which all frames see.
        voice: What the prompt sounds like on the whole [B, D].
        prompt: Frames of the prompt [B].
        frame: Frames spoken so far [B].
    """

    cache: TransformerState
    text: Tensor
    prefix: Tensor
    voice: Tensor
    prompt: Tensor
    frame: Tensor


@dataclass
class SpeechState(State):
    """The state of a batch of utterances while they are spoken; `first` [B] is the first phone after the prompt."""

    coarse: CoarseState
    fine: FineState
    first: Tensor

    @property
    def done(self) -> bool:
        """Whether every row has ended."""
        return bool(self.coarse.done.all())


@dataclass(frozen=True)
class Outline:
    """Merged frames before `Fine` has heard of them.

    Attributes:
        codes: Their first codebook [B, T].
        places: Their phones' places in the text [B, T].
        counts: How many of them each row spoke [B].
    """

    codes: Tensor
    places: Tensor
    counts: Tensor


@register("acoustic", "valle_r", VallERConfig)
class VallER(nn.Module):
    """Phones and a voice prompt to codes."""

    def __init__(self, config: VallERConfig):
        super().__init__()
        self.config = config
        self.coarse = Coarse(config)
        self.fine = Fine(config)

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of both parts, each in nats per code, and of the pointer.

        Args:
            batch: `codes` [B, K, T], `lengths` [B], `phones` [B, L], `phone_lengths` [B] and `durations` [B, L] in
                merged frames. A part that is frozen is left out.
        """
        parts = [part for part in (self.coarse, self.fine) if next(part.parameters()).requires_grad]
        losses = {name: loss for part in parts for name, loss in part.losses(batch).items()}
        total = torch.stack([*losses.values()]).sum()
        return total, {"loss": total.item(), **{name: loss.item() for name, loss in losses.items()}}

    @torch.no_grad()
    def start_from(self, vectors: Tensor) -> None:
        """Learn the codec's vectors [K, S, C] before training: `Fine` works with them, `Coarse` sets out from them.

        Raises:
            AudiogenError: If they are not of the size the model was made for.
        """
        if vectors.shape != self.fine.vectors.shape:
            wanted, found = list(self.fine.vectors.shape), list(vectors.shape)
            raise AudiogenError(f"the codec's vectors have shape {found}; a model for {wanted} needs another code_dim")
        vectors = vectors / vectors[0].std()
        self.fine.vectors.copy_(vectors)
        for table in (self.coarse.codes.weight, self.coarse.head.weight):
            spread = torch.randn(vectors.shape[2], table.shape[1]) * (table.std() / vectors.shape[2] ** 0.5)
            table[: vectors.shape[1]] = vectors[0] @ spread

    @torch.no_grad()
    def adopt(self, vectors: Tensor) -> None:
        """Go on with other codes [K, S, C]: one of the first codebook begins as what the nearest was until now."""
        before = self.fine.vectors[0].clone()
        tables = self.coarse.codes.weight, self.coarse.head.weight, self.coarse.head.bias
        learnt = [table.clone() for table in tables]
        self.start_from(vectors)
        nearest = torch.cdist(self.fine.vectors[0], before).argmin(1)
        for table, rows in zip(tables, learnt, strict=True):
            table.copy_(rows)
            table[: len(nearest)] = rows[nearest]
        self.fine.frequency.zero_()

    @torch.no_grad()
    def prime(self, prompts: Sequence[VoicePrompt | None]) -> FineState:
        """What `Fine` remembers of voice prompts, for `init_state`: with the pointer it is the same for every text."""
        return self.fine.init_state([Utterance(torch.zeros(0, dtype=torch.long), prompt) for prompt in prompts])

    @torch.no_grad()
    def init_state(
        self, utterances: Sequence[Utterance], options: GenerateOptions, primed: FineState | None = None
    ) -> SpeechState:
        """The state before the first frame of each utterance.

        Args:
            utterances: What to say.
            options: The same as for `step`.
            primed: What `prime` made of the same prompts, to save that work; plain VALL-E has no use for it.
        """
        for utterance in utterances:
            self._check(utterance)
        if self.config.pointer:
            primed = primed or self.prime([utterance.prompt for utterance in utterances])
            fine = self.fine.retell(primed, utterances)
        else:
            fine = self.fine.init_state(utterances)
        first = torch.tensor([0 if u.prompt is None else len(u.prompt.phones) for u in utterances])
        return SpeechState(self.coarse.init_state(utterances, options), fine, first)

    @torch.no_grad()
    def step(
        self,
        state: SpeechState,
        options: GenerateOptions,
        generator: torch.Generator | None = None,
        chunks: int | None = None,
    ) -> tuple[AudioTokens, SpeechState]:
        """Speak on: at most `chunks` chunks of frames, or to the end.

        The state's buffers are written in place: go on from the one returned.
        """
        if state.done:
            empty = torch.zeros(len(state.first), self.config.codec.num_codebooks, 0, dtype=torch.long)
            return AudioTokens.from_codes(self.config.codec, empty), state
        outline, state = self.outline(state, options, generator, chunks)
        tokens, fine = self.fill(outline, state.fine)
        return tokens, replace(state, fine=fine)

    @torch.no_grad()
    def outline(
        self,
        state: SpeechState,
        options: GenerateOptions,
        generator: torch.Generator | None = None,
        chunks: int | None = None,
    ) -> tuple[Outline, SpeechState]:
        """The first half of a `step`, for rows that are not all done: it needs nothing of the second."""
        most = None if chunks is None else chunks * self.config.chunk // self.config.merge
        codes, places, counts, coarse = self.coarse.step(state.coarse, options, generator, most)
        return Outline(codes, places, counts), replace(state, coarse=coarse)

    @torch.no_grad()
    def fill(self, outline: Outline, state: FineState) -> tuple[AudioTokens, FineState]:
        """The second half of a `step`: the other codebooks of what was outlined."""
        merge, lengths = self.config.merge, outline.counts * self.config.merge
        frames = (merged.repeat_interleave(merge, 1) for merged in (outline.codes, outline.places))
        codes, state = self.fine.refine(*frames, lengths, state)
        return AudioTokens(self.config.codec, lengths, codes=codes[:, :, : int(lengths.max())]), state

    def generate(
        self,
        condition: Sequence[Utterance],
        options: GenerateOptions,
        generator: torch.Generator | None = None,
    ) -> AudioTokens:
        """Say a batch of utterances whole; the prompts are not part of what is returned."""
        return self.step(self.init_state(condition, options), options, generator)[0]

    def durations(self, state: SpeechState) -> list[Tensor]:
        """Merged frames spent so far on each phone of each utterance, prompts left out; zeros without the pointer."""
        ends = (state.coarse.phones == self.config.num_phones).int().argmax(1)
        counts = state.coarse.durations * self.config.pointer
        rows = zip(counts, state.first.tolist(), ends.tolist(), strict=True)
        return [durations[first:end] for durations, first, end in rows]

    def _check(self, utterance: Utterance) -> None:
        prompt, durations = utterance.prompt, utterance.durations
        if len(utterance.phones) == 0:
            raise AudiogenError("an utterance has no phones; at least one is needed")
        if durations is not None and (len(durations) != len(utterance.phones) or int(durations.min()) < 1):
            raise AudiogenError(
                f"{len(durations)} durations for {len(utterance.phones)} phones; each needs one of at least 1"
            )
        if prompt is not None:
            frames, told = prompt.codes.shape[1], int(prompt.durations.sum()) * self.config.merge
            if frames != told or len(prompt.durations) != len(prompt.phones) or prompt.codes.shape[0] < 2:
                raise AudiogenError(f"a voice prompt of {frames} frames has phones for {told}; the two must be equal")


class Coarse(nn.Module):
    """The first codebook, frame by frame: text and frames so far in, the next frame and the pointer's move out.

    A frame's token is the sum of the code before it and, with the pointer, of the phone that leads it.
    """

    def __init__(self, config: VallERConfig):
        super().__init__()
        self.config = config
        self.silent = config.codec.codebook_size  # the code before the first frame; in plain VALL-E also after the last
        self.end = config.num_phones  # the symbol after the last phone
        self.phones = PhoneEmbedding(config.num_phones + 1, config.dim)
        self.codes = nn.Embedding(self.silent + 1, config.dim)
        self.transformer = Transformer(config.transformer(config.coarse_layers, config.dropout))
        self.head = nn.Linear(config.dim, config.codec.codebook_size + (not config.pointer))
        self.path = PhonePointer(config) if config.pointer else FreePath(config)
        nn.init.normal_(self.codes.weight, std=config.dim**-0.5)

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Mean negative log-likelihoods of the codes and of the path; see `VallER.loss`."""
        codes = batch.codes[:, 0, :: self.config.merge]
        frames = batch.lengths // self.config.merge
        phones = end_phones(batch.phones, batch.phone_lengths, self.end)
        places = frame_places(self.config, batch.durations, batch.phone_lengths, codes.shape[1] + 1)
        fed = F.pad(places, (1, 0), value=-1)[:, self.config.phone_lag :]
        # Token t says frame t; the one after the last frame, where the path has ended, learns to stop.
        before = F.pad(codes, (1, 0), value=self.silent)
        size = before.shape[1]
        offset = torch.randint(TIME_OFFSETS, (len(frames), 1), device=codes.device) if self.training else 0
        hidden, prefix, _ = self._read(phones, batch.phone_lengths, before, fed[:, :size], frames + 1, offset)
        time = torch.arange(size, device=codes.device)
        hidden = gather_rows(hidden, prefix[:, None] + time)

        targets = F.pad(codes, (0, 1)).masked_fill(time == frames[:, None], self.silent)
        said = time < frames[:, None] + (not self.config.pointer)
        loss = F.cross_entropy(self.head(hidden[said]), targets[said])
        return {"coarse": loss, **self.path.losses(hidden, phones, fed, frames)}

    def init_state(self, utterances: Sequence[Utterance], options: GenerateOptions) -> CoarseState:
        """Read texts and prompts."""
        config, device = self.config, self.codes.weight.device
        prompts = [utterance.prompt or no_prompt(config) for utterance in utterances]
        first = torch.tensor([len(prompt.phones) for prompt in prompts], device=device)
        phones, lengths = told_phones(utterances, config, device)
        codes = padded([prompt.codes[0, :: config.merge] for prompt in prompts], device)
        frames = torch.tensor([prompt.codes.shape[1] // config.merge for prompt in prompts], device=device)

        limits = torch.zeros_like(phones)
        for row, (begin, utterance) in enumerate(zip(first.tolist(), utterances, strict=True)):
            most = options.max_dwell if utterance.durations is None else utterance.durations
            limits[row, begin : begin + len(utterance.phones)] = most
        remaining = limits.sum(1)

        before = F.pad(codes, (1, 0), value=self.silent)
        places = frame_places(config, padded([p.durations for p in prompts], device), first, before.shape[1])
        fed = F.pad(places, (1, 0), value=-1)[:, config.phone_lag :]
        size = codes.shape[1]
        capacity = int((lengths + 1 + frames + remaining).max()) + 1
        cache = self.transformer.init_state(len(phones), capacity)
        *_, cache = self._read(phones, lengths, before[:, :size], fed[:, :size], frames, 0, cache)
        pointer, dwell = self.path.start(first, frames)
        return CoarseState(
            cache=cache,
            text=self.phones(phones, self.end),
            phones=phones,
            limits=limits,
            forced=torch.tensor([utterance.durations is not None for utterance in utterances], device=device),
            pointer=pointer,
            dwell=dwell,
            code=before.gather(1, frames[:, None])[:, 0],
            frame=frames,
            remaining=remaining,
            durations=torch.zeros_like(phones),
            done=torch.zeros_like(first, dtype=torch.bool),
        )

    def step(
        self, state: CoarseState, options: GenerateOptions, generator: torch.Generator | None, most: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor, CoarseState]:
        """The next merged frames of each row: at most `most`, or to the end.

        Returns:
            Their codes [B, T], 0 once a row has ended; their phones' places in the text [B, T]; how many frames each
            row spoke [B]; and the state after them.
        """
        walks, transformer = Walk.read(state), Stepper(self.transformer, state.cache)
        code, frames, device = state.code, state.frame.tolist(), state.code.device
        codes, places, spoken = [], [], []
        while not all(walk.done for walk in walks) and (most is None or len(codes) < most):
            times = zip(frames, walks, strict=True)
            positions = torch.tensor([[frame + len(codes), walk.pointer] for frame, walk in times], device=device)
            token = self.codes(code)[:, None] + lead(self.config, state.text, positions[:, 1:])
            hidden = transformer(token[:, 0], positions)
            if self.config.phone_lag == 0:
                self.path.move(hidden, walks, options, generator)
            code = options.sample(self.head(hidden), generator)
            codes.append(code)
            places.append([walk.pointer for walk in walks])
            ends = [said == self.silent for said in code.tolist()]
            spoken.append([walk.speak(end) for walk, end in zip(walks, ends, strict=True)])
            if self.config.phone_lag == 1:
                self.path.move(hidden, walks, options, generator)
        speaks, path = torch.tensor(spoken, device=device).T, torch.tensor(places, device=device).T
        after = replace(state, cache=transformer.state, code=code, frame=state.frame + len(codes))
        return torch.stack(codes, 1) * speaks, path, speaks.sum(1), Walk.write(walks, after)

    def _read(
        self,
        phones: Tensor,
        phone_lengths: Tensor,
        before: Tensor,
        fed: Tensor,
        counts: Tensor,
        offset: Tensor | int,
        cache: TransformerState | None = None,
    ) -> tuple[Tensor, Tensor, TransformerState | None]:
        """Run the text and then `counts` frames: outputs, length of the text with its end [B], and the cache."""
        text = self.phones(phones, self.end)
        audio = self.codes(before) + lead(self.config, text, fed)
        time = torch.arange(before.shape[1], device=before.device) + offset
        prefix, lengths = phone_lengths + 1, phone_lengths + 1 + counts
        tokens = join_rows(text, prefix, audio, lengths)
        positions = join_rows(text_positions(phones), prefix, torch.stack([time.expand_as(fed), fed], -1), lengths)
        mask = prefix_mask(prefix, lengths, tokens.shape[1])
        hidden, cache = self.transformer(tokens, positions, mask, cache, lengths=lengths)
        return hidden, prefix, cache


class PhonePointer(nn.Module):
    """Leads the first codebook along the phones: at each frame stay or advance by one, from the first to the last.

    The chance to advance is the softmax of the phone head over this phone and the next (VALL-E R §3.2.2; the end symbol
    follows the last). Two equal phones in a row would tie, so there a binary head decides, trained on every boundary.
    """

    def __init__(self, config: VallERConfig):
        super().__init__()
        self.lag = config.phone_lag
        self.phone_head = nn.Linear(config.dim, config.num_phones + 1)
        self.advance_head = nn.Linear(config.dim, 1)

    def losses(self, hidden: Tensor, phones: Tensor, fed: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """How well tokens [B, T, D] that are led by places `fed` [B, T + 1 or more] foretell the next place."""
        known = torch.arange(hidden.shape[1], device=frames.device) < frames[:, None] + 1 - self.lag
        following = F.pad(fed[:, 1:], (0, 1))[:, : hidden.shape[1]][known]
        rows = known.nonzero()[:, 0]
        advanced = (following != fed[:, : hidden.shape[1]][known]).float()
        hidden = hidden[known]
        return {
            "phone": F.cross_entropy(self.phone_head(hidden), phones[rows, following]),
            "advance": F.binary_cross_entropy_with_logits(self.advance_head(hidden)[:, 0], advanced),
        }

    def start(self, first: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Pointer and dwell before the first step: at the `first` phone [B], or about to move to it."""
        if self.lag == 1:
            return first, torch.zeros_like(first)
        return first - 1, torch.full_like(first, SATED)

    def move(
        self, hidden: Tensor, walks: Sequence["Walk"], options: GenerateOptions, generator: torch.Generator | None
    ) -> None:
        """Stay or advance, knowing `hidden` [B, D]; past the last phone the row is done."""
        logits, ties = self.phone_head(hidden).tolist(), self.advance_head(hidden)[:, 0].tolist()
        drawn = torch.rand(len(walks), generator=generator, device=hidden.device).tolist()
        for walk, logit, tie, draw in zip(walks, logits, ties, drawn, strict=True):
            here, after = walk.phones[walk.place], walk.phones[walk.place + 1]
            tendency = tie if here == after else logit[after] - logit[here]
            chance = 0.5 + 0.5 * math.tanh(0.5 * tendency / (options.pointer_temperature or 1e-9))
            chance = 1 - (1 - chance) ** options.speed
            walk.move((draw if options.pointer_temperature else 0.5) < chance)
            walk.done = walk.done or walk.phones[walk.pointer] == self.phone_head.out_features - 1


class FreePath(nn.Module):
    """No pointer, as in plain VALL-E: a frame's place is its number, and the text is found by attention alone."""

    def __init__(self, config: VallERConfig):
        super().__init__()
        self.lag = config.phone_lag

    def losses(self, hidden: Tensor, phones: Tensor, fed: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """Nothing to learn."""
        return {}

    def start(self, first: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Place and dwell before the first step after `frames` [B] of prompt."""
        return frames - 1 + self.lag, torch.zeros_like(frames)

    def move(
        self, hidden: Tensor, walks: Sequence["Walk"], options: GenerateOptions, generator: torch.Generator | None
    ) -> None:
        """On to the next frame."""
        for walk in walks:
            walk.pointer += 1


@dataclass
class Walk:
    """A row of a `CoarseState` in plain numbers, for a while.

    The pointer takes a dozen small decisions a frame: as tensor operations they would take as long as the transformer.
    The fields are those of the state.
    """

    phones: list[int]
    limits: list[int]
    forced: bool
    pointer: int
    dwell: int
    remaining: int
    durations: list[int]
    done: bool

    @classmethod
    def read(cls, state: CoarseState) -> list["Walk"]:
        """The walks of all rows."""
        return [cls(*row) for row in zip(*(getattr(state, f.name).tolist() for f in fields(cls)), strict=True)]

    @staticmethod
    def write(walks: Sequence["Walk"], state: CoarseState) -> CoarseState:
        """The state with what has changed on the walks."""
        changed = ("pointer", "dwell", "remaining", "durations", "done")
        columns = {name: [getattr(walk, name) for walk in walks] for name in changed}
        return replace(state, **{name: torch.tensor(c, device=state.code.device) for name, c in columns.items()})

    @property
    def place(self) -> int:
        """The pointer, held within the text."""
        return min(max(self.pointer, 0), len(self.phones) - 2)

    def speak(self, ends: bool) -> bool:
        """Spend a frame where the pointer is, unless the row has ended or `ends` now; returns whether it was spent."""
        speaks = not (self.done or ends)
        self.done = not speaks or self.remaining <= 1
        self.dwell += speaks
        self.remaining -= speaks
        self.durations[self.place] += speaks
        return speaks

    def move(self, willing: bool) -> None:
        """Advance if `willing`; in any case where a phone has had its frames, and a preset path only there."""
        sated = self.dwell >= self.limits[self.place]
        if not self.done and (sated or (willing and not self.forced)):
            self.pointer += 1
            self.dwell = 0


class Fine(nn.Module):
    """Codebooks 2 and up, each from the sum of those before it, all frames of a chunk at once.

    The transformer reads a frame's first code (in the prompt: all of them) and, with the pointer, its phone; without
    it the text comes before the frames. Then a small network says one codebook after the other, from what the
    transformer made of the frame and the codes said so far in its neighbourhood. Codes come in and go out as the
    codec's own vectors, so that codes that sound alike are alike to the model from the first step on.
    """

    def __init__(self, config: VallERConfig):
        super().__init__()
        self.config = config
        self.end = config.num_phones
        self.size, self.stages = config.codec.codebook_size, range(1, config.codec.num_codebooks)
        self.phones = PhoneEmbedding(config.num_phones + 1, config.dim)
        self.register_buffer("vectors", torch.randn(config.codec.num_codebooks, self.size, config.code_dim))
        self.input = nn.Linear(config.code_dim, config.dim, bias=False)
        self.voice = nn.Linear(2 * config.code_dim, config.dim, bias=False)
        # Frames that share their first code and their phone are told apart by their place among them.
        self.parts = nn.Parameter(torch.randn(config.merge, config.dim) * config.dim**-0.5)
        self.transformer = Transformer(config.transformer(config.fine_layers, dropout=0.0))
        self.refiner = Refiner(config)
        self.frequency = nn.Parameter(torch.zeros(config.codec.num_codebooks, self.size))

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Mean negative log-likelihood of some of the codebooks in a random stretch of each row.

        The stretch begins with up to half its length as prompt. The earlier a codebook, the more of the sound it
        decides and the more often it is drawn. Evaluation draws by the batch, hence always the same.
        """
        config, device = self.config, batch.codes.device
        generator = None if self.training else torch.Generator().manual_seed(int(batch.lengths.sum()))
        draws = torch.rand(3, len(batch.lengths), generator=generator).to(device)
        chances = 1 / torch.tensor(self.stages).float()
        stages = torch.multinomial(chances, min(DRAWN_STAGES, len(chances)), generator=generator) + 1
        size = min(config.window, batch.codes.shape[2])

        def merged(frames: Tensor) -> Tensor:
            return frames.long() // config.merge * config.merge

        start = merged(draws[0] * (batch.lengths - size + 1).clamp(min=1))
        counts = (batch.lengths - start).clamp(max=size)
        prompt = merged(draws[1] * counts / 2)
        offset = (draws[2] * TIME_OFFSETS).long() if self.training else torch.zeros_like(counts)
        time = torch.arange(size, device=device)
        frames = (start[:, None] + time).clamp(max=batch.codes.shape[2] - 1)
        codes = batch.codes.gather(2, frames[:, None].expand(-1, batch.codes.shape[1], -1))
        places = self._places(batch.durations, batch.phone_lengths, batch.codes.shape[2]).gather(1, frames)

        text = self.phones(end_phones(batch.phones, batch.phone_lengths, self.end), self.end)
        prompted = time < prompt[:, None]
        told = self._summed(codes) * prompted[:, :, None]
        said = self.vectors[0][codes[:, 0]] * ~prompted[:, :, None]
        audio = self.input(told + said) + self._lead(text, places)
        audio = audio + (self._voice(told, prompt)[:, None] * ~prompted[:, :, None])
        text_lengths = torch.zeros_like(counts) if config.pointer else batch.phone_lengths + 1
        lengths = text_lengths + counts
        tokens = join_rows(text, text_lengths, audio, lengths)
        audio_positions = torch.stack([offset[:, None] + time.expand_as(places), places], -1)
        positions = join_rows(text_positions(text), text_lengths, audio_positions, lengths)
        slots = torch.arange(tokens.shape[1], device=device).expand(len(tokens), -1)
        mask = chunk_mask(text_lengths + prompt, lengths, slots, slots, config.chunk, config.context)
        hidden, _ = self.transformer(tokens, positions, mask)

        spoken = prompt[:, None] + torch.arange(-(-size // config.chunk) * config.chunk, device=device)
        known = spoken < counts[:, None]
        hidden = gather_rows(hidden, text_lengths[:, None] + spoken)
        codes = gather_rows(codes.transpose(1, 2), spoken)
        hidden, codes, known = (x.unflatten(1, (-1, config.chunk)).flatten(0, 1) for x in (hidden, codes, known))
        kept = known.any(1)
        hidden, codes, known = hidden[kept], codes[kept], known[kept]
        losses = [
            F.cross_entropy(self._told(hidden, codes, known, stage)[known], codes[..., stage][known])
            for stage in stages.tolist()
        ]
        return {"fine": torch.stack(losses).mean()}

    def init_state(self, utterances: Sequence[Utterance]) -> FineState:
        """Read prompts, and without the pointer the texts before them."""
        config, device = self.config, self.vectors.device
        prompts = [utterance.prompt or no_prompt(config) for utterance in utterances]
        phones, phone_lengths = told_phones(utterances, config, device)
        codes = padded([prompt.codes.T for prompt in prompts], device).transpose(1, 2)
        frames = torch.tensor([prompt.codes.shape[1] for prompt in prompts], device=device)
        places = self._places(padded([p.durations for p in prompts], device), phone_lengths, codes.shape[2])

        text = self.phones(phones, self.end)
        time = torch.arange(codes.shape[2], device=device).expand_as(places)
        told = self._summed(codes) * (time < frames[:, None])[:, :, None]
        audio = self.input(told) + self._lead(text, places)
        text_lengths = torch.zeros_like(frames) if config.pointer else phone_lengths + 1
        prefix = text_lengths + frames
        tokens = join_rows(text, text_lengths, audio, prefix)
        positions = join_rows(text_positions(text), text_lengths, torch.stack([time, places], -1), prefix)
        mask = prefix_mask(prefix, prefix, tokens.shape[1])
        cache = self.transformer.init_state(len(prompts), tokens.shape[1] + (config.context + ROOM) * config.chunk)
        if tokens.shape[1]:
            _, cache = self.transformer(tokens, positions, mask, cache, lengths=prefix)
        return FineState(cache, text, prefix, self._voice(told, frames), frames, frame=torch.zeros_like(frames))

    def retell(self, primed: FineState, utterances: Sequence[Utterance]) -> FineState:
        """A fresh state for other texts after the same prompts; `primed` stays as it is."""
        phones, _ = told_phones(utterances, self.config, self.vectors.device)
        cache = primed.cache.copy(primed.cache.keys[0].shape[2])
        return replace(primed, cache=cache, text=self.phones(phones, self.end))

    def refine(self, codes: Tensor, places: Tensor, lengths: Tensor, state: FineState) -> tuple[Tensor, FineState]:
        """Say the other codebooks of the next frames.

        Args:
            codes: First codebook [B, T]; whole chunks unless these are the last frames.
            places: Place in the text of each frame's phone [B, T].
            lengths: True frames of each row [B].
            state: The stream so far.

        Returns:
            All codebooks [B, K, T] and the state after them.
        """
        config, size = self.config, codes.shape[1]
        cache = self._with_room(state, size)
        time = state.frame[:, None] + torch.arange(size, device=codes.device)
        positions = torch.stack([state.prompt[:, None] + time, places], -1)
        used = cache.length
        slots = torch.arange(int(used.max()) + size, device=codes.device).expand(len(codes), -1)
        dropped = (state.prefix + state.frame - used)[:, None]
        keys = slots + dropped * (slots >= state.prefix[:, None])
        queries = state.prefix[:, None] + time
        last = state.prefix + state.frame + lengths
        mask = chunk_mask(state.prefix, last, queries, keys, config.chunk, config.context)

        so_far = self.vectors[0][codes]
        tokens = self.input(so_far) + self._lead(state.text, places) + state.voice[:, None]
        hidden, cache = self.transformer(tokens, positions, mask, cache, lengths=lengths)
        known = torch.arange(size, device=codes.device) < lengths[:, None]
        hidden, so_far, known = (self._chunks(x) for x in (hidden, so_far, known))
        said = []
        for stage in self.stages:
            said.append(self._safest(self._logits(hidden, so_far * known[..., None], stage), stage))
            so_far = so_far + self.vectors[stage][said[-1]]
        others = torch.stack(said, 1).unflatten(0, (len(codes), -1)).transpose(1, 2).flatten(2)[:, :, :size]
        return torch.cat([codes[:, None], others], 1), replace(state, cache=cache, frame=state.frame + lengths)

    def _with_room(self, state: FineState, size: int) -> TransformerState:
        """A cache that takes `size` more frames: what no frame will see again is dropped where there is no room."""
        cache, used = state.cache, state.cache.length
        capacity = cache.keys[0].shape[2]
        if int(used.max()) + size <= capacity:
            return cache
        spare = (used - state.prefix - self.config.context * self.config.chunk).clamp(min=0)
        return cache.drop(state.prefix, spare).copy(max(capacity, int((used - spare).max()) + size))

    def _places(self, durations: Tensor, phone_lengths: Tensor, size: int) -> Tensor:
        merge = self.config.merge
        places = frame_places(self.config, durations, phone_lengths, -(-size // merge))
        return places.repeat_interleave(merge, 1)[:, :size]

    def _lead(self, text: Tensor, places: Tensor) -> Tensor:
        """What frames [B, T], the first of which begins a merged frame, have besides their codes."""
        parts = self.parts.repeat(-(-places.shape[1] // self.config.merge), 1)[: places.shape[1]]
        return lead(self.config, text, places) + parts

    def _summed(self, codes: Tensor) -> Tensor:
        """The sums [B, T, C] of the vectors of codes [B, K, T]."""
        bags = (codes + torch.arange(codes.shape[1], device=codes.device)[:, None] * self.size).transpose(1, 2)
        return F.embedding_bag(bags.flatten(0, 1), self.vectors.flatten(0, 1), mode="sum").unflatten(0, bags.shape[:2])

    def _voice(self, told: Tensor, frames: Tensor) -> Tensor:
        """What the spoken frames know of the prompt [B, D]: mean and deviation of its vectors, zero after its end."""
        count = frames.clamp(min=1)[:, None]
        mean = told.sum(1) / count
        deviation = (told.square().sum(1) / count - mean.square()).clamp(min=0).sqrt()
        return self.voice(torch.cat([mean, deviation], 1))

    def _chunks(self, x: Tensor) -> Tensor:
        """Frames [B, T, …] as chunks [B · N, chunk, …], zeros after the last frame."""
        x = torch.cat([x, x.new_zeros(len(x), -x.shape[1] % self.config.chunk, *x.shape[2:])], 1)
        return x.unflatten(1, (-1, self.config.chunk)).flatten(0, 1)

    def _told(self, hidden: Tensor, codes: Tensor, known: Tensor, stage: int) -> Tensor:
        """Logits [N, chunk, S] of a codebook where the codes [N, chunk, K] before it are given; `known` [N, chunk]."""
        return self._logits(hidden, self._summed(codes[..., :stage].transpose(1, 2)) * known[..., None], stage)

    def _logits(self, hidden: Tensor, so_far: Tensor, stage: int) -> Tensor:
        """Logits [N, chunk, S] of a codebook, from the transformer's output and the sum of the codes before."""
        vectors = self.vectors[stage]
        scale = vectors.std() * self.config.code_dim**0.5
        return F.linear(self.refiner(hidden, so_far, stage - 1), vectors / scale, self.frequency[stage])

    def _safest(self, logits: Tensor, stage: int) -> Tensor:
        """The code [N, chunk] whose vector is closest to the expected one: the least squared error at this risk."""
        vectors = self.vectors[stage]
        expected = logits.softmax(-1) @ vectors
        return (expected @ vectors.T - 0.5 * vectors.square().sum(-1)).argmax(-1)


class Refiner(nn.Module):
    """The small network that says one codebook after the other; each stage has norms of its own."""

    def __init__(self, config: VallERConfig, reach: int = 2):
        super().__init__()
        stages = config.codec.num_codebooks - 1
        self.around = nn.Conv1d(config.code_dim, config.dim, 2 * reach + 1, padding=reach)
        self.inner_norm, self.outer_norm = StageNorm(config.dim, stages), StageNorm(config.dim, stages)
        self.expand = nn.Linear(config.dim, config.feedforward)
        self.reduce = nn.Linear(config.feedforward, config.dim)
        self.output = nn.Linear(config.dim, config.code_dim)

    def forward(self, hidden: Tensor, so_far: Tensor, stage: int) -> Tensor:
        """A vector [N, T, C] for the next codebook.

        Args:
            hidden: The transformer's output [N, T, D].
            so_far: Sums of the vectors of the codes so far [N, T, C]; zero where there is no frame.
            stage: 0 for the second codebook.
        """
        x = hidden + self.around(so_far.transpose(1, 2)).transpose(1, 2)
        x = x + self.reduce(F.gelu(self.expand(self.inner_norm(x, stage)), approximate="tanh"))
        return self.output(self.outer_norm(x, stage))


class PhoneEmbedding(nn.Module):
    """A vector for each phone in its neighbourhood: the sum of one table for each of five places around it."""

    def __init__(self, num_symbols: int, dim: int, reach: int = 2):
        super().__init__()
        self.num_symbols, self.reach = num_symbols, reach
        self.table = nn.Parameter(torch.randn((2 * reach + 1) * num_symbols, dim) * dim**-0.5)

    def forward(self, phones: Tensor, outside: int) -> Tensor:
        """Symbols [B, L] to vectors [B, L, D]; `outside` is the symbol before the first and after the last."""
        windows = F.pad(phones, (self.reach, self.reach), value=outside).unfold(1, 2 * self.reach + 1, 1)
        windows = windows + torch.arange(2 * self.reach + 1, device=phones.device) * self.num_symbols
        return F.embedding_bag(windows.flatten(0, 1), self.table, mode="sum").view(*phones.shape, self.table.shape[1])


def frame_places(config: VallERConfig, durations: Tensor, phone_lengths: Tensor, size: int) -> Tensor:
    """The place in the text of each merged frame [B, size]: its phone's, past the last phone the end symbol's.

    Without the pointer it is the frame's own number.
    """
    frames = torch.arange(size, device=phone_lengths.device).expand(len(phone_lengths), -1).contiguous()
    if not config.pointer:
        return frames
    places = torch.searchsorted(durations.cumsum(1), frames, right=True)
    return torch.minimum(places, phone_lengths[:, None])


def lead(config: VallERConfig, text: Tensor, places: Tensor) -> Tensor:
    """The phone vectors [B, T, D] of `text` [B, L, D] at `places` [B, T], -1 being none; zero without the pointer."""
    if not config.pointer:
        return text.new_zeros(())
    vectors = gather_rows(text, places)
    return vectors if config.phone_lag == 1 else vectors * (places >= 0)[:, :, None]


def told_phones(utterances: Sequence[Utterance], config: VallERConfig, device: torch.device) -> tuple[Tensor, Tensor]:
    """Phones of prompt and utterance, ended and padded by the end symbol [B, L + 1], and their number [B]."""
    rows = [torch.cat([(u.prompt or no_prompt(config)).phones, u.phones]) for u in utterances]
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return end_phones(padded(rows, device), lengths, config.num_phones), lengths


def end_phones(phones: Tensor, lengths: Tensor, end: int) -> Tensor:
    """Phones [B, L] with the symbol `end` at every place after the last: [B, L + 1]."""
    phones = F.pad(phones, (0, 1))
    return phones.masked_fill(torch.arange(phones.shape[1], device=phones.device) >= lengths[:, None], end)


def text_positions(text: Tensor) -> Tensor:
    """Positions [B, L, 2] of the tokens of a text [B, L, …]: all at time 0, each at its place."""
    places = torch.arange(text.shape[1], device=text.device).expand(len(text), -1)
    return torch.stack([torch.zeros_like(places), places], -1)


def join_rows(first: Tensor, first_lengths: Tensor, second: Tensor, lengths: Tensor) -> Tensor:
    """Ragged rows [B, P, …] followed without a gap by ragged rows [B, R, …], to the joint `lengths` [B]."""
    slots = torch.arange(int(lengths.max()), device=first.device)
    moved = slots + (first.shape[1] - first_lengths[:, None]) * (slots >= first_lengths[:, None])
    return gather_rows(torch.cat([first, second], 1), moved)


def gather_rows(x: Tensor, index: Tensor) -> Tensor:
    """Elements `index` [B, T] of each row of x [B, S, D]; an index outside the row takes its nearest end."""
    return x.gather(1, clamped(index, x)[:, :, None].expand(-1, -1, x.shape[2]))


def clamped(index: Tensor, x: Tensor) -> Tensor:
    """Indices held within the second dimension of x."""
    return index.clamp(0, x.shape[1] - 1)


def padded(rows: Sequence[Tensor], device: torch.device) -> Tensor:
    """Rows of unequal length as one tensor, zeros after each."""
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(device)


def no_prompt(config: VallERConfig) -> VoicePrompt:
    """A prompt of no frames."""
    nothing = torch.zeros(0, dtype=torch.long)
    return VoicePrompt(torch.zeros(config.codec.num_codebooks, 0, dtype=torch.long), nothing, nothing)
