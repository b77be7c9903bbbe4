"""How fast a voice speaks: `audiogen bench say`."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from audiogen import api
from audiogen.infer.speak import TOGETHER, Speaker
from audiogen.infer.speech import SpeakOptions
from audiogen.metrics import timing
from audiogen.metrics.tables import Row, Table

SENTENCES = (
    "It is time.",
    "The garden gate was open when I came home.",
    "If the weather stays as it is, we could take the early train and walk along the river until lunch.",
)
REPEATS = 3
PAIRS = 5


def bench_say(model: str = "voice-en", threads: int = 1) -> Table:
    """Real-time factor, time to first audio and chunk latency of speaking, phonemisation included.

    Args:
        model: Name or folder of a voice bundle.
        threads: Of torch in each of the two workers of a speaker.
    """
    speaker = api.load(model, "acoustic")
    with timing.threads(threads):
        rows = [*(_streamed(speaker, text) for text in SENTENCES), *_ways_to_speak(speaker, model)]
    units = {"audio": "s", "real-time factor": "", "first audio": "ms", **timing.CHUNK_UNITS}
    units |= dict.fromkeys(timing.ratio_columns("times as fast"), "")
    note = (
        f"Medians of {REPEATS} runs; ways beside the usual one: medians of {PAIRS} alternated pairs on the middle"
        f" sentence, {TOGETHER} times for what is spoken together."
    )
    return Table(f"Speaking, {model}", rows, units, f"{note} {timing.machine(threads)}")


def _streamed(speaker: Speaker, text: str) -> Row:
    """The row of a sentence spoken in a stream."""
    runs, seconds = [], 0.0
    for _ in range(1 + REPEATS):  # the first is to warm up
        chunks: list[Tensor] = []
        runs.append(timing.time_stream(_kept(speaker.stream(text), chunks)))
        seconds = sum(chunk.shape[-1] for chunk in chunks) / speaker.sample_rate
    return {
        "name": f"{len(text.split())} words",
        "audio": seconds,
        "real-time factor": float(np.median([run.total for run in runs[1:]])) / seconds,
        "first audio": 1000 * float(np.median([run.first for run in runs[1:]])),
        **timing.latencies(runs[1:]),
    }


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
        compared = timing.compare(faster, plain, PAIRS)
        rows.append({"name": name, **compared.figures("times as fast")})
    return rows


def _kept(stream: Iterator[Tensor], chunks: list[Tensor]) -> Iterator[Tensor]:
    for chunk in stream:
        chunks.append(chunk)
        yield chunk
