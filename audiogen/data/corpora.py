"""Corpora on disk as lhotse cuts: one cut a clip, one supervision with its text, speaker and timings.

A corpus is a folder in one of two forms:

- *manifest*: `manifest.jsonl`, one JSON object a line with `id`, `audio` (path relative to the folder) and `split`;
  for speech also `text`, `speaker`, `language`, and where they are known `words` and `phones` as
  `[label, start_s, end_s]`, the phones as symbols of our inventory or as ARPAbet. Timings may also lie in
  `alignments.jsonl` beside it. Every other key is kept in the cut's `custom`.
- *transcripts*: sound files (in the folder or in `wavs/`) with `metadata.csv` (`id|text` or `id|text|spoken text`)
  or `transcripts.txt` (`id text`). A hash of the id puts 90 % of the clips in `train`, 5 % each in `valid` and `test`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from audiogen import audio
from audiogen.errors import AudiogenError, unknown_name
from audiogen.extras import require
from audiogen.text.phones import SILENCE, from_arpabet

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut
    from lhotse.supervision import AlignmentItem

DATA_VARIABLE = "AUDIOGEN_DATA"
MANIFEST, ALIGNMENTS = "manifest.jsonl", "alignments.jsonl"
TRANSCRIPTS = ("metadata.csv", "transcripts.txt")
SPLITS = ("train", "valid", "test")
SUFFIXES = (".wav", ".flac", ".ogg")
_SUPERVISION_KEYS = ("text", "speaker", "language", "gender")
_TIMING_KEYS = {"words": "word", "phones": "phone"}
_DERIVED_KEYS = ("id", "audio", "split", "duration_s", "sampling_rate", "channels")


def data_root(folder: str | Path | None = None) -> Path:
    """The folder that holds the corpora: `folder` if given, else `$AUDIOGEN_DATA`.

    Raises:
        AudiogenError: If neither is set, or if it is no folder.
    """
    folder = folder or os.environ.get(DATA_VARIABLE)
    if not folder:
        raise AudiogenError(f"where the corpora lie is not known; set {DATA_VARIABLE}=<folder> or data_root=<folder>")
    if not Path(folder).is_dir():
        raise AudiogenError(
            f"the data folder {folder} does not exist; set {DATA_VARIABLE} or data_root to the right one"
        )
    return Path(folder)


def load_cuts(
    corpora: str | Sequence[str],
    root: str | Path | None = None,
    split: str = "train",
    min_duration: float = 0.0,
    max_duration: float = float("inf"),
) -> CutSet:
    """The clips of one split of one or several corpora, in the order of the manifests.

    Args:
        corpora: Names of folders under the data root, or paths; `"kathleen_en*3"` takes a corpus three times.
        root: The data root; without it `$AUDIOGEN_DATA`.
        split: `"train"`, `"valid"` or `"test"`.
        min_duration: Shorter clips are left out, seconds.
        max_duration: Longer clips are left out, seconds.

    Returns:
        Cuts whose ids are `<corpus>-<id>`. `cut.custom["corpus"]` names the corpus; timings are in
        `cut.supervisions[0].alignment["word"]` and `["phone"]`, the phones as symbols of our inventory.

    Raises:
        AudiogenError: If a corpus, split or sound file is missing, if a line cannot be read, or if nothing is left.
    """
    lhotse = require("lhotse", "train")
    names = [corpora] if isinstance(corpora, str) else list(corpora)
    cuts = [cut for name in names for cut in _corpus_cuts(name, root, split)]
    cuts = [cut for cut in cuts if min_duration <= cut.duration <= max_duration]
    if not cuts:
        raise AudiogenError(
            f"no clips of {min_duration:g} to {max_duration:g} s in split {split!r} of {', '.join(names)}"
        )
    return lhotse.CutSet.from_cuts(cuts)


def read_wave(cut: MonoCut, sample_rate: int) -> Tensor:
    """The sound of a cut, mono float32 [N] at `sample_rate`."""
    wave = audio.read(cut.recording.sources[0].source, sample_rate)[0]
    start = round(cut.start * sample_rate)
    return wave[start : start + round(cut.duration * sample_rate)]


def parse_selector(selector: str) -> tuple[str, int]:
    """The corpus that `name` or `name*times` names, and how many times it is taken."""
    name, times = re.fullmatch(r"(.*?)(?:\*(\d+))?", selector).groups()
    return name, int(times or 1)


def _corpus_cuts(selector: str, root: str | Path | None, split: str) -> list[MonoCut]:
    name, times = parse_selector(selector)
    folder = Path(name) if Path(name).is_absolute() else data_root(root) / name
    if not folder.is_dir():
        known = [path.name for path in folder.parent.glob("*") if _is_corpus(path)] if folder.parent.is_dir() else []
        raise unknown_name(
            f"corpus (no such folder in {folder.parent}; {DATA_VARIABLE} names that folder):", name, known
        )
    rows = [row for row in _rows(folder) if row["split"] == split]
    if not rows:
        raise unknown_name(f"split of {folder.name}:", split, {row["split"] for row in _rows(folder)})
    cuts = [_cut(folder, row) for row in rows]
    return repeated(cuts, times)


def repeated(cuts: list[MonoCut], times: int) -> list[MonoCut]:
    """The cuts so many times, those of every further time under ids of their own."""
    return cuts + [cut.with_id(f"{cut.id}-{i}") for i in range(1, times) for cut in cuts]


def _is_corpus(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (MANIFEST, *TRANSCRIPTS))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The clips of a corpus of either form, as manifest rows."""
    if (folder / MANIFEST).is_file():
        timings = {row["id"]: row for row in _json_lines(folder / ALIGNMENTS, ("id",))}
        for row in _json_lines(folder / MANIFEST, ("id", "audio", "split")):
            yield {**row, **timings.get(row["id"], {})}
    elif _is_corpus(folder):
        yield from _transcribed(folder)
    else:
        raise AudiogenError(
            f"{folder} is no corpus: it needs {MANIFEST}, or sound files and {' or '.join(TRANSCRIPTS)}"
        )


def _json_lines(path: Path, required: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; none if it does not exist."""
    if not path.is_file():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise AudiogenError(f"{path}, line {number}: not a JSON object: {error}") from None
        missing = [key for key in required if not isinstance(row, dict) or not isinstance(row.get(key), str)]
        if missing:
            raise AudiogenError(f"{path}, line {number}: needs a string {missing[0]!r}")
        yield row


def _transcribed(folder: Path) -> Iterator[dict[str, Any]]:
    """The clips of a folder with a transcript file; the folder's name stands for the speaker."""
    path = next(folder / name for name in TRANSCRIPTS if (folder / name).is_file())
    separator = "|" if path.suffix == ".csv" else None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split(separator, maxsplit=-1 if separator else 1)]
        if len(fields) < 2 or not fields[-1]:
            form = "id|text" if separator else "id text"
            raise AudiogenError(f"{path}, line {number}: {line!r} is not of the form {form!r}")
        clip, text = fields[0], fields[-1]
        stem = Path(clip).stem if Path(clip).suffix.lower() in SUFFIXES else clip
        places = [f"{place}{stem}{suffix}" for place in ("wavs/", "audio/", "") for suffix in SUFFIXES]
        found = [place for place in places if (folder / place).is_file()]
        if not found:
            raise AudiogenError(f"{path}, line {number}: no sound file for {clip!r}; wavs/{stem}.wav would be one")
        yield {"id": stem, "audio": found[0], "split": _hashed_split(stem), "text": text, "speaker": folder.name}


def _hashed_split(clip: str) -> str:
    """The split of a clip by its id alone, so that adding clips moves none."""
    share = hashlib.sha256(clip.encode()).digest()[0] / 256
    return "train" if share < 0.9 else "valid" if share < 0.95 else "test"


def _cut(folder: Path, row: dict[str, Any]) -> MonoCut:
    """One manifest row as a cut. The length is the sound file's own, not the rounded one of the manifest."""
    lhotse = require("lhotse", "train")
    path = folder / row["audio"]
    info = audio.check(path)
    duration = info.frames / info.samplerate
    cut_id = f"{folder.name}-{row['id']}"
    supervision = lhotse.SupervisionSegment(
        id=row["id"],
        recording_id=cut_id,
        start=0.0,
        duration=duration,
        alignment={
            tier: _timings(row[key], tier, path) for key, tier in _TIMING_KEYS.items() if _is_timed(row.get(key))
        },
        **{key: row[key] for key in _SUPERVISION_KEYS if key in row},
    )
    source = lhotse.AudioSource(type="file", channels=list(range(info.channels)), source=str(path))
    recording = lhotse.Recording(cut_id, [source], info.samplerate, info.frames, duration)
    used = {*_SUPERVISION_KEYS, *_DERIVED_KEYS, *(key for key in _TIMING_KEYS if _is_timed(row.get(key)))}
    custom = {"corpus": folder.name, **{key: value for key, value in row.items() if key not in used}}
    return lhotse.MonoCut(cut_id, 0.0, duration, 0, [supervision], recording=recording, custom=custom)


def _is_timed(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, list) and len(item) == 3 for item in value)


def _timings(items: list[list], tier: str, path: Path) -> list[AlignmentItem]:
    from lhotse.supervision import AlignmentItem

    if any(not 0 <= start <= end for _, start, end in items):
        raise AudiogenError(f"the timings of {path} hold a label that ends before it starts")
    symbols = [_phone(label) if tier == "phone" else label for label, _, _ in items]
    return [AlignmentItem(symbol, item[1], item[2] - item[1]) for symbol, item in zip(symbols, items, strict=True)]


def _phone(label: str) -> str:
    """A label of an aligner as a symbol of our inventory; `spn`, a word the aligner did not know, stays."""
    if label in ("", "sp"):
        return SILENCE
    return from_arpabet(label) if label.isupper() else label
