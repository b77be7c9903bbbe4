"""The other codebooks: a transformer reads chunks of frames, and a refiner says one codebook after another."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.models.valle_r.config import TIME_OFFSETS, VallERConfig
from audiogen.models.valle_r.phones import PhoneEmbedding, end_phones, frame_places, lead, text_positions
from audiogen.models.valle_r.refiner import Refiner
from audiogen.models.valle_r.rows import gather_rows, join_rows, padded
from audiogen.models.valle_r.state import FineState
from audiogen.models.valle_r.utterance import Utterance, no_prompt, told_phones
from audiogen.nn.transformer import Transformer, TransformerState, chunk_mask, prefix_mask

DRAWN_STAGES = 3  # of the stages of `Fine`, so many are trained at a time
ROOM = 8  # chunks that a stream of `Fine` takes before it has to forget some
SHARPNESS = 2.0  # between 1, the least squared error, at which all voices sound alike, and ∞, the likeliest codes


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
        """The code [N, chunk] whose vector is closest to the one expected where likely codes are made likelier."""
        vectors = self.vectors[stage]
        expected = (SHARPNESS * logits).softmax(-1) @ vectors
        return (expected @ vectors.T - 0.5 * vectors.square().sum(-1)).argmax(-1)
