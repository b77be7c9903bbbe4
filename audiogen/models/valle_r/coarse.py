"""The first codebook: a transformer that goes frame by frame and is led along the phones."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.models.valle_r.config import TIME_OFFSETS, VallERConfig
from audiogen.models.valle_r.phones import PhoneEmbedding, end_phones, frame_places, lead, text_positions
from audiogen.models.valle_r.pointer import FreePath, PhonePointer, Walk
from audiogen.models.valle_r.rows import gather_rows, join_rows, padded
from audiogen.models.valle_r.state import CoarseState
from audiogen.models.valle_r.utterance import GenerateOptions, Utterance, no_prompt, told_phones
from audiogen.nn.transformer import Stepper, Transformer, TransformerState, prefix_mask


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
