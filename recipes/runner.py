"""Runs the stages of a recipe in order, each at most once for the same inputs, from wherever the last run was stopped.

An experiment folder holds one folder a stage. While stage `train` works, its folder is `train.partial/`, with
`inputs.json` (what decides its result) written before anything else; when it is whole the folder is renamed to `train/`
and `done.json` written. A stage whose inputs are those of its folder is skipped, or goes on with the items it finds; if
they differ the run stops and shows how, unless it is forced. A stage's inputs include a hash of the stage before it, so
a change reaches everything downstream. Inside a stage's folder, a name `.….tmp` is of something half-written.
"""

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiogen import __version__
from audiogen.errors import AudiogenError, unknown_name
from audiogen.files import write_json
from audiogen.protocols import Stage

INPUTS, DONE = "inputs.json", "done.json"
SHOWN_DIFFERENCES = 6


@dataclass(frozen=True)
class Span:
    """Which stages to run, and what to do with results of other inputs.

    Attributes:
        stage: Name of the first stage to run; empty for the first there is.
        stop_stage: Name of the last one; empty for the last there is.
        force: Do a stage afresh whose folder was made from other inputs.
        keep: Go on from what is there instead, under the new inputs, as when training longer.
    """

    stage: str = ""
    stop_stage: str = ""
    force: bool = False
    keep: bool = False


def run_stages(stages: Sequence[Stage], config: Any, folder: Path, span: Span | None = None) -> list[str]:
    """Run the stages of `span` in the experiment folder `folder`.

    Args:
        stages: All stages of the recipe, in order.
        config: The composed config, handed to every stage.
        folder: The experiment folder; made if missing.
        span: Which stages; all if None.

    Returns:
        The names of the stages that did work.

    Raises:
        AudiogenError: If a stage's name is unknown, an earlier stage is missing, a folder was made from other inputs,
            or another run works in the folder.
    """
    span = span or Span()
    if span.force and span.keep:
        raise AudiogenError("force=true does a stage afresh, keep=true goes on from what is there; choose one")
    names = [stage.name for stage in stages]
    first = _position(names, span.stage, default=0)
    last = _position(names, span.stop_stage, default=len(names) - 1)
    if first > last:
        raise AudiogenError(
            f"stage={span.stage} comes after stop_stage={span.stop_stage}; the order is {', '.join(names)}"
        )
    worked, upstream = [], ""
    with _only_run_in(folder):
        for position, stage in enumerate(stages[: last + 1]):
            inputs = _plain({**stage.inputs(config), "upstream": upstream})
            if position < first:
                _require_done(folder, stage.name, inputs)
            elif _bring_up(folder, stage, config, inputs, span):
                worked.append(stage.name)
            upstream = fingerprint(inputs)
    return worked


def fingerprint(inputs: dict[str, Any]) -> str:
    """A short hash of plain values, the same for equal values in any order of keys."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """A short hash of a file's content: how a stage declares a file among its inputs."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _bring_up(folder: Path, stage: Stage, config: Any, inputs: dict[str, Any], span: Span) -> bool:
    """Make the stage's folder whole and of these inputs; False if it was already."""
    final, partial = folder / stage.name, folder / f"{stage.name}.partial"
    if _recorded(final) == inputs:
        _remove(partial)
        if not (final / DONE).exists():
            _record_done(final, inputs, seconds=None)
        _say(stage.name, "done before, skipped")
        return False
    if not partial.exists() and final.exists():
        _settle(final, stage.name, inputs, span)
        if span.keep:
            (final / DONE).unlink(missing_ok=True)
            final.rename(partial)
    if partial.exists() and _recorded(partial) not in (None, inputs):
        _settle(partial, stage.name, inputs, span)
        if span.force:
            _remove(partial)
    _say(stage.name, "going on with what is there" if partial.exists() else "started")
    partial.mkdir(exist_ok=True)
    _drop_half_written(partial)
    write_json(partial / INPUTS, inputs)
    began = time.time()
    stage.run(config, partial)
    _remove(final)
    partial.rename(final)
    _record_done(final, inputs, time.time() - began)
    _say(stage.name, f"done in {time.time() - began:.0f} s")
    return True


def _remove(folder: Path) -> None:
    """Remove a folder, if there is one, with what is in it; of a link to one that lies elsewhere only the link."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _drop_half_written(folder: Path) -> None:
    """Remove what a kill left of files and folders that get their name only once whole."""
    for path in list(folder.rglob(".*.tmp")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _settle(folder: Path, name: str, inputs: dict[str, Any], span: Span) -> None:
    """Stop at results of other inputs, unless the run says what to do with them."""
    if not (span.force or span.keep):
        raise AudiogenError(
            f"stage {name!r} in {folder} was made from other inputs ({_difference(_recorded(folder) or {}, inputs)}); "
            "force=true does it afresh, keep=true goes on from what is there, another exp_dir leaves it alone"
        )
    if span.keep and folder.is_symlink():
        raise AudiogenError(
            f"stage {name!r} in {folder} is a link to {folder.resolve()}, and keep=true would change what lies there; "
            "copy that folder here to go on from it, or do the stage afresh with force=true"
        )


def _require_done(folder: Path, name: str, inputs: dict[str, Any]) -> None:
    """Stop unless an earlier stage is whole and of these inputs."""
    recorded = _recorded(folder / name)
    if recorded is None:
        raise AudiogenError(f"stage {name!r} is not done in {folder}; run it first, with stage={name}")
    if recorded != inputs:
        raise AudiogenError(
            f"stage {name!r} in {folder} was made from other inputs ({_difference(recorded, inputs)}); "
            f"run it again with stage={name} force=true"
        )


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What changed from `old` to `new`, as `key: old → new; …`."""
    was, now = dict(_leaves(old)), dict(_leaves(new))
    changed = [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
    if len(changed) > 1 and "upstream" in changed:
        changed.remove("upstream")
    shown = [f"{key}: {was.get(key, 'absent')} → {now.get(key, 'absent')}" for key in changed[:SHOWN_DIFFERENCES]]
    more = len(changed) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _recorded(folder: Path) -> dict[str, Any] | None:
    """The inputs a stage's folder was made from; None if it does not say."""
    try:
        return json.loads((folder / INPUTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _record_done(folder: Path, inputs: dict[str, Any], seconds: float | None) -> None:
    finished = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    record = {"fingerprint": fingerprint(inputs), "version": __version__, "finished": finished, "seconds": seconds}
    write_json(folder / DONE, record)


def _plain(values: Any) -> Any:
    """As JSON gives it back: tuples become lists, keys strings."""
    return json.loads(json.dumps(values))


def _position(names: list[str], name: str, default: int) -> int:
    if not name:
        return default
    if name not in names:
        raise unknown_name("stage", name, names)
    return names.index(name)


@contextmanager
def _only_run_in(folder: Path) -> Iterator[None]:
    """Hold the experiment folder. The lock goes with the process, so a killed run leaves none behind."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AudiogenError(f"another run works in {folder}; wait for it or choose another exp_dir") from None
        yield


def _say(name: str, what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {name}: {what}", flush=True)
