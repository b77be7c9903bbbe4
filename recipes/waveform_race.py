"""Waveform models side by side: bits a sample of held-out clips after as many steps, and after as much work.

    python -m audiogen.recipes.waveform_race exp/race_digits/*/ --steps 300 --seconds 240

Every folder is that of a run of the waveform recipe; runs that have not ended are left out, and named below the table.
They should have kept their learning rate (`train.final_rate=1`): then what is averaged at any step is what a run that
ends there would have had, and each serves for both columns.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch

from audiogen.checkpoint import Bundle, load_bundle
from audiogen.errors import AudiogenError
from audiogen.files import write_json
from audiogen.infer.waveform import stepper
from audiogen.metrics import timing
from audiogen.metrics.tables import Table
from audiogen.recipes.common import BUNDLE
from audiogen.train.log import read_log

DRAWN = 512  # samples a stream in timing generation
BATCHES = (1, 16)


def race(folders: Sequence[Path], steps: int, seconds: float) -> Table:
    """The table of all runs that have ended; its note names the others.

    Args:
        folders: `exp_dir` of each run, named in the table by its last part.
        steps: Steps after which all are compared.
        seconds: CPU seconds of training after which all are compared, without those of validation.

    Raises:
        AudiogenError: If a run is too short, or none has ended.
    """
    by_steps, by_work = f"bits, {steps} steps", f"bits, {seconds:g} s"
    ended = [folder for folder in folders if (folder / "train" / BUNDLE).is_dir()]
    others = ", ".join(folder.name for folder in folders if folder not in ended)
    if not ended:
        raise AudiogenError(f"no run has ended of {others}; a folder that holds train/{BUNDLE} is needed")
    rows = []
    for folder in ended:
        curve, bundle = _curve(folder / "train"), load_bundle(folder / "train" / BUNDLE, kind="waveform")
        row = {
            "name": folder.name,
            "parameters": sum(parameter.numel() for parameter in bundle.model.parameters()) / 1e6,
            by_steps: _at(steps, [(step, bits) for step, _, bits in curve], f"{folder}: steps"),
            by_work: _at(seconds, [(work, bits) for _, work, bits in curve], f"{folder}: CPU seconds"),
            "training": curve[-1][0] / curve[-1][1],
        }
        rows.append(row | {f"generation, batch {batch}": _drawn_per_second(bundle, batch) for batch in BATCHES})
    speeds = {"training": "steps/s", **{f"generation, batch {batch}": "samples/s" for batch in BATCHES}}
    note = (
        f"Bits a sample of the valid clips, averaged weights, straight lines between validations. {timing.machine(1)}"
        + (f" Left out, as they have not ended: {others}." if others else "")
    )
    return Table("Waveform models", rows, {"parameters": "M", by_steps: "", by_work: "", **speeds}, note)


def _curve(folder: Path) -> list[tuple[int, float, float]]:
    """Step, CPU seconds until then and bits of every validation."""
    curve, work = [], 0.0
    for entry in read_log(folder / "log.jsonl"):
        work += entry.get("cpu_seconds", 0.0)
        if "valid/bits" in entry:
            curve.append((entry["step"], work, entry["valid/bits"]))
    return curve


def _at(place: float, points: Sequence[tuple[float, float]], what: str) -> float:
    """The value at a place of a line through points."""
    for (before, low), (after, high) in pairwise(points):
        if before <= place <= after:
            return low + (high - low) * (place - before) / (after - before)
    raise AudiogenError(f"{what} {place:g} lie outside its validations, {points[0][0]:g} to {points[-1][0]:g}")


@torch.inference_mode()
def _drawn_per_second(bundle: Bundle, batch: int) -> float:
    """Samples a second of all streams together, by the fastest way there is."""
    steps, start = stepper(bundle.model.eval()), bundle.model.config.start
    labels = torch.zeros(batch, dtype=torch.long) if bundle.model.config.classes else None
    last, uniforms = torch.full((batch,), start), torch.rand(batch, DRAWN, generator=torch.Generator().manual_seed(0))
    with timing.threads(1):
        taken = timing.median_seconds(lambda: steps.draw(last, uniforms, steps.init_state(batch, labels)), 3)
    return batch * DRAWN / taken


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m audiogen.recipes.waveform_race",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="EXP_DIR", help="experiment folders of runs")
    parser.add_argument("--steps", type=int, required=True, help="compare after so many steps")
    parser.add_argument("--seconds", type=float, required=True, help="compare after so many CPU seconds of training")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(argv)
    try:
        table = race(options.folders, options.steps, options.seconds)
        if options.json is not None:
            write_json(options.json, {"rows": table.figures()})
    except AudiogenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
