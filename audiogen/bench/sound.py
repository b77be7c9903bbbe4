"""How fast sound is made from captions: `audiogen bench magnet`, beside the plain form of the same algorithm."""

from functools import partial

import torch
from torch import Tensor

from audiogen.bench.masked import PLAIN, SHORTCUTS, Shortcuts, plain_fill_in
from audiogen.errors import AudiogenError
from audiogen.infer.causal import CausalOptions, generate
from audiogen.infer.masked import MaskedOptions, fill_in
from audiogen.metrics import timing
from audiogen.metrics.tables import Row, Table
from audiogen.models.code_lm import CodeLMConfig
from audiogen.models.magnet import Magnet, MagnetConfig
from audiogen.models.musicgen import MusicGen, MusicGenConfig
from audiogen.nn.int8 import to_int8
from audiogen.protocols import CodecSpec

CODEC = CodecSpec("encodec", 32_000, 640, num_codebooks=4, codebook_size=2048)
WORDS, PAIRS = 12, 3
FEW = (3, 2)  # steps by which both are checked to say the same
LAST_SHORTCUT = "MAGNeT: + only frames that a change reaches"


def bench_magnet(
    threads: int = 1,
    dim: int = 512,
    layers: int = 8,
    frames: int = 500,
    steps: tuple[int, ...] = (20, 10),
    pairs: int = PAIRS,
) -> Table:
    """Seconds that models of random weights take for one clip: MAGNeT, plain and with our shortcuts, and MusicGen.

    That the plain MAGNeT and ours say the same is checked first.

    Args:
        threads: Of torch.
        dim: Width.
        layers: Blocks.
        frames: Length of the clip.
        steps: Of the codebooks.
        pairs: Measurements of each.

    Raises:
        AudiogenError: If they do not say the same codes.
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
    def plain(shortcuts: Shortcuts = PLAIN, options: MaskedOptions = options) -> Tensor:
        return plain_fill_in(model, text, mask, frames, options, (0,), shortcuts)

    @torch.inference_mode()
    def causal() -> Tensor:
        return generate(baseline, baseline.network.remember(text, mask), frames, CausalOptions(), (0,))

    with timing.threads(threads):
        model.double()  # so that no draw falls on the other side of a boundary by rounding
        if not torch.equal(ours(MaskedOptions(FEW)), plain(options=MaskedOptions(FEW))):
            raise AudiogenError("the plain algorithm says other codes than ours")
        model.float()
        ratio = timing.compare(ours, plain, pairs, warm_ups=0)
        ladder = {name: timing.seconds(partial(plain, shortcuts)) for name, shortcuts in SHORTCUTS.items()}
        cached = timing.median_seconds(causal, pairs, warm_ups=0)
        to_int8(model.network.transformer)
        rounded = timing.median_seconds(ours, pairs, warm_ups=0)
    rows = [
        {"name": "MAGNeT, plain", "seconds": ratio.second, "times": ratio.ratio, "quartiles": (ratio.low, ratio.high)},
        *_gains(ladder, ratio),
        {"name": "MAGNeT, 8-bit weights", "seconds": rounded, "times": rounded / ratio.first},
        {"name": "MusicGen, cached", "seconds": cached, "times": cached / ratio.first},
    ]
    note = (
        f"{dim} x {layers} layers, {frames} frames of 4 codebooks of 2,048, steps {'/'.join(map(str, steps))}, the last"
        f" for the rest. Each row has the shortcuts of those above it too, and its gain is over the row above; all say"
        f" the same codes but the last two rows. {pairs} pairs of the first and MAGNeT in alternation, one run of those"
        f" between. {timing.machine(threads)}"
    )
    return Table("MAGNeT, one clip", rows, {"seconds": "s", "times": "x", "quartiles": "x", "gain": "x"}, note)


def _gains(ladder: dict[str, float], ratio: timing.PairedRatio) -> list[Row]:
    """Rows of the shortcuts, by the seconds that each takes with those before it, down to MAGNeT with all."""
    rows, before = [], ratio.second
    for name, seconds in {**ladder, LAST_SHORTCUT: ratio.first}.items():
        rows.append({"name": name, "seconds": seconds, "times": seconds / ratio.first, "gain": before / seconds})
        before = seconds
    return rows
