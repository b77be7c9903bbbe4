"""Makes a shipped bundle of a trained one: half-precision weights and a model card, in `audiogen/pretrained/`.

    python -m audiogen.recipes.ship exp/codec/train/bundle codec-24khz --summary "…" --figures exp/codec/score/rows.json

The card says what the model is, what it was trained on, by which command, under which licence, and the measured figures
of the given files (`{"rows": [{"name", "value", "unit"}]}`), so that nothing in it is typed by hand twice.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

import audiogen.codecs
import audiogen.models  # noqa: F401  (registers the classes)
from audiogen.checkpoint import CARD, PRETRAINED, WEIGHTS, Bundle, load_bundle, save_bundle
from audiogen.errors import AudiogenError

MAX_MEBIBYTES = 20


def ship(source: Path, name: str, summary: str, command: str, figures: Sequence[Path] = ()) -> Path:
    """Write the shipped bundle `name` from the trained bundle in `source`; returns its folder.

    Raises:
        AudiogenError: If the weights would be larger than a shipped file may be.
    """
    bundle = load_bundle(source)
    size = sum(tensor.numel() for tensor in bundle.model.state_dict().values()) * 2 / 2**20
    if size > MAX_MEBIBYTES:
        raise AudiogenError(f"{name} would take {size:.0f} MiB; a shipped bundle may take {MAX_MEBIBYTES}")
    bundle.training = {**bundle.training, "command": command}
    folder = PRETRAINED / name
    save_bundle(folder, bundle, torch.float16)
    rows = [row for path in figures for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]
    (folder / CARD).write_text(card(name, bundle, summary, rows), encoding="utf-8")
    return folder


def card(name: str, bundle: Bundle, summary: str, rows: Sequence[dict]) -> str:
    """The model card as Markdown."""
    parameters = sum(parameter.numel() for parameter in bundle.model.parameters()) / 1e6
    lines = [f"# {name}", "", summary, "", f"- Model: {bundle.kind} `{bundle.name}`, {parameters:.1f} M parameters"]
    lines += [
        f"- Licence of the weights: {bundle.licence}",
        "- Trained by:",
        "",
        "```sh",
        bundle.training["command"],
        "```",
    ]
    corpora = bundle.training.get("corpora")
    if corpora:
        lines += ["", f"Data: {json.dumps(corpora, ensure_ascii=False)}"]
    if rows:
        lines += ["", "| measured | value |", "|---|--:|"]
        lines += [f"| {row['name']} | {row['value']:.4g} {row.get('unit', '')} |" for row in rows]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m audiogen.recipes.ship", description=__doc__.split("\n\n")[0])
    parser.add_argument("source", type=Path, help="folder of the trained bundle")
    parser.add_argument("name", help="name of the shipped bundle, e.g. codec-24khz")
    parser.add_argument("--summary", required=True, help="one sentence on what the model does")
    parser.add_argument("--command", required=True, help="the command that trained it")
    parser.add_argument("--figures", type=Path, nargs="*", default=[], help="JSON files of measured rows")
    options = parser.parse_args(argv)
    try:
        folder = ship(options.source, options.name, options.summary, options.command, options.figures)
    except AudiogenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{folder}: {(folder / WEIGHTS).stat().st_size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
