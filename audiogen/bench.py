"""How fast the shipped models are on this machine: `audiogen bench`.

A real-time factor is compute time by audio time. Latencies are wall-clock seconds of the call that gives a chunk.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from audiogen import api
from audiogen.codecs.encodec import EncodecCodec, EncodecConfig
from audiogen.errors import AudiogenError
from audiogen.extras import require
from audiogen.importers.encodec import canonical, fill
from audiogen.infer.speak import TOGETHER, Speaker
from audiogen.infer.speech import SpeakOptions
from audiogen.metrics import timing
from audiogen.metrics.memory import peak_memory
from audiogen.metrics.tables import Row, Table
from audiogen.protocols import AudioTokens, Codec

CODEC_SECONDS = 5.0
CODEC_CHUNK = 0.08
ENCODEC_SECONDS = 60.0
ENCODEC_KBPS = 6.0
ENCODEC_PAIRS = 3
SENTENCES = (
    "It is time.",
    "The garden gate was open when I came home.",
    "If the weather stays as it is, we could take the early train and walk along the river until lunch.",
)
REPEATS = 3
SAY_PAIRS = 5
CHUNK_UNITS = {"chunk, median": "ms", "chunk, 95 %": "ms", "chunk, longest": "ms"}


def bench_codec(model: str = "codec-24khz", threads: int = 1, pairs: int = timing.PAIRS) -> Table:
    """Speed, chunk latency and memory of a codec, beside the `encodec` package's 24 kHz model in the same run.

    Args:
        model: Name or folder of a codec's bundle.
        threads: Of torch.
        pairs: Alternated measurements of ours and EnCodec.
    """
    codec = api.load(model, "codec").codec
    wave = _noise(CODEC_SECONDS, codec.spec.sample_rate)[None]
    with timing.threads(threads), torch.inference_mode():
        tokens = codec.encode(wave)
        row = {
            "name": model,
            "encode": timing.median_seconds(lambda: codec.encode(wave)) / CODEC_SECONDS,
            "decode": timing.median_seconds(lambda: codec.decode(tokens)) / CODEC_SECONDS,
            **_chunk_figures(lambda: _codec_stream(codec, wave)),
            "memory": peak_memory(_code, model, CODEC_SECONDS, threads),
        }
        rows, note = _beside_encodec(lambda: codec.decode(codec.encode(wave)), row, pairs, threads)
    factors = dict.fromkeys(("encode", "decode", "both"), "RTF")
    units = {**factors, **CHUNK_UNITS, "memory": "MiB", **dict.fromkeys(_RATIO, "")}
    note = (
        f"{CODEC_SECONDS:g} s of sound; streamed in chunks of {CODEC_CHUNK * 1000:g} ms, encoded and decoded. "
        f"Memory is what loading, encoding and decoding adds to the peak of a process that has torch loaded. {note}"
    )
    return Table("Codec", rows, units, f"{note} {timing.machine(threads)}")


def bench_encodec(threads: int = 2, pairs: int = ENCODEC_PAIRS) -> Table:
    """Our EnCodec beside the `encodec` package's with the same weights, over a minute and in small chunks.

    Args:
        threads: Of torch.
        pairs: Alternated measurements of each.
    """
    ours, theirs = _encodec_pair()
    used, hop = ours.codebooks_at(ENCODEC_KBPS), ours.spec.hop_length
    long, short = (_noise(seconds, ours.spec.sample_rate)[None] for seconds in (ENCODEC_SECONDS, CODEC_SECONDS))
    chunks = short.split(round(CODEC_CHUNK * ours.spec.sample_rate), dim=-1)
    with timing.threads(threads), torch.inference_mode():
        tokens, frames = ours.encode(long, codebooks=used), theirs.encode(long)
        coded = theirs.encode(short)[0][0].split(chunks[0].shape[-1] // hop, dim=-1)
        contests = {
            ("encode", ENCODEC_SECONDS): (lambda: ours.encode(long, codebooks=used), lambda: theirs.encode(long)),
            ("decode", ENCODEC_SECONDS): (lambda: ours.decode(tokens), lambda: theirs.decode(frames)),
            ("encode in chunks", CODEC_SECONDS): (
                lambda: _encode_chunks(ours, chunks, used),
                lambda: [theirs.encode(chunk) for chunk in chunks],
            ),
            ("decode in chunks", CODEC_SECONDS): (
                lambda: _decode_chunks(ours, coded),
                lambda: [theirs.decode([(codes, None)]) for codes in coded],
            ),
        }
        rows = [_beside(name, seconds, *contest, pairs) for (name, seconds), contest in contests.items()]
    equal = int((tokens.codes == frames[0][0]).sum())
    units = {"ours": "RTF", "the package": "RTF", **dict.fromkeys(_RATIO, "")}
    note = (
        f"{ENCODEC_SECONDS:g} s of sound at 24 kHz and {ENCODEC_KBPS:g} kbit/s, {CODEC_SECONDS:g} s in chunks of "
        f"{CODEC_CHUNK * 1000:g} ms, random weights; {equal:,} of {tokens.codes.numel():,} codes are equal. The "
        f"package cannot stream: it codes each chunk as if it stood alone. {pairs} alternated pairs."
    )
    return Table("EnCodec", rows, units, f"{note} {timing.machine(threads)}")


def bench_say(model: str = "voice-en", threads: int = 1) -> Table:
    """Real-time factor, time to first audio and chunk latency of speaking, phonemisation included.

    Args:
        model: Name or folder of a voice bundle.
        threads: Of torch in each of the two workers of a speaker.
    """
    speaker, rows = api.load(model, "acoustic"), []
    with timing.threads(threads):
        for text in SENTENCES:
            runs, seconds = [], 0.0
            for _ in range(1 + REPEATS):  # the first is to warm up
                chunks: list[Tensor] = []
                runs.append(timing.time_stream(_kept(speaker.stream(text), chunks)))
                seconds = sum(chunk.shape[-1] for chunk in chunks) / speaker.sample_rate
            rows.append(
                {
                    "name": f"{len(text.split())} words",
                    "audio": seconds,
                    "real-time factor": float(np.median([run.total for run in runs[1:]])) / seconds,
                    "first audio": 1000 * float(np.median([run.first for run in runs[1:]])),
                    **latencies(runs[1:]),
                }
            )
        rows += _ways_to_speak(speaker, model)
    units = {"audio": "s", "real-time factor": "", "first audio": "ms", **CHUNK_UNITS, **dict.fromkeys(_FASTER, "")}
    note = (
        f"Medians of {REPEATS} runs; ways beside the usual one: medians of {SAY_PAIRS} alternated pairs on the middle"
        f" sentence, {TOGETHER} times for what is spoken together."
    )
    return Table(f"Speaking, {model}", rows, units, f"{note} {timing.machine(threads)}")


def _ways_to_speak(speaker: Speaker, model: str) -> list[Row]:
    """How much faster weights of 8 bits are, and sentences spoken together, than one sentence of full weights."""
    text, options = SENTENCES[len(SENTENCES) // 2], SpeakOptions(temperature=0, pointer_temperature=0)
    lines, small = speaker.synthesize(text, options=options).lines, api.load(model, "acoustic")
    small.to_int8()
    ways = {
        "8-bit weights": (lambda: small.synthesize(lines), lambda: speaker.synthesize(lines)),
        "spoken together": (
            lambda: speaker.synthesize(lines * TOGETHER),
            lambda: [speaker.synthesize(lines) for _ in range(TOGETHER)],
        ),
    }
    rows = []
    for name, (faster, plain) in ways.items():
        compared = timing.compare(faster, plain, SAY_PAIRS)
        rows.append({"name": name, **dict(zip(_FASTER, (compared.ratio, compared.low, compared.high), strict=True))})
    return rows


_FASTER = ("times as fast", "times as fast, lower quartile", "times as fast, upper quartile")
_RATIO = ("times ours", "times ours, lower quartile", "times ours, upper quartile")


def _beside_encodec(ours: Callable[[], Tensor], row: Row, pairs: int, threads: int) -> tuple[list[Row], str]:
    """The rows of ours and of EnCodec, timed in alternation, and what to note."""
    try:
        encodec = _encodec()
    except AudiogenError as error:
        row["both"] = timing.median_seconds(ours) / CODEC_SECONDS
        return [row], f"EnCodec is not compared: {error}."
    wave = _noise(CODEC_SECONDS, encodec.sample_rate)[None]
    compared = timing.compare(ours, lambda: encodec.decode(encodec.encode(wave)), pairs)
    row["both"] = compared.first / CODEC_SECONDS
    frames = encodec.encode(wave)
    beside = {
        "name": "EnCodec 24 kHz, 6 kbit/s",
        "encode": timing.median_seconds(lambda: encodec.encode(wave)) / CODEC_SECONDS,
        "decode": timing.median_seconds(lambda: encodec.decode(frames)) / CODEC_SECONDS,
        "both": compared.second / CODEC_SECONDS,
        **_chunk_figures(lambda: _package_stream(encodec, wave)),
        "memory": peak_memory(_package_code, CODEC_SECONDS, threads),
        **dict(zip(_RATIO, (compared.ratio, compared.low, compared.high), strict=True)),
    }
    note = "EnCodec has random weights, which take as long; it cannot stream and codes each chunk as if it stood alone"
    return [row, beside], f"{note}; {pairs} alternated pairs."


def _encodec() -> torch.nn.Module:
    """The `encodec` package's 24 kHz model at 6 kbit/s, untrained."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses a form of weight normalisation that torch is about to drop
        model = require("encodec", "train").EncodecModel.encodec_model_24khz(pretrained=False)
    model.set_target_bandwidth(ENCODEC_KBPS)
    return model.eval()


def _code(model: str, seconds: float, threads: int) -> None:
    """Load a codec, encode and decode."""
    torch.set_num_threads(threads)
    codec = api.load(model, "codec").codec
    with torch.inference_mode():
        codec.decode(codec.encode(_noise(seconds, codec.spec.sample_rate)[None]))


def _package_code(seconds: float, threads: int) -> None:
    """The same with the `encodec` package's."""
    torch.set_num_threads(threads)
    encodec = _encodec()
    with torch.inference_mode():
        encodec.decode(encodec.encode(_noise(seconds, encodec.sample_rate)[None]))


def _package_stream(encodec: torch.nn.Module, wave: Tensor) -> Iterator[Tensor]:
    """Encode and decode wave [1, 1, N] chunk by chunk, each by itself."""
    for chunk in wave.split(round(CODEC_CHUNK * encodec.sample_rate), dim=-1):
        yield encodec.decode(encodec.encode(chunk))


def _codec_stream(codec: Codec, wave: Tensor) -> Iterator[Tensor]:
    """Encode and decode wave [1, 1, N] chunk by chunk."""
    state = codec.init_state(1)
    for chunk in wave.split(round(CODEC_CHUNK * codec.spec.sample_rate), dim=-1):
        tokens, state = codec.encode_step(chunk, state)
        decoded, state = codec.decode_step(tokens, state)
        yield decoded


def _encodec_pair() -> tuple[EncodecCodec, torch.nn.Module]:
    """Our EnCodec and the package's with the same weights."""
    theirs, ours = _encodec(), EncodecCodec(EncodecConfig()).eval().requires_grad_(False)
    for layer in theirs.quantizer.vq.layers:
        layer._codebook.embed.normal_(0, 0.01)  # they are all zeros before training
    fill(ours, canonical(theirs.state_dict()), "the encodec package")
    return ours, theirs


def _beside(name: str, seconds: float, ours: Callable[[], object], theirs: Callable[[], object], pairs: int) -> Row:
    """A row of the time that two ways take for so many seconds of sound."""
    compared = timing.compare(ours, theirs, pairs)
    ratios = dict(zip(_RATIO, (compared.ratio, compared.low, compared.high), strict=True))
    return {"name": name, "ours": compared.first / seconds, "the package": compared.second / seconds, **ratios}


def _encode_chunks(codec: EncodecCodec, chunks: Sequence[Tensor], codebooks: int) -> None:
    state = codec.init_state()
    for chunk in chunks:
        _, state = codec.encode_step(chunk, state, codebooks=codebooks)


def _decode_chunks(codec: EncodecCodec, chunks: Sequence[Tensor]) -> None:
    state = codec.init_state()
    for chunk in chunks:
        _, state = codec.decode_step(AudioTokens.from_codes(codec.spec, chunk), state)


def _chunk_figures(stream: Callable[[], Iterator[Tensor]]) -> Row:
    timing.time_stream(stream())
    return latencies([timing.time_stream(stream()) for _ in range(REPEATS)])


def latencies(runs: list[timing.StreamTiming]) -> Row:
    """Milliseconds a chunk takes, over all chunks of the runs."""
    chunks = list(chain.from_iterable(run.chunks for run in runs))
    values = 1000 * np.percentile(chunks, [50, 95, 100])
    return {name: float(value) for name, value in zip(CHUNK_UNITS, values, strict=True)}


def _kept(stream: Iterator[Tensor], chunks: list[Tensor]) -> Iterator[Tensor]:
    for chunk in stream:
        chunks.append(chunk)
        yield chunk


def _noise(seconds: float, sample_rate: int) -> Tensor:
    """Noise [1, N]: what a codec is given does not change how long it takes."""
    return 0.1 * torch.randn(1, round(seconds * sample_rate), generator=torch.Generator().manual_seed(0))
