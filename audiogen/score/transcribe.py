"""How well a recogniser reads, beside an outside one on the same clips, and whether streaming changes what it reads."""

import time
from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor

from audiogen import api
from audiogen.checkpoint import load_bundle
from audiogen.infer.listen import Listener, ListenOptions
from audiogen.metrics.judges import OutsideRecognizer
from audiogen.metrics.tables import Row, Table
from audiogen.metrics.text import character_error_rate, word_error_rate
from audiogen.score.clips import Clip, corpus_clips, progress

UNITS = {"clips": "", "CER": "", "CER, 95 %": "", "WER": "", "WER, 95 %": "", "real-time factor": ""}
CORPORA = ("kathleen_en", "librispeech_mini", "fsdd_digits")
STREAM_FRAMES = (1, 7, 40)
FRAME_SECONDS = 0.01
STREAMED_CLIPS = 5
LABEL_BEAM = 8


def score_transcribe(
    model: str = "recognizer-en",
    corpora: Sequence[str] = CORPORA,
    data_root: str | None = None,
    limit: int | None = None,
    every_way: bool = False,
) -> Table:
    """Score a recogniser on the test clips of some corpora, beside PocketSphinx.

    Args:
        model: Name or folder of a recogniser's bundle.
        corpora: Corpora under the data root, or folders of recordings with transcripts.
        data_root: Where the corpora lie; without it `$AUDIOGEN_DATA`.
        limit: At most so many clips of each.
        every_way: Whether to add rows for every look-ahead, head and search it has, and for the model without memory.
    """
    listener, outside = api.load(model, "recognizer"), OutsideRecognizer()
    ways = _ways(model) if every_way else {}
    rows, equal, streamed = [], 0, 0
    for corpus in corpora:
        clips = corpus_clips(corpus, "test", data_root, listener.sample_rate, limit)
        rows.append(reader_row(f"{corpus}: ours", clips, lambda clip: listener.transcribe(clip.wave).text))
        for way, other in ways.items():
            rows.append(
                reader_row(f"{corpus}: {way}", clips, lambda clip, other=other: other.transcribe(clip.wave).text)
            )
        name = f"{corpus}: {outside.name}"
        rows.append(reader_row(name, clips, lambda clip: outside.transcribe(clip.wave, clip.sample_rate)))
        for clip in progress(clips[:STREAMED_CLIPS], f"{corpus}: streaming"):
            equal += streams_equal(listener, clip.wave)
            streamed += 1
    chunks = ", ".join(map(str, STREAM_FRAMES))
    note = (
        f"Streamed in chunks of {chunks} frames of 10 ms, {equal} of {streamed} clips give the very text of the whole."
    )
    return Table("Recognition of held-out clips", rows, UNITS, note)


def _ways(model: str) -> dict[str, Listener]:
    """Every way to listen with a recogniser, by a name for it."""
    bundle = load_bundle(model, "recognizer")
    heads, beams = (("ctc",), (1,)) if "words" in bundle.assets else (bundle.model.heads, (1, LABEL_BEAM))
    ways = {}
    for head, beam, lookahead in product(heads, beams, sorted(bundle.model.config.lookaheads)):
        name = f"{head}, beam {beam}, look-ahead {lookahead}"
        ways[name] = Listener(bundle, ListenOptions(head=head, label_beam=beam, lookahead=lookahead))
        if bundle.model.streams and beam == 1:
            ways[f"{name}, without memory"] = ways[name].without_memory()
    return ways


def reader_row(name: str, clips: Sequence[Clip], read: Callable[[Clip], str]) -> Row:
    """Read every clip and give error rates with intervals, and compute time by audio time."""
    begun = time.perf_counter()
    heard = [read(clip) for clip in progress(clips, name)]
    seconds = time.perf_counter() - begun
    said = [clip.text for clip in clips]
    return {**error_figures(name, said, heard), "real-time factor": seconds / sum(clip.seconds for clip in clips)}


def error_figures(name: str, said: Sequence[str], heard: Sequence[str]) -> Row:
    """The error rates of transcripts with their 95 % intervals, as a row."""
    characters, words = character_error_rate(said, heard), word_error_rate(said, heard)
    return {
        "name": name,
        "clips": len(said),
        "CER": characters.value,
        "CER, 95 %": (characters.low, characters.high),
        "WER": words.value,
        "WER, 95 %": (words.low, words.high),
    }


@torch.inference_mode()
def streams_equal(listener: Listener, wave: Tensor) -> bool:
    """Whether the text of wave [1, N] is the same in one piece and in chunks of each of `STREAM_FRAMES`."""
    whole = listener.transcribe(wave).text
    frame = round(FRAME_SECONDS * listener.sample_rate)
    texts = [list(listener.stream(wave[0].split(frames * frame)))[-1].text for frames in STREAM_FRAMES]
    return all(text == whole for text in texts)
