"""MAGNeT's decoding as the public code does it, every step in full, for `audiogen bench magnet`.

Our shortcuts can be taken one by one, so that each shows what it gains; all of them, and the last, which is to compute
only what a change reaches, are `audiogen.infer.masked`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from audiogen.infer.masked import COLDEST, MaskedOptions
from audiogen.infer.sampling import Sampler
from audiogen.models.code_lm import CodeLM
from audiogen.models.magnet import Magnet
from audiogen.nn.cross_transformer import Memory, pick, positions
from audiogen.nn.draft import places_of
from audiogen.nn.spans import SpanRule, cosine_schedule


@dataclass(frozen=True)
class Shortcuts:
    """What is left out.

    Attributes:
        reading: Taking in the caption anew in each step, and attending to none where there is none.
        folding: Matrices of attention to the caption, if it is short.
        masking: The frames out of reach, instead of a mask over the whole clip.
        telling: Logits and draws of codebooks and frames that are not said, and sorting codes to draw one.
        guiding: The second pass in steps without guidance.
    """

    reading: bool = False
    folding: bool = False
    masking: bool = False
    telling: bool = False
    guiding: bool = False


PLAIN = Shortcuts()
SHORTCUTS = {
    "+ captions read once": Shortcuts(True),
    "+ short captions folded": Shortcuts(True, True),
    "+ attention in bands": Shortcuts(True, True, True),
    "+ one head, hidden frames, no sorting": Shortcuts(True, True, True, True),
    "+ last step in one pass": Shortcuts(True, True, True, True, True),
}


@torch.no_grad()
def plain_fill_in(
    model: Magnet,
    text: Tensor,
    text_mask: Tensor,
    frames: int,
    options: MaskedOptions,
    seeds: Sequence[int],
    shortcuts: Shortcuts = PLAIN,
) -> Tensor:
    """`fill_in` of whole clips, with the same codes in more time.

    Args:
        model: In evaluation mode.
        text: What the caption encoder gives.
        text_mask: Where there is text.
        frames: Length of the clips.
        options: How; its spans must lie on a grid, and there is no `top_k`.
        seeds: One a clip.
        shortcuts: Those to take.
    """
    network, codebooks = model.network, len(model.network.codes)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    codes = torch.full((len(seeds), codebooks, frames), network.special)
    caption = _Caption(network, text, text_mask, shortcuts)
    rule = SpanRule(model.config.span, options.arrangement, options.scoring)
    everywhere = torch.ones(len(seeds), frames, dtype=torch.bool)
    for codebook in range(codebooks):
        steps = options.steps_of(codebook)
        noise = torch.stack([torch.rand(steps, frames, generator=generator) for generator in generators], 1)
        guidances = options.guidance_of(cosine_schedule(steps))
        masked, chances = everywhere, torch.zeros(len(seeds), frames)
        for step, share in enumerate(cosine_schedule(steps)):
            if step:
                masked = rule.remask(chances, masked, everywhere, share)
            shown = codes.clone()
            shown[:, codebook].masked_fill_(masked, network.special)
            passes = 1 if shortcuts.guiding and guidances[step] == 1 else 2
            hidden = _hidden(network, shown.repeat(passes, 1, 1), caption, model.reach(codebook), shortcuts)
            places = places_of(masked if shortcuts.telling else everywhere)
            logits = _logits(network, hidden, codebook, places, guidances[step], shortcuts).float()
            temperature = max(COLDEST, options.temperature * (steps - 1 - step) / steps)
            sampler = Sampler(temperature, options.top_p)
            draw = sampler.pick if shortcuts.telling else partial(_sorted_pick, sampler)
            said = draw(logits.flatten(0, 1), noise[step].gather(1, places).flatten()).view(places.shape)
            likely = (logits / temperature).softmax(-1).gather(2, said[..., None])[..., 0]
            chances = chances.scatter(1, places, likely.float())
            new = codes[:, codebook].scatter(1, places, said)
            codes[:, codebook] = torch.where(masked, new, codes[:, codebook])
    return codes


class _Caption:
    """Captions as the layers attend to them, followed by as many that say nothing."""

    def __init__(self, network: CodeLM, text: Tensor, mask: Tensor, shortcuts: Shortcuts) -> None:
        self._network, self._text = network, text.repeat(2, *[1] * (text.dim() - 1))
        self._mask = torch.cat([mask, torch.zeros_like(mask)])
        self.memory: Memory | None = None
        if shortcuts.folding:
            self.memory = network.remember(text, mask)
        elif shortcuts.reading:
            self.memory = self._remember(network.text(text, mask), mask)

    def read(self) -> Memory:
        """The captions as the layers attend to them."""
        return self.memory or self._remember(self._network.text(self._text, self._mask), self._mask)

    def _remember(self, text: Tensor, mask: Tensor) -> Memory:
        """As `CrossTransformer.remember`, not folded."""
        counts = mask | ~mask.any(1, keepdim=True) if self._network.config.text_padding == "masked" else None
        each = [layer.text.remember(text) for layer in self._network.transformer.layers]
        return Memory(*([*items] for items in zip(*each, strict=True)), counts)


def _hidden(network: CodeLM, codes: Tensor, caption: _Caption, reach: int | None, shortcuts: Shortcuts) -> Tensor:
    """The outputs [B, T, D] of the transformer for all frames."""
    time = torch.arange(codes.shape[2])
    near = None if reach is None else (time[:, None] - time).abs() <= reach
    memory = caption.read()
    x = network.embed(codes)
    x = x + positions(x.shape[1], x.shape[2], x)
    for number, layer in enumerate(network.transformer.layers):
        if shortcuts.masking:
            x = layer.see(x, False, reach)
        else:
            heads = layer.attention.inputs_of(layer.attention_norm(x))
            x = x + layer.attention.join(F.scaled_dot_product_attention(*heads, attn_mask=near))
        x = layer.read(x, memory, number)
    return network.transformer.norm(x)


def _logits(
    network: CodeLM, hidden: Tensor, codebook: int, places: Tensor, guidance: float, shortcuts: Shortcuts
) -> Tensor:
    """The guided logits [B, M, V] of a codebook in the frames `places` [B, M]: all heads' of all frames are made."""
    if shortcuts.telling:
        chosen = pick(hidden, places.repeat(len(hidden) // len(places), 1))
        return network.heads[codebook](_guided(chosen, guidance, len(places)))
    logits = torch.stack([head(hidden) for head in network.heads], 1)
    return _guided(logits[:, codebook], guidance, len(places))


def _sorted_pick(sampler: Sampler, logits: Tensor, uniforms: Tensor) -> Tensor:
    """What `Sampler.pick` draws, with all codes of each row sorted, as the public code has them."""
    chances, order = (logits / sampler.temperature).softmax(-1).sort(-1, descending=True)
    kept = chances.masked_fill(chances.cumsum(-1) - chances >= sampler.top_p, 0)
    reached = torch.zeros_like(kept).scatter(-1, order, kept).cumsum(-1)
    return torch.searchsorted(reached, (uniforms * reached[:, -1])[:, None], right=True)[:, 0]


def _guided(both: Tensor, guidance: float, rows: int) -> Tensor:
    """What was made with captions, [:rows], led away from what was made without, if that was made too."""
    if len(both) == rows:
        return both
    told, untold = both.chunk(2)
    return untold + guidance * (told - untold)
