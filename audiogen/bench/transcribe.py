"""How fast recordings and streams are heard, one and many at once: `audiogen bench transcribe`."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from audiogen import api, audio
from audiogen.bench.say import REPEATS, SENTENCES
from audiogen.infer.listen import Listener, step
from audiogen.metrics import timing
from audiogen.metrics.tables import Row, Table

LISTEN_CHUNKS = (0.08, 0.16, 0.32, 0.64)
STREAMS = (1, 8, 32)
WORD_UNITS = {"word shown, median": "ms", "word shown, 95 %": "ms"}


def bench_transcribe(model: str = "recognizer-en", voice: str = "voice-en", threads: int = 2) -> Table:
    """Real-time factor and chunk latency of listening: a whole file, chunks of several sizes, many streams at once.

    Beside them the same model without memory, run again over the whole of its left context for every chunk it settles,
    as an offline model has to be to stream: what remembering spares.

    Args:
        model: Name or folder of a recogniser's bundle.
        voice: The voice bundle that speaks what is listened to.
        threads: Of torch.
    """
    listener = api.load(model, "recognizer")
    speech = api.load(voice, "acoustic").synthesize(" ".join(SENTENCES))
    wave = audio.resample(speech.wave, speech.sample_rate, listener.sample_rate)[0]
    seconds = len(wave) / listener.sample_rate
    with timing.threads(threads):
        whole = timing.median_seconds(lambda: listener.transcribe(wave), REPEATS) / seconds
        rows: list[Row] = [{"name": "whole file", "real-time factor": whole}]
        for chunk in LISTEN_CHUNKS:
            rows.append(_streamed(f"chunks of {chunk * 1000:g} ms", listener, wave, chunk))
        rows[1] |= _word_delays(listener, wave, LISTEN_CHUNKS[0])
        for count in STREAMS:
            rows.append(_together(listener, wave, count))
        rows.append(_streamed("without memory", listener.without_memory(), wave, LISTEN_CHUNKS[0]))
    units = {"real-time factor": "", **timing.CHUNK_UNITS, **WORD_UNITS}
    note = (
        f"{seconds:.1f} s of speech; the real-time factor of streams at once is that of all together. Without memory, "
        f"a chunk is {_chunk_seconds(listener):g} s, as the model takes it, with as much before it as the model sees. "
        "A word is shown to stay so long after it has ended, where sound comes as fast as it is spoken."
    )
    return Table(f"Listening, {model}", rows, units, f"{note} {timing.machine(threads)}")


def _streamed(name: str, listener: Listener, wave: Tensor, chunk: float) -> Row:
    """The row of one stream that comes in pieces of `chunk` seconds."""
    size = round(chunk * listener.sample_rate)
    runs = [timing.time_stream(_heard(listener, wave, size)) for _ in range(REPEATS)]
    factor = float(np.median([run.total for run in runs])) / (len(wave) / listener.sample_rate)
    return {"name": name, "real-time factor": factor, **timing.latencies(runs)}


def _heard(listener: Listener, wave: Tensor, size: int) -> Iterator[str]:
    """The text after every piece of a stream."""
    session = listener.session()
    for piece in wave.split(size):
        session.feed(piece)
        yield session.partial().text
    session.finish()


def _word_delays(listener: Listener, wave: Tensor, chunk: float) -> Row:
    """How long after its end each word is there to stay, where chunks come as fast as they are spoken."""
    session, size, shown = listener.session(), round(chunk * listener.sample_rate), []
    for piece in wave.split(size):
        took = timing.seconds(lambda piece=piece: session.feed(piece))
        shown.append((session.seconds + took, session.partial().words))
    took = timing.seconds(session.finish)
    final = session.partial().words
    shown.append((session.seconds + took, final))
    delays = []
    for count, word in enumerate(final, start=1):
        said = [one.word for one in final[:count]]
        stays = len(shown)
        while stays and [one.word for one in shown[stays - 1][1][:count]] == said:
            stays -= 1
        delays.append(shown[stays][0] - word.end_s)
    values = 1000 * np.percentile(delays or [np.nan], [50, 95])
    return {name: float(value) for name, value in zip(WORD_UNITS, values, strict=True)}


def _together(listener: Listener, wave: Tensor, count: int) -> Row:
    """The row of so many streams heard in one step."""
    run = timing.time_stream(_heard_together(listener, wave, count))
    factor = run.total / (len(wave) / listener.sample_rate)
    return {"name": f"{count} streams at once", "real-time factor": factor, **timing.latencies([run])}


def _heard_together(listener: Listener, wave: Tensor, count: int) -> Iterator[list[str]]:
    """The texts of `count` streams after every chunk of the model."""
    sessions = [listener.session() for _ in range(count)]
    for piece in wave.split(round(_chunk_seconds(listener) * listener.sample_rate)):
        for session in sessions:
            session.take(piece)
        if sessions[0].ready:
            step(sessions)
        yield [session.partial().text for session in sessions]


def _chunk_seconds(listener: Listener) -> float:
    """What the model takes in at once."""
    return listener.model.missing(listener.model.init_state(1, listener.options.lookahead)) / listener.sample_rate
