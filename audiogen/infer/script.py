"""What is to be said, phone by phone, and how long each phone lasts: from a text, from a recording, from a file."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.files import write_json
from audiogen.text.frontend import LONGEST_TEXT, TextFrontend
from audiogen.text.phones import SILENCE
from audiogen.text.sentences import split_sentences

TimedPhone = tuple[str, float, float]


@dataclass(frozen=True)
class Line:
    """One sentence: its `phones`, and how many `seconds` each lasts, None where the voice decides."""

    phones: tuple[str, ...]
    seconds: tuple[float | None, ...]

    def frames(self, frame_rate: float) -> Tensor:
        """The seconds in frames [L], 0 where they are free; what rounding takes from one phone goes to the next."""
        return _rounded([None if seconds is None else seconds * frame_rate for seconds in self.seconds])


def read_text(text: str, frontend: TextFrontend, pause: float | None = None) -> Iterator[Line]:
    """The sentences of a text, passing over those that say nothing.

    Args:
        text: The text; parts in double brackets are phones.
        frontend: Reads it.
        pause: Seconds to pause at every break and after every sentence; by default the voice decides.

    Raises:
        AudiogenError: If the text is too long or says nothing at all.
    """
    if len(text) > LONGEST_TEXT:
        raise AudiogenError(f"the text has {len(text):,} characters; at most {LONGEST_TEXT:,} are spoken at a time")
    sentences = split_sentences(text)
    sayable = [sentence for sentence in sentences if any(map(str.isalnum, sentence))]
    for sentence in sayable or [text]:
        yield _line(frontend.timed_phones(sentence), pause)


def _line(phones: Sequence[tuple[str, float | None]], pause: float | None) -> Line:
    first, *others = phones
    paused = [first, *((p, pause if p == SILENCE and seconds is None else seconds) for p, seconds in others)]
    return _of_phones(paused)


def retimed(lines: Sequence[Line], timings: Sequence[TimedPhone]) -> list[Line]:
    """The same sentences with the durations and pauses of a reading of them.

    A pause between two sentences is shared by both; sentences that were read without a pause become one.

    Args:
        lines: What was read.
        timings: Its phones with their times, silence wherever it was heard; they leave no gaps.
    """
    ends, spoken = set(), 0
    for line in lines:
        spoken += sum(phone != SILENCE for phone in line.phones)
        ends.add(spoken)
    read: list[list[tuple[str, float]]] = [[]]
    said = 0
    for phone, start, end in timings:
        between = phone == SILENCE and 0 < said < spoken and said in ends
        read[-1].append((phone, (end - start) / (2 if between else 1)))
        if between:
            read.append([read[-1][-1]])
        said += phone != SILENCE
    return [_of_phones(line) for line in read]


def at_speed(natural: Tensor, preset: Tensor, speed: float) -> Tensor:
    """Frames [L] of phones that take `natural` [L] of them, `speed` times as fast; where `preset` [L] is not 0, those.

    The whole is as much shorter as it should be, to a frame, unless phones would have to last less than one.
    """
    pairs = zip(natural.tolist(), preset.tolist(), strict=True)
    return torch.where(preset > 0, preset, _rounded([None if fixed else frames / speed for frames, fixed in pairs]))


def _rounded(wanted: Sequence[float | None]) -> Tensor:
    """Whole numbers of at least 1 whose running sum stays close to that of `wanted`; 0 for None."""
    counts, owed = [], 0.0
    for value in wanted:
        count = 0 if value is None else max(1, floor(value + owed + 0.5))
        owed += 0.0 if value is None else value - count
        counts.append(count)
    return torch.tensor(counts, dtype=torch.long)


def without_first_pause(line: Line) -> Line:
    """The line as it goes on from something said before."""
    spoken = line.phones[0] == SILENCE
    return replace(line, phones=line.phones[spoken:], seconds=line.seconds[spoken:])


def write_lines(path: str | Path, lines: Sequence[Line]) -> None:
    """Write lines as JSON, `{"lines": [[["h", 0.08], ["ə", null], …], …]}`: symbols with seconds, null where free."""
    rows = [[[phone, seconds] for phone, seconds in zip(line.phones, line.seconds, strict=True)] for line in lines]
    write_json(path, {"lines": rows})


def read_lines(path: str | Path) -> list[Line]:
    """The lines that `write_lines` wrote, or a person.

    Raises:
        AudiogenError: If the file cannot be read or is of another form.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))["lines"]
        lines = [_of_phones([_phone(entry) for entry in row]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AudiogenError(f'{path} holds no lines of phones, as in {{"lines": [[["h", 0.08]]]}}: {error}') from None
    if not lines or not all(line.phones for line in lines):
        raise AudiogenError(f"{path} has nothing to say: it has no lines, or one without phones")
    return lines


def _of_phones(phones: Sequence[tuple[str, float | None]]) -> Line:
    return Line(tuple(phone for phone, _ in phones), tuple(seconds for _, seconds in phones))


def _phone(entry: Any) -> tuple[str, float | None]:
    phone, seconds = entry
    if not isinstance(phone, str) or not (seconds is None or 0 < float(seconds) < 60):
        raise ValueError(f"{entry!r} is no phone with its seconds")
    return phone, None if seconds is None else float(seconds)
