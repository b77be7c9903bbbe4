"""The aligner recipe: a recogniser of phones, and with it the phone timings of recorded corpora.

Stages: `prepare`, `tokenize` and `train` are those of the recogniser recipe; `generate` aligns the corpora that come
without timings, `score` compares timings on the test clips of those that come with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from audiogen.checkpoint import Bundle
from audiogen.data.alignment import Timing, objection, phone_timings, tiled
from audiogen.data.corpora import SPLITS, read_wave
from audiogen.errors import AudiogenError
from audiogen.infer.align import align
from audiogen.infer.ctc import GreedyDecoder
from audiogen.metrics.tables import Table
from audiogen.metrics.text import bootstrap, edit_counts
from audiogen.recipes.asr import SAMPLE_RATE, AsrRun, Prepare, Tokenize, Train, trained_bundle
from audiogen.recipes.common import write_table
from audiogen.recipes.items import do_items, write_rows
from audiogen.recipes.speech import clip_id, prepared_cuts
from audiogen.text.frontend import TextFrontend
from audiogen.text.phones import INVENTORY, SILENCE

if TYPE_CHECKING:
    from lhotse import MonoCut

WITHIN = {"within 20 ms": 0.02, "within 50 ms": 0.05}
UNITS = {"clips": "", "aligned": "", "boundary error": "ms", **dict.fromkeys(WITHIN, ""), "phone error rate": ""}


@dataclass
class AlignerRun(AsrRun):
    """Settings of an aligner recipe: those of a recogniser of phones."""

    labels: str = "phones"


class Generate:
    """Align every prepared clip that has no timings of its own."""

    name = "generate"

    def inputs(self, config: AlignerRun) -> dict[str, Any]:
        """Nothing but what the stages before decide."""
        return {}

    def run(self, config: AlignerRun, folder: Path) -> None:
        """Write `<corpus>.jsonl`, in the form of a corpus's `alignments.jsonl`, and why clips were refused."""
        bundle, frontend = trained_bundle(config), TextFrontend()
        cuts = [cut for cut in _prepared(config, SPLITS) if not is_timed(cut)]
        items = ((clip_id(cut), cut) for cut in cuts)
        rows = do_items(items, folder / "clips.jsonl", lambda cut: aligned(bundle, frontend, cut), "aligning")
        for corpus in dict.fromkeys(cut.custom["corpus"] for cut in cuts):
            own = [row for row, cut in zip(rows, cuts, strict=True) if cut.custom["corpus"] == corpus]
            taken = [{**row, "id": row["id"].removeprefix(f"{corpus}-")} for row in own if "phones" in row]
            write_rows(folder / f"{corpus}.jsonl", taken)
            print(f"{corpus}: {len(taken)} clips aligned, {len(own) - len(taken)} refused", flush=True)


class Score:
    """How far phone boundaries are from those a corpus came with, and how many phones are misheard without a text."""

    name = "score"

    def inputs(self, config: AlignerRun) -> dict[str, Any]:
        """What counts as close."""
        return {"within": WITHIN}

    def run(self, config: AlignerRun, folder: Path) -> None:
        """Write the figures of every timed test clip to `clips.jsonl`, and the table."""
        bundle = trained_bundle(config)
        items = [(clip_id(cut), cut) for cut in _prepared(config, ["test"]) if is_timed(cut)]
        if not items:
            raise AudiogenError(f"no test clip of {', '.join(config.data.test)} has timings to compare with")
        rows = do_items(items, folder / "clips.jsonl", lambda cut: _compare(bundle, cut), "comparing")
        table = Table("Phone boundaries of test clips", units=UNITS)
        table.rows.append({"name": ", ".join(config.data.test), "clips": len(rows), **_boundary_figures(rows)})
        errors = bootstrap([row["errors"] for row in rows], [row["phones"] for row in rows])
        table.rows[0]["phone error rate"] = errors.value
        write_table(folder, table)


def aligned(bundle: Bundle, frontend: TextFrontend, cut: MonoCut) -> dict[str, Any]:
    """A clip's `phones` as [symbol, start_s, end_s], or why it is `refused`."""
    try:
        wave = read_wave(cut, SAMPLE_RATE)
        timings = tiled(align(bundle, wave, frontend.phones(cut.supervisions[0].text)), cut.duration)
    except AudiogenError as error:
        return {"refused": str(error)}
    refused = objection(timings)
    return {"refused": refused} if refused else {"phones": [[symbol, start, end] for symbol, start, end in timings]}


def is_timed(cut: MonoCut) -> bool:
    """Whether a clip came with phone timings."""
    return bool((cut.supervisions[0].alignment or {}).get("phone"))


def _prepared(config: AlignerRun, splits: list[str] | tuple[str, ...]) -> list[MonoCut]:
    folder = Path(config.exp_dir) / Prepare.name
    return [cut for split in splits for cut in prepared_cuts(folder, split)]


@torch.inference_mode()
def _compare(bundle: Bundle, cut: MonoCut) -> dict[str, Any]:
    """Boundaries of ours against the corpus's for the same phones, and the phones heard against those said."""
    wave, theirs = read_wave(cut, SAMPLE_RATE), _spoken(phone_timings(cut))
    symbols = [symbol for symbol, _, _ in theirs]
    decoder = GreedyDecoder(bundle.model.blank)
    decoder.feed(bundle.model.log_probs(wave[None])[0][0])
    heard = INVENTORY.decode(label.id for label in decoder.labels())
    row = {"phones": len(symbols), "errors": edit_counts(symbols, heard).errors, "boundaries": 0}
    try:
        ours = _spoken(align(bundle, wave, symbols))
    except AudiogenError as error:
        return {**row, "refused": str(error)}
    errors = [abs(own[1] - other[1]) for own, other in zip(ours, theirs, strict=True)]
    within = {column: sum(error <= seconds for error in errors) for column, seconds in WITHIN.items()}
    return {**row, "boundaries": len(errors), "error_s": sum(errors), **within}


def _boundary_figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How far boundaries are off, over the clips that could be aligned."""
    rows = [row for row in rows if row["boundaries"]]
    counts = [row["boundaries"] for row in rows]
    figures: dict[str, float] = {"aligned": len(rows)}
    if rows:
        figures["boundary error"] = bootstrap([1000 * row["error_s"] for row in rows], counts).value
        for column in WITHIN:
            figures[column] = bootstrap([row[column] for row in rows], counts).value
    return figures


def _spoken(timings: list[Timing]) -> list[Timing]:
    return [timing for timing in timings if timing[0] != SILENCE]


STAGES = (Prepare(), Tokenize(), Train(), Generate(), Score())
