"""Our EnCodec beside the `encodec` package's with the same weights: `audiogen bench encodec`."""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from audiogen.codecs.encodec import EncodecCodec, EncodecConfig
from audiogen.extras import require
from audiogen.importers.encodec import canonical, fill
from audiogen.metrics import timing
from audiogen.metrics.tables import Row, Table
from audiogen.protocols import AudioTokens

SHORT_SECONDS = 5.0
CHUNK_SECONDS = 0.08
LONG_SECONDS = 60.0
KBPS = 6.0
PAIRS = 3


def bench_encodec(threads: int = 2, pairs: int = PAIRS) -> Table:
    """Our EnCodec beside the `encodec` package's with the same weights, over a minute and in small chunks.

    Args:
        threads: Of torch.
        pairs: Alternated measurements of each.
    """
    ours, theirs = _both()
    used, hop = ours.codebooks_at(KBPS), ours.spec.hop_length
    long, short = (noise(seconds, ours.spec.sample_rate)[None] for seconds in (LONG_SECONDS, SHORT_SECONDS))
    chunks = short.split(round(CHUNK_SECONDS * ours.spec.sample_rate), dim=-1)
    with timing.threads(threads), torch.inference_mode():
        tokens, frames = ours.encode(long, codebooks=used), theirs.encode(long)
        coded = theirs.encode(short)[0][0].split(chunks[0].shape[-1] // hop, dim=-1)
        contests = {
            ("encode", LONG_SECONDS): (lambda: ours.encode(long, codebooks=used), lambda: theirs.encode(long)),
            ("decode", LONG_SECONDS): (lambda: ours.decode(tokens), lambda: theirs.decode(frames)),
            ("encode in chunks", SHORT_SECONDS): (
                lambda: _encode_chunks(ours, chunks, used),
                lambda: [theirs.encode(chunk) for chunk in chunks],
            ),
            ("decode in chunks", SHORT_SECONDS): (
                lambda: _decode_chunks(ours, coded),
                lambda: [theirs.decode([(codes, None)]) for codes in coded],
            ),
        }
        rows = [_beside(name, seconds, *contest, pairs) for (name, seconds), contest in contests.items()]
    equal = int((tokens.codes == frames[0][0]).sum())
    units = {"ours": "RTF", "the package": "RTF", **dict.fromkeys(timing.ratio_columns("times ours"), "")}
    note = (
        f"{LONG_SECONDS:g} s of sound at 24 kHz and {KBPS:g} kbit/s, {SHORT_SECONDS:g} s in chunks of "
        f"{CHUNK_SECONDS * 1000:g} ms, random weights; {equal:,} of {tokens.codes.numel():,} codes are equal. The "
        f"package cannot stream: it codes each chunk as if it stood alone. {pairs} alternated pairs."
    )
    return Table("EnCodec", rows, units, f"{note} {timing.machine(threads)}")


def _beside(name: str, seconds: float, ours: Callable[[], object], theirs: Callable[[], object], pairs: int) -> Row:
    """A row of the time that two ways take for so many seconds of sound."""
    compared = timing.compare(ours, theirs, pairs)
    times = {"ours": compared.first / seconds, "the package": compared.second / seconds}
    return {"name": name, **times, **compared.figures("times ours")}


def _encode_chunks(codec: EncodecCodec, chunks: Sequence[Tensor], codebooks: int) -> None:
    state = codec.init_state()
    for chunk in chunks:
        _, state = codec.encode_step(chunk, state, codebooks=codebooks)


def _decode_chunks(codec: EncodecCodec, chunks: Sequence[Tensor]) -> None:
    state = codec.init_state()
    for chunk in chunks:
        _, state = codec.decode_step(AudioTokens.from_codes(codec.spec, chunk), state)


def _both() -> tuple[EncodecCodec, torch.nn.Module]:
    """Our EnCodec and the package's with the same weights."""
    theirs, ours = package_model(), EncodecCodec(EncodecConfig()).eval().requires_grad_(False)
    for layer in theirs.quantizer.vq.layers:
        layer._codebook.embed.normal_(0, 0.01)  # they are all zeros before training
    fill(ours, canonical(theirs.state_dict()), "the encodec package")
    return ours, theirs


def package_model() -> torch.nn.Module:
    """The `encodec` package's 24 kHz model at 6 kbit/s, untrained."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses a form of weight normalisation that torch is about to drop
        model = require("encodec", "train").EncodecModel.encodec_model_24khz(pretrained=False)
    model.set_target_bandwidth(KBPS)
    return model.eval()


def noise(seconds: float, sample_rate: int) -> Tensor:
    """Noise [1, N]: what a codec is given does not change how long it takes."""
    return 0.1 * torch.randn(1, round(seconds * sample_rate), generator=torch.Generator().manual_seed(0))
