"""Prepared speech: clips of several corpora at one rate in one corpus folder, made once so that training reads it fast.

The result is a corpus in the manifest form of `audiogen.data.corpora`, so everything reads it as it reads any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogen import audio
from audiogen.data.corpora import MANIFEST, load_cuts, parse_selector, read_wave, repeated
from audiogen.errors import AudiogenError
from audiogen.recipes.common import corpora_inputs
from audiogen.recipes.items import do_items, write_rows

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut

Describe = Callable[["MonoCut"], dict[str, Any]]

CLIPS = "clips.jsonl"


def speech_inputs(splits: Mapping[str, Sequence[str]], data_root: str) -> dict[str, dict[str, str]]:
    """What decides which clips `prepare_speech` writes; how often training takes a corpus does not."""
    return {split: corpora_inputs(_names(selectors), data_root) for split, selectors in splits.items()}


def prepare_speech(
    splits: Mapping[str, Sequence[str]],
    data_root: str,
    sample_rate: int,
    folder: Path,
    durations: tuple[float, float],
    describe: Describe | None = None,
) -> None:
    """Write the clips of each split as WAV files at `sample_rate` with one manifest, going on where a kill left off.

    Args:
        splits: Split → corpora; a corpus named as `name*3` is written once.
        data_root: Where the corpora lie.
        sample_rate: Rate of the files.
        folder: Where `manifest.jsonl` and `audio/` go.
        durations: Shorter clips are left out, and longer ones but for those of `test`; seconds.
        describe: Gives further entries of a clip's manifest row; an entry `refused` says why a clip is left out.

    Raises:
        AudiogenError: If no clip is left of a split.
    """
    (folder / "audio").mkdir(exist_ok=True)
    shortest, longest = durations
    items = []
    for split, names in splits.items():
        for name in _names(names):
            cuts = load_cuts(name, data_root, split, shortest, float("inf") if split == "test" else longest)
            items += [(cut.id, (split, cut)) for cut in cuts]
    rows = do_items(items, folder / CLIPS, lambda item: _write(folder, sample_rate, describe, *item), "decoding")
    taken = [row for row in rows if "refused" not in row]
    for split in splits:
        if not any(row["split"] == split for row in taken):
            raise AudiogenError(f"no clip is left of split {split!r}; the first was refused: {rows[0].get('refused')}")
    print(f"{len(taken)} clips taken, {len(rows) - len(taken)} refused", flush=True)
    write_rows(folder / MANIFEST, taken)


def prepared_cuts(folder: Path, split: str, corpora: Sequence[str] | None = None) -> CutSet:
    """The prepared clips of a split: all, or those of `corpora`, where `name*3` gives each three times.

    Raises:
        AudiogenError: If there are none.
    """
    from lhotse import CutSet

    cuts = load_cuts(str(folder.resolve()), split=split)
    if corpora is None:
        return cuts
    chosen = []
    for selector in corpora:
        name, times = parse_selector(selector)
        chosen += repeated([cut for cut in cuts if cut.custom["corpus"] == Path(name).name], times)
    return CutSet.from_cuts(chosen)


def clip_id(cut: MonoCut) -> str:
    """The id of the prepared clip, the same for all its repetitions."""
    return cut.supervisions[0].id


def _names(selectors: Sequence[str]) -> list[str]:
    """The corpora of `name` or `name*3`, each once."""
    return list(dict.fromkeys(parse_selector(selector)[0] for selector in selectors))


def _write(folder: Path, sample_rate: int, describe: Describe | None, split: str, cut: MonoCut) -> dict[str, Any]:
    """One clip as a file and its manifest row."""
    supervision = cut.supervisions[0]
    row = {"split": split, "corpus": cut.custom["corpus"], "audio": f"audio/{cut.id}.wav"}
    row |= {"text": supervision.text, "speaker": supervision.speaker, "language": supervision.language}
    for tier, items in (supervision.alignment or {}).items():
        row[f"{tier}s"] = [[item.symbol, item.start, item.end] for item in items]
    if describe is not None:
        row |= describe(cut)
    if "refused" not in row:
        audio.write(folder / row["audio"], read_wave(cut, sample_rate), sample_rate, "PCM_16")
    return row
