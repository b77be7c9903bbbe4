"""How fast sound is made from captions: `audiogen bench magnet`, beside the plain form of the same algorithm."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.infer.causal import CausalOptions, generate
from audiogen.infer.masked import COLDEST, MaskedOptions, fill_in
from audiogen.infer.sampling import Sampler
from audiogen.metrics import timing
from audiogen.metrics.tables import Table
from audiogen.models.code_lm import CodeLM, CodeLMConfig
from audiogen.models.magnet import Magnet, MagnetConfig
from audiogen.models.musicgen import MusicGen, MusicGenConfig
from audiogen.nn.cross_transformer import positions
from audiogen.nn.int8 import to_int8
from audiogen.nn.spans import SpanRule, cosine_schedule
from audiogen.protocols import CodecSpec

CODEC = CodecSpec("encodec", 32_000, 640, num_codebooks=4, codebook_size=2048)
WORDS, PAIRS = 12, 3
FEW = (3, 2)  # steps by which both are checked to say the same


def bench_magnet(
    threads: int = 1,
    dim: int = 512,
    layers: int = 8,
    frames: int = 500,
    steps: tuple[int, ...] = (20, 10),
    pairs: int = PAIRS,
) -> Table:
    """Seconds that models of random weights take for one clip: MAGNeT, ours and plain, and MusicGen with its cache.

    That the two MAGNeTs say the same is checked first.

    Args:
        threads: Of torch.
        dim: Width.
        layers: Blocks.
        frames: Length of the clip.
        steps: Of the codebooks.
        pairs: Measurements of each.

    Raises:
        AudiogenError: If the two do not say the same codes.
    """
    torch.manual_seed(0)
    network = CodeLMConfig(dim, heads=dim // 64 or 1, layers=layers)
    model = Magnet(MagnetConfig(CODEC, network, window=frames)).eval()
    baseline = MusicGen(MusicGenConfig(CODEC, network, window=frames)).eval()
    text, mask = torch.randint(1, network.text_size, (1, WORDS, 8)), torch.ones(1, WORDS, dtype=torch.bool)
    options, nothing = MaskedOptions(steps), torch.zeros(1, CODEC.num_codebooks, frames, dtype=torch.long)
    given = torch.zeros(1, frames, dtype=torch.bool)

    @torch.inference_mode()
    def ours(options: MaskedOptions = options) -> Tensor:
        return fill_in(model, model.network.remember(text, mask), nothing, given, options, (0,))

    @torch.inference_mode()
    def plain(options: MaskedOptions = options) -> Tensor:
        return plain_fill_in(model, text, mask, frames, options, (0,))

    @torch.inference_mode()
    def causal() -> Tensor:
        return generate(baseline, baseline.network.remember(text, mask), frames, CausalOptions(), (0,))

    with timing.threads(threads):
        model.double()  # so that no draw falls on the other side of a boundary by rounding
        if not torch.equal(ours(MaskedOptions(FEW)), plain(MaskedOptions(FEW))):
            raise AudiogenError("the plain algorithm says other codes than ours")
        model.float()
        ratio = timing.compare(ours, plain, pairs)
        cached = timing.median_seconds(causal, pairs)
        to_int8(model.network.transformer)
        rounded = timing.median_seconds(ours, pairs)
    rows = [
        {"name": "MAGNeT", "seconds": ratio.first},
        {"name": "MAGNeT, plain", "seconds": ratio.second, "times": ratio.ratio, "quartiles": (ratio.low, ratio.high)},
        {"name": "MAGNeT, 8-bit weights", "seconds": rounded, "times": rounded / ratio.first},
        {"name": "MusicGen, cached", "seconds": cached, "times": cached / ratio.first},
    ]
    note = (
        f"{dim} x {layers} layers, {frames} frames of 4 codebooks of 2,048, steps {'/'.join(map(str, steps))}, the last"
        f" for the rest. The plain one says the same codes; {pairs} pairs in alternation. {timing.machine(threads)}"
    )
    return Table("MAGNeT, one clip", rows, {"seconds": "s", "times": "x", "quartiles": "x"}, note)


@torch.no_grad()
def plain_fill_in(
    model: Magnet, text: Tensor, text_mask: Tensor, frames: int, options: MaskedOptions, seeds: Sequence[int]
) -> Tensor:
    """`fill_in` of whole clips as the public code does it, every step in full: the same codes in more time.

    Args:
        model: In evaluation mode.
        text: What the caption encoder gives.
        text_mask: Where there is text.
        frames: Length of the clips.
        options: How; its spans must lie on a grid.
        seeds: One a clip.
    """
    network, codebooks = model.network, len(model.network.codes)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    codes = torch.full((len(seeds), codebooks, frames), network.special)
    text_mask = torch.cat([text_mask, torch.zeros_like(text_mask)])
    rule = SpanRule(model.config.span, options.arrangement, options.scoring)
    everywhere = torch.ones(len(seeds), frames, dtype=torch.bool)
    for codebook in range(codebooks):
        steps = options.steps_of(codebook)
        noise = torch.stack([torch.rand(steps, frames, generator=generator) for generator in generators], 1)
        masked, chances = everywhere, torch.zeros(len(seeds), frames)
        for step in range(steps):
            share = cosine_schedule(steps)[step]
            if step:
                masked = rule.remask(chances, masked, everywhere, share)
            shown = codes.clone()
            shown[:, codebook].masked_fill_(masked, network.special)
            logits = _plain_logits(
                network, shown.repeat(2, 1, 1), text.repeat(2, 1, 1), text_mask, model.reach(codebook)
            )
            told, untold = logits[:, codebook].chunk(2)
            guidance = share * options.guidance + (1 - share) * options.last_guidance
            logits = (untold + guidance * (told - untold)).float()
            temperature = max(COLDEST, options.temperature * (steps - 1 - step) / steps)
            sampler = Sampler(temperature, options.top_p, options.top_k)
            said = sampler.pick(logits.flatten(0, 1), noise[step].flatten()).view(masked.shape)
            chances = (logits / temperature).softmax(-1).gather(2, said[..., None])[..., 0]
            codes[:, codebook] = torch.where(masked, said, codes[:, codebook])
    return codes


def _plain_logits(network: CodeLM, codes: Tensor, text: Tensor, mask: Tensor, reach: int | None) -> Tensor:
    """All heads' logits [B, K, T, V] of all frames, attention under a whole mask and captions taken in anew."""
    time = torch.arange(codes.shape[2])
    near = None if reach is None else (time[:, None] - time).abs() <= reach
    text = network.text(text, mask)
    counts = mask | ~mask.any(1, keepdim=True) if network.config.text_padding == "masked" else None
    x = network.embed(codes)
    x = x + positions(x.shape[1], x.shape[2], x)
    for layer in network.transformer.layers:
        heads = layer.attention.inputs_of(layer.attention_norm(x))
        x = x + layer.attention.join(F.scaled_dot_product_attention(*heads, attn_mask=near))
        x = x + layer.text(layer.text_norm(x), *layer.text.remember(text), counts)
        x = x + layer.reduce(F.gelu(layer.expand(layer.feedforward_norm(x))))
    x = network.transformer.norm(x)
    return torch.stack([head(x) for head in network.heads], 1)
