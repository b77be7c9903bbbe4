"""Training figures: a local JSON-lines file always, Weights & Biases when switched on."""

import json
from pathlib import Path
from typing import Any

from audiogen.extras import require


class MetricLog:
    """Appends `{"step": …, figure: value, …}` lines to `folder/log.jsonl`.

    After a kill the file may be ahead of the newest checkpoint, or end in a torn line: `MetricLog(folder, step)`
    drops everything after `step`, so that the curve has each step once.
    """

    def __init__(self, folder: Path, step: int, wandb_mode: str = "disabled", run_config: dict[str, Any] | None = None):
        self.path = folder / "log.jsonl"
        kept = [entry for entry in read_log(self.path) if entry["step"] <= step]
        staging = self.path.with_suffix(".tmp")
        staging.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
        staging.replace(self.path)
        self.file = self.path.open("a")
        self.wandb = None
        if wandb_mode != "disabled":
            wandb = require("wandb", "train")
            self.wandb = wandb.init(
                project="audiogen",
                name=folder.name,
                dir=str(folder),
                mode=wandb_mode,
                config=run_config,
                resume="allow",
            )

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Log `figures` for `step`; flushed at once."""
        self.file.write(json.dumps({"step": step, **figures}) + "\n")
        self.file.flush()
        if self.wandb is not None:
            self.wandb.log(figures, step=step)

    def close(self) -> None:
        """Close the file and the W&B run."""
        self.file.close()
        if self.wandb is not None:
            self.wandb.finish()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a log; a torn last line is left out."""
    entries = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries


def plot_log(folder: Path) -> Path:
    """Draw every figure of `folder/log.jsonl` over the steps into `folder/log.png`; returns its path."""
    plt = require("matplotlib.pyplot", "train")
    entries = read_log(folder / "log.jsonl")
    names = sorted({name for entry in entries for name in entry} - {"step"})
    columns = 3
    rows = max(1, -(-len(names) // columns))
    figure, axes = plt.subplots(rows, columns, figsize=(4.5 * columns, 2.6 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        points = [(entry["step"], entry[name]) for entry in entries if name in entry]
        axis.plot(*zip(*points, strict=True), linewidth=0.9)
        axis.set_title(name, fontsize=9)
        axis.grid(alpha=0.3)
    figure.savefig(folder / "log.png", dpi=90)
    plt.close(figure)
    return folder / "log.png"
