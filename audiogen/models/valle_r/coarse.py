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
from audiogen.nn.attention_maps import watched
from audiogen.nn.stepper import stepper
from audiogen.nn.transformer import Transformer, TransformerState, prefix_mask


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

    def init_state(
        self, utterances: Sequence[Utterance], options: GenerateOptions, generator: torch.Generator | None = None
    ) -> CoarseState:
        """Read texts and prompts, and draw all chance there will be, row by row."""
        config, device = self.config, self.codes.weight.device
        prompts = [utterance.prompt or no_prompt(config) for utterance in utterances]
        first = torch.tensor([len(prompt.phones) for prompt in prompts], device=device)
        phones, lengths = told_phones(utterances, config, device)
        codes = padded([prompt.codes[0, :: config.merge] for prompt in prompts], device)
        frames = torch.tensor([prompt.codes.shape[1] // config.merge for prompt in prompts], device=device)

        limits = torch.zeros_like(phones)
        forced = torch.zeros_like(phones, dtype=torch.bool)
        end = first + torch.tensor([len(utterance.phones) for utterance in utterances], device=device)
        for row, (begin, stop) in enumerate(zip(first.tolist(), end.tolist(), strict=True)):
            preset = utterances[row].durations
            preset = torch.zeros(stop - begin, dtype=torch.long) if preset is None else preset
            forced[row, begin:stop] = preset > 0
            limits[row, begin:stop] = preset.where(preset > 0, options.max_dwell)
        remaining = limits.sum(1)
        draws = [
            torch.cat([torch.zeros(start, 2), torch.rand(most, 2, generator=generator)])
            for start, most in zip(frames.tolist(), remaining.tolist(), strict=True)
        ]

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
            end=end,
            limits=limits,
            forced=forced,
            draws=padded(draws, device),
            pointer=pointer,
            dwell=dwell,
            code=before.gather(1, frames[:, None])[:, 0],
            frame=frames,
            remaining=remaining,
            durations=torch.zeros_like(phones),
            done=torch.zeros_like(first, dtype=torch.bool),
        )

    def step(
        self, state: CoarseState, options: GenerateOptions, most: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor, CoarseState]:
        """The next merged frames of each row: at most `most`, or to the end.

        Returns:
            Their codes [B, T], 0 once a row has ended; their phones' places in the text [B, T]; how many frames each
            row spoke [B]; and the state after them.
        """
        walks, transformer = Walk.read(state), stepper(self.transformer, state.cache)
        code, frames, device = state.code, state.frame.tolist(), state.code.device
        most = int(state.remaining.max()) if most is None else most
        draws = gather_rows(state.draws, state.frame[:, None] + torch.arange(most, device=device))
        for_codes, for_moves = draws[:, :, 0], draws[:, :, 1].T.tolist()
        codes, places, spoken, held = [], [], [], 0
        while len(codes) < most and (done := [walk.done for walk in walks]).count(False):
            if sum(done) != held:
                held = sum(done)
                transformer.hold(torch.tensor(done, device=device))
            times = zip(frames, walks, strict=True)
            positions = torch.tensor([[frame + len(codes), walk.pointer] for frame, walk in times], device=device)
            token = self.codes(code)[:, None] + lead(self.config, state.text, positions[:, 1:])
            hidden = transformer(token[:, 0], positions)
            if self.config.phone_lag == 0:
                self.path.move(hidden, walks, options, for_moves[len(codes)])
            code = options.sample(self.head(hidden), for_codes[:, len(codes)])
            places.append([walk.pointer for walk in walks])
            ends = [said == self.silent for said in code.tolist()]
            spoken.append([walk.speak(end) for walk, end in zip(walks, ends, strict=True)])
            if self.config.phone_lag == 1:
                self.path.move(hidden, walks, options, for_moves[len(codes)])
            codes.append(code)
        speaks, path = torch.tensor(spoken, device=device).T, torch.tensor(places, device=device).T
        counts = speaks.sum(1)
        after = replace(state, cache=transformer.state, code=code, frame=state.frame + counts)
        return torch.stack(codes, 1) * speaks, path, counts, Walk.write(walks, after)

    def attention(self, utterance: Utterance, codes: Tensor) -> Tensor:
        """What the frames of `codes` [T], said as `utterance` with all its durations, were drawn from.

        Returns:
            The share [T, S] that each took from each token, the mean over layers and heads: the phones of prompt and
            text with the end symbol, then the merged frames of the prompt and those said before it.
        """
        config, device = self.config, self.codes.weight.device
        prompt = utterance.prompt or no_prompt(config)
        phones, lengths = told_phones([utterance], config, device)
        said = torch.cat([prompt.codes[0, :: config.merge], codes])[None]
        frames = torch.tensor([said.shape[1]], device=device)
        durations = torch.cat([prompt.durations, utterance.durations])[None]
        places = frame_places(config, durations, lengths, said.shape[1] + 1)
        fed = F.pad(places, (1, 0), value=-1)[:, config.phone_lag :][:, : said.shape[1]]
        with watched(self.transformer) as seen:
            self._read(phones, lengths, F.pad(said, (1, 0), value=self.silent)[:, :-1], fed, frames, 0)
        return torch.stack(seen).mean((0, 2))[0, -len(codes) :]

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
