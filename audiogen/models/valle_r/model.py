"""The whole of VALL-E R: both parts trained together, and speaking in two halves that may overlap."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.models.valle_r.coarse import Coarse
from audiogen.models.valle_r.config import VallERConfig
from audiogen.models.valle_r.fine import Fine
from audiogen.models.valle_r.state import FineState, Outline, SpeechState
from audiogen.models.valle_r.utterance import GenerateOptions, Utterance, VoicePrompt
from audiogen.nn.int8 import to_int8
from audiogen.protocols import AudioTokens
from audiogen.registry import register


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

    def to_int8(self) -> None:
        """Go on with 8-bit weights in all that takes time on a CPU, for inference only; the heads stay as they are."""
        for part in (self.coarse.transformer, self.fine.transformer, self.fine.refiner):
            to_int8(part)

    @torch.no_grad()
    def prime(self, prompts: Sequence[VoicePrompt | None]) -> FineState:
        """What `Fine` remembers of voice prompts, for `init_state`: with the pointer it is the same for every text."""
        return self.fine.init_state([Utterance(torch.zeros(0, dtype=torch.long), prompt) for prompt in prompts])

    @torch.no_grad()
    def init_state(
        self,
        utterances: Sequence[Utterance],
        options: GenerateOptions,
        generator: torch.Generator | None = None,
        primed: FineState | None = None,
    ) -> SpeechState:
        """The state before the first frame of each utterance. All chance is drawn here: a step follows from its state.

        Args:
            utterances: What to say.
            options: The same as for `step`.
            generator: Where chance comes from.
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
        return SpeechState(self.coarse.init_state(utterances, options, generator), fine, first)

    @torch.no_grad()
    def step(
        self, state: SpeechState, options: GenerateOptions, chunks: int | None = None
    ) -> tuple[AudioTokens, SpeechState]:
        """Speak on: at most `chunks` chunks of frames, or to the end.

        The state's buffers are written in place: go on from the one returned.
        """
        if state.done:
            empty = torch.zeros(len(state.first), self.config.codec.num_codebooks, 0, dtype=torch.long)
            return AudioTokens.from_codes(self.config.codec, empty), state
        outline, state = self.outline(state, options, chunks)
        tokens, fine = self.fill(outline, state.fine)
        return tokens, replace(state, fine=fine)

    @torch.no_grad()
    def outline(
        self, state: SpeechState, options: GenerateOptions, chunks: int | None = None
    ) -> tuple[Outline, SpeechState]:
        """The first half of a `step`, for rows that are not all done: it needs nothing of the second."""
        most = None if chunks is None else chunks * self.config.chunk // self.config.merge
        codes, places, counts, coarse = self.coarse.step(state.coarse, options, most)
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
        return self.step(self.init_state(condition, options, generator), options)[0]

    @torch.no_grad()
    def attention(self, utterance: Utterance, codes: Tensor) -> Tensor:
        """What the merged frames of `codes` [T] of an utterance were drawn from; see `Coarse.attention`."""
        return self.coarse.attention(utterance, codes)

    def durations(self, state: SpeechState) -> list[Tensor]:
        """Merged frames spent so far on each phone of each utterance, prompts left out; zeros without the pointer."""
        counts = state.coarse.durations * self.config.pointer
        rows = zip(counts, state.first.tolist(), state.coarse.end.tolist(), strict=True)
        return [durations[first:end] for durations, first, end in rows]

    def _check(self, utterance: Utterance) -> None:
        prompt, durations = utterance.prompt, utterance.durations
        if len(utterance.phones) == 0:
            raise AudiogenError("an utterance has no phones; at least one is needed")
        if durations is not None and (len(durations) != len(utterance.phones) or int(durations.min()) < 0):
            raise AudiogenError(
                f"{len(durations)} durations for {len(utterance.phones)} phones; each needs one, 0 where it is free"
            )
        if prompt is not None:
            frames, told = prompt.codes.shape[1], int(prompt.durations.sum()) * self.config.merge
            if frames != told or len(prompt.durations) != len(prompt.phones) or prompt.codes.shape[0] < 2:
                raise AudiogenError(f"a voice prompt of {frames} frames has phones for {told}; the two must be equal")
