"""What the tasks' stages have in common: declaring corpora as inputs, training a model and exporting its bundle."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from audiogen.checkpoint import Bundle, find_bundle, load_bundle, save_bundle, weights_hash
from audiogen.data.corpora import ALIGNMENTS, MANIFEST, TRANSCRIPTS, parse_selector
from audiogen.errors import AudiogenError
from audiogen.files import write_json, write_text
from audiogen.metrics.tables import Table
from audiogen.recipes.runner import file_hash
from audiogen.recipes.settings import ModelConfig, RunConfig
from audiogen.train.log import plot_log
from audiogen.train.loop import Objective, fit

BUNDLE = "bundle"


def corpora_inputs(corpora: Sequence[str], data_root: str) -> dict[str, str]:
    """Hashes of the corpora's manifests, so that a changed corpus is a changed input."""
    hashes = {}
    for name in corpora:
        folder = Path(data_root) / parse_selector(name)[0]
        for file in (MANIFEST, ALIGNMENTS, *TRANSCRIPTS):
            if (folder / file).is_file():
                hashes[f"{name}/{file}"] = file_hash(folder / file)
    return hashes


def bundle_inputs(name_or_folder: str) -> str:
    """The hash of a bundle's weights; empty for no bundle."""
    return weights_hash(find_bundle(name_or_folder))[:16] if name_or_folder else ""


def train_inputs(config: RunConfig, model: ModelConfig, init_from: str, **more: Any) -> dict[str, Any]:
    """What decides the result of a training: the model, the schedule, the start. How often it reports does not."""
    schedule = dataclasses.asdict(config.train)
    for name in ("log_every", "valid_every", "checkpoint_every", "threads", "wandb_mode"):
        del schedule[name]
    described = {"kind": model.kind, "name": model.name, "config": model.config}
    return {"model": described, "train": schedule, "init_from": bundle_inputs(init_from), **more}


def new_model(config: ModelConfig, init_from: str, seed: int) -> nn.Module:
    """A network to train: random weights, replaced by those tensors of the bundle `init_from` that have a like here.

    Raises:
        AudiogenError: If the bundle is of another kind or no tensor fits.
    """
    torch.manual_seed(seed)
    model = config.build()
    if init_from:
        own, found = model.state_dict(), load_bundle(init_from, kind=config.kind).model.state_dict()
        fitting = {name: tensor for name, tensor in found.items() if name in own and own[name].shape == tensor.shape}
        if not fitting:
            raise AudiogenError(
                f"init_from={init_from}: none of its tensors has the name and shape of one of {config.name!r}"
            )
        model.load_state_dict({**own, **fitting})
        print(f"{len(fitting)} of {len(own)} tensors taken from {init_from}", flush=True)
    return model


def train_and_export(
    objective: Objective,
    batches: Callable[[int], Iterator[Any]],
    config: RunConfig,
    folder: Path,
    bundle: Bundle,
    validate: Callable[[], dict[str, float]] | None = None,
) -> None:
    """Train to the last step, draw the curves and write `folder/bundle` with the averaged weights.

    Args:
        objective: What is trained; see `audiogen.train.loop`.
        batches: The batches from a global step on.
        config: The run's settings.
        folder: The stage's folder, which holds log and checkpoints too.
        bundle: Describes the model; `training` gets the schedule added.
        validate: Figures of the averaged weights.
    """
    fit(objective, batches, config.train, folder, validate)
    plot_log(folder)
    bundle.training = {**bundle.training, "train": dataclasses.asdict(config.train)}
    export(config, folder, bundle)


def export(config: RunConfig, folder: Path, bundle: Bundle) -> None:
    """Write `folder/bundle`, with the task and the licence of the run."""
    bundle.training = {**bundle.training, "task": config.task}
    bundle.licence = config.licence
    save_bundle(folder / BUNDLE, bundle)


def mean_figures(model: nn.Module, batches: Iterable[Any]) -> dict[str, float]:
    """Means of a model's loss and figures over batches."""
    rows = []
    for batch in batches:
        loss, figures = model.loss(batch)
        rows.append({**figures, "loss": loss.item()})
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def write_table(folder: Path, table: Table) -> None:
    """Write a table as `scores.json` for machines and `scores.md` for people, and print it."""
    write_json(folder / "scores.json", {"rows": table.figures()})
    write_text(folder / "scores.md", table.markdown())
    print(f"{table.title}\n\n{table.markdown()}", flush=True)
