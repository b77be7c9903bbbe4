"""How fast a codec is, beside EnCodec: `audiogen bench codec`."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from audiogen import api
from audiogen.bench.encodec import CHUNK_SECONDS, noise, package_model
from audiogen.errors import AudiogenError
from audiogen.metrics import timing
from audiogen.metrics.memory import peak_memory
from audiogen.metrics.tables import Row, Table
from audiogen.protocols import Codec

SECONDS = 5.0
REPEATS = 3


def bench_codec(model: str = "codec-24khz", threads: int = 1, pairs: int = timing.PAIRS) -> Table:
    """Speed, chunk latency and memory of a codec, beside the `encodec` package's 24 kHz model in the same run.

    Args:
        model: Name or folder of a codec's bundle.
        threads: Of torch.
        pairs: Alternated measurements of ours and EnCodec.
    """
    codec = api.load(model, "codec").codec
    wave = noise(SECONDS, codec.spec.sample_rate)[None]
    with timing.threads(threads), torch.inference_mode():
        tokens = codec.encode(wave)
        row = {
            "name": model,
            "encode": timing.median_seconds(lambda: codec.encode(wave)) / SECONDS,
            "decode": timing.median_seconds(lambda: codec.decode(tokens)) / SECONDS,
            **_chunk_figures(lambda: _codec_stream(codec, wave)),
            "memory": peak_memory(_code, model, SECONDS, threads),
        }
        rows, note = _beside_encodec(lambda: codec.decode(codec.encode(wave)), row, pairs, threads)
    factors, ratios = ("encode", "decode", "both"), timing.ratio_columns("times ours")
    units = {**dict.fromkeys(factors, "RTF"), **timing.CHUNK_UNITS, "memory": "MiB", **dict.fromkeys(ratios, "")}
    note = (
        f"{SECONDS:g} s of sound; streamed in chunks of {CHUNK_SECONDS * 1000:g} ms, encoded and decoded. "
        f"Memory is what loading, encoding and decoding adds to the peak of a process that has torch loaded. {note}"
    )
    return Table("Codec", rows, units, f"{note} {timing.machine(threads)}")


def _beside_encodec(ours: Callable[[], Tensor], row: Row, pairs: int, threads: int) -> tuple[list[Row], str]:
    """The rows of ours and of EnCodec, timed in alternation, and what to note."""
    try:
        encodec = package_model()
    except AudiogenError as error:
        row["both"] = timing.median_seconds(ours) / SECONDS
        return [row], f"EnCodec is not compared: {error}."
    wave = noise(SECONDS, encodec.sample_rate)[None]
    compared = timing.compare(ours, lambda: encodec.decode(encodec.encode(wave)), pairs)
    row["both"] = compared.first / SECONDS
    frames = encodec.encode(wave)
    beside = {
        "name": "EnCodec 24 kHz, 6 kbit/s",
        "encode": timing.median_seconds(lambda: encodec.encode(wave)) / SECONDS,
        "decode": timing.median_seconds(lambda: encodec.decode(frames)) / SECONDS,
        "both": compared.second / SECONDS,
        **_chunk_figures(lambda: _package_stream(encodec, wave)),
        "memory": peak_memory(_package_code, SECONDS, threads),
        **compared.figures("times ours"),
    }
    note = "EnCodec has random weights, which take as long; it cannot stream and codes each chunk as if it stood alone"
    return [row, beside], f"{note}; {pairs} alternated pairs."


def _chunk_figures(stream: Callable[[], Iterator[Tensor]]) -> Row:
    timing.time_stream(stream())
    return timing.latencies([timing.time_stream(stream()) for _ in range(REPEATS)])


def _codec_stream(codec: Codec, wave: Tensor) -> Iterator[Tensor]:
    """Encode and decode wave [1, 1, N] chunk by chunk."""
    state = codec.init_state(1)
    for chunk in wave.split(round(CHUNK_SECONDS * codec.spec.sample_rate), dim=-1):
        tokens, state = codec.encode_step(chunk, state)
        decoded, state = codec.decode_step(tokens, state)
        yield decoded


def _package_stream(encodec: torch.nn.Module, wave: Tensor) -> Iterator[Tensor]:
    """Encode and decode wave [1, 1, N] chunk by chunk, each by itself."""
    for chunk in wave.split(round(CHUNK_SECONDS * encodec.sample_rate), dim=-1):
        yield encodec.decode(encodec.encode(chunk))


def _code(model: str, seconds: float, threads: int) -> None:
    """Load a codec, encode and decode."""
    torch.set_num_threads(threads)
    codec = api.load(model, "codec").codec
    with torch.inference_mode():
        codec.decode(codec.encode(noise(seconds, codec.spec.sample_rate)[None]))


def _package_code(seconds: float, threads: int) -> None:
    """The same with the `encodec` package's."""
    torch.set_num_threads(threads)
    encodec = package_model()
    with torch.inference_mode():
        encodec.decode(encodec.encode(noise(seconds, encodec.sample_rate)[None]))
