"""How often a voice gets lost in a text: words said nine times, equal neighbours, tongue twisters, very long sentences.

A voice that runs on, stops early, skips or repeats is heard by a recogniser of phones, which never saw where the model
believed it was: the pointer's own path would show nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from audiogen import api
from audiogen.checkpoint import load_bundle
from audiogen.infer.judge import PhoneJudge
from audiogen.infer.script import Line
from audiogen.infer.speak import Speaker
from audiogen.infer.speech import SpeakOptions
from audiogen.metrics.tables import Row, Table
from audiogen.metrics.text import EditCounts, bootstrap, edit_counts
from audiogen.score.clips import progress

UNITS = {
    "readings": "",
    "runaways": "",
    "early stops": "",
    "PER": "",
    "PER, 95 %": "",
    "skipped": "",
    "added": "",
}
NOTE = (
    "PER is our recogniser's phone error rate, with what it mishears; skipped and added phones are its deletions and"
    " insertions, by phones. A reading runs away if it takes over twice, and stops early if under half, the time that"
    " as many phones take in the voice's prompt, give or take half a second."
)
ODD, SLACK = 2.0, 0.5


@dataclass(frozen=True)
class Reading:
    """One sentence read once: what kind it is, how it was drawn, seconds it took and should have taken, errors."""

    kind: str
    top_p: float
    seconds: float
    expected: float
    counts: EditCounts

    @property
    def runs_away(self) -> bool:
        """Whether it takes far too long."""
        return self.seconds > ODD * self.expected + SLACK

    @property
    def stops_early(self) -> bool:
        """Whether it is over far too soon."""
        return self.seconds < self.expected / ODD - SLACK


def score_hard(
    sentences: Sequence[str],
    models: Sequence[str],
    recognizer: str = "recognizer-en",
    seeds: Iterable[int] = (0,),
    top_ps: Sequence[float] = (0.9,),
) -> Table:
    """Read hard sentences with several voices, seeds and cuts of the distribution, and count what goes wrong.

    Args:
        sentences: Each with its kind before a tab, e.g. `"twister\\tShe sells sea shells."`; each is read in one go.
        models: Names or folders of voice bundles, which speak in their default voice.
        recognizer: The bundle of a recogniser of phones.
        seeds: One reading for each.
        top_ps: One reading for each: how much of the distribution codes are drawn from.
    """
    judge, rows = PhoneJudge(load_bundle(recognizer, "recognizer")), []
    for name in models:
        rows += _rows(name, list(hard_readings(api.load(name, "acoustic"), judge, sentences, seeds, top_ps, name)))
    return Table(f"{len(sentences)} hard sentences", rows, UNITS, NOTE)


def hard_readings(
    speaker: Speaker,
    judge: PhoneJudge,
    sentences: Sequence[str],
    seeds: Iterable[int],
    top_ps: Sequence[float],
    label: str,
) -> Iterator[Reading]:
    """Every sentence read for every seed and cut; see `score_hard`. `label` stands beside the progress bar."""
    parted = [sentence.rpartition("\t") for sentence in sentences]
    phones = [speaker.frontend.phones(text) for _, _, text in parted]
    lines = [Line(tuple(spoken), (None,) * len(spoken)) for spoken in phones]
    for top_p, seed in product(top_ps, seeds):
        options = SpeakOptions(temperature=1.0, top_p=top_p, pointer_temperature=1.0)
        speeches = progress(speaker.sentences(lines, options=options, seed=seed), f"{label}, top-p {top_p:g}, {seed}")
        for (kind, _, _), spoken, speech in zip(parted, phones, speeches, strict=True):
            seconds = speech.wave.shape[-1] / speech.sample_rate
            counts = edit_counts(judge.known(spoken), judge.heard(speech.wave, speech.sample_rate))
            yield Reading(kind or "sentence", top_p, seconds, len(spoken) * speaker.seconds_a_phone(), counts)


def _rows(name: str, readings: Sequence[Reading]) -> list[Row]:
    """A row for all readings of a voice, then one for each kind and each cut."""
    rows = [hard_row(name, readings)]
    for field, title in (("kind", "{}"), ("top_p", "top-p {:g}")):
        values = list(dict.fromkeys(getattr(reading, field) for reading in readings))
        if len(values) > 1:
            parts = ([reading for reading in readings if getattr(reading, field) == value] for value in values)
            rows += [
                hard_row(f"{name}, {title.format(value)}", part) for value, part in zip(values, parts, strict=True)
            ]
    return rows


def hard_row(name: str, readings: Sequence[Reading]) -> Row:
    """One row of the table from some readings."""
    total = sum((reading.counts for reading in readings), EditCounts())
    rate = bootstrap([r.counts.errors for r in readings], [r.counts.length for r in readings])
    return {
        "name": name,
        "readings": len(readings),
        "runaways": sum(reading.runs_away for reading in readings),
        "early stops": sum(reading.stops_early for reading in readings),
        "PER": rate.value,
        "PER, 95 %": (rate.low, rate.high),
        "skipped": total.deletions / total.length,
        "added": total.insertions / total.length,
    }
