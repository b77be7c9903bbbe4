"""The one training loop: precision and devices through Lightning Fabric, EMA, logging, checkpoints that survive a kill.

A run lives in a folder: `log.jsonl`, and the newest two `step-00001000/state.pt`. A checkpoint is written beside and
renamed, so a kill at any moment leaves whole ones only; starting again continues from the newest with the same batches
and the same random numbers, hence the same losses.
"""

import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from audiogen.errors import AudiogenError
from audiogen.extras import require
from audiogen.train.ema import ExponentialMovingAverage
from audiogen.train.log import MetricLog

KEPT_CHECKPOINTS = 2
DYNAMICS_RATE = 1e-3  # peak learning rate of the `dynamics` of modules (Gu, Goel and Ré 2021, appendix D)


@dataclass
class TrainConfig:
    """How to train. Rates follow a linear warm-up, then a half cosine to `final_rate` of `learning_rate` at `steps`."""

    steps: int = 1000
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    final_rate: float = 0.02
    weight_decay: float = 0.01
    beta2: float = 0.98
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    log_every: int = 20
    valid_every: int = 500
    checkpoint_every: int = 500
    seed: int = 1
    precision: str = "auto"
    threads: int = 0
    wandb_mode: str = "disabled"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise AudiogenError(f"train.steps must be at least 1, got {self.steps}")
        if not 0 <= self.seed < 2**64:
            raise AudiogenError(f"train.seed must have 64 bits at most, from 0 to 2^64 - 1, got {self.seed}")


class Objective(Protocol):
    """What is trained and how a batch becomes losses.

    `losses` yields (optimiser name, loss, figures) one after the other; the loop steps that optimiser before it asks
    for the next, so an adversarial objective yields its discriminator's loss, then its generator's.
    """

    modules: dict[str, nn.Module]

    def optimizers(self, config: TrainConfig) -> dict[str, Optimizer]:
        """The optimisers by name, over the parameters of `modules`."""

    def losses(self, batch: Any, step: int) -> Iterator[tuple[str, Tensor, dict[str, float]]]:
        """The losses of one batch."""


class SingleObjective:
    """Any model with `.loss(batch) -> (loss, figures)`, trained by AdamW."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = {"model": model}

    def optimizers(self, config: TrainConfig) -> dict[str, Optimizer]:
        """One AdamW over all parameters."""
        return {"model": adamw(self.modules["model"], config)}

    def losses(self, batch: Any, step: int) -> Iterator[tuple[str, Tensor, dict[str, float]]]:
        """The model's own loss."""
        loss, figures = self.modules["model"].loss(batch)
        yield "model", loss, figures


def adamw(module: nn.Module, config: TrainConfig, beta1: float = 0.9) -> AdamW:
    """AdamW with weight decay on matrices only: gains, biases and positions are left free.

    What a module names in its attribute `dynamics`, the parameters of a recurrence, is left free too, and its learning
    rate is at most `DYNAMICS_RATE`.
    """
    dynamics = _dynamics(module)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    others = [parameter for parameter in parameters if parameter not in dynamics]
    groups = [
        {"params": [p for p in others if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if dynamics:
        share = min(1.0, DYNAMICS_RATE / config.learning_rate)
        groups.append({"params": [p for p in parameters if p in dynamics], "weight_decay": 0.0, "share": share})
    return AdamW(groups, lr=config.learning_rate, betas=(beta1, config.beta2), fused=True)


def fit(
    objective: Objective,
    batches: Callable[[int], Iterator[Any]],
    config: TrainConfig,
    folder: Path,
    validate: Callable[[], dict[str, float]] | None = None,
) -> None:
    """Train `objective` to `config.steps`, continuing what `folder` holds. Its modules end with the averaged weights.

    Args:
        objective: What to train.
        batches: `batches(start)` yields the batches from global step `start` on, the same at every call.
        config: How.
        folder: Where log and checkpoints live.
        validate: Figures of the averaged weights, logged every `valid_every` steps as `valid/…`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if config.threads:
        torch.set_num_threads(config.threads)
    fabric = require("lightning_fabric", "train").Fabric(devices=1, precision=_precision(config.precision))
    fabric.launch()
    torch.manual_seed(config.seed)
    optimizers = objective.optimizers(config)
    for name, module in objective.modules.items():
        objective.modules[name] = fabric.setup_module(module)
        if hasattr(module, "loss"):
            objective.modules[name].mark_forward_method("loss")
    optimizers = {name: fabric.setup_optimizers(optimizer) for name, optimizer in optimizers.items()}
    ema = ExponentialMovingAverage(objective.modules, config.ema_decay)
    start = _restore(folder, objective, optimizers, ema)
    log = MetricLog(folder, start, config.wandb_mode, asdict(config))
    stopped = _StopOnSigterm()
    with _progress() as progress:
        bar = progress.add_task("train", total=config.steps, completed=start, loss=float("nan"))
        began, seen, worked = time.perf_counter(), start, 0.0
        for step, batch in zip(range(start + 1, config.steps + 1), batches(start), strict=False):
            clock = time.process_time()
            figures = _update(fabric, objective, optimizers, batch, step, config)
            ema.update(step)
            worked += time.process_time() - clock
            progress.update(bar, completed=step, loss=figures["loss"])
            if step % config.log_every == 0 or step == config.steps:
                figures["steps_per_second"] = (step - seen) / (time.perf_counter() - began)
                figures["cpu_seconds"] = worked
                log.write(step, figures)
                began, seen, worked = time.perf_counter(), step, 0.0
            if validate is not None and (step % config.valid_every == 0 or step == config.steps):
                log.write(step, {f"valid/{name}": value for name, value in _averaged(validate, objective, ema).items()})
            if step % config.checkpoint_every == 0 or step == config.steps or stopped.requested:
                _save(folder, step, objective, optimizers, ema)
            if stopped.requested:
                raise SystemExit(143)
    log.close()
    ema.copy_to_modules()
    for name, module in objective.modules.items():
        objective.modules[name] = module.module


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate at `step` (from 1): linear warm-up, then a half cosine."""
    if step < config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (
        config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    )


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in a run's folder."""
    return max(folder.glob("step-*"), default=None)


def _dynamics(module: nn.Module) -> set[nn.Parameter]:
    """The parameters that the modules inside `module` name as theirs of a recurrence."""
    return {getattr(part, name) for part in module.modules() for name in getattr(part, "dynamics", ())}


def _update(
    fabric: Any, objective: Objective, optimizers: dict[str, Optimizer], batch: Any, step: int, config: TrainConfig
) -> dict[str, float]:
    """One batch: every loss backward, clipped, stepped. Returns the figures."""
    figures: dict[str, float] = {}
    losses = objective.losses(batch, step)
    while True:
        with fabric.autocast():
            item = next(losses, None)
        if item is None:
            return figures
        name, loss, parts = item
        if not torch.isfinite(loss):
            raise AudiogenError(f"step {step}: the {name} loss is {loss.item()}; lower train.learning_rate")
        optimizer = optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config) * group.get("share", 1.0)
        optimizer.step()
        figures |= {"loss": loss.item(), **parts, f"gradient_norm/{name}": norm.item()}


def _averaged(validate: Callable[[], dict[str, float]], objective: Objective, ema: ExponentialMovingAverage) -> dict:
    """The validation figures of the averaged weights, with every module in evaluation mode meanwhile."""
    random_state = torch.get_rng_state()
    for module in objective.modules.values():
        module.eval()
    with ema.applied(), torch.no_grad():
        figures = validate()
    for module in objective.modules.values():
        module.train()
    torch.set_rng_state(random_state)
    return figures


def _save(
    folder: Path, step: int, objective: Objective, optimizers: dict[str, Optimizer], ema: ExponentialMovingAverage
) -> None:
    """Write a checkpoint whole, then drop the oldest ones."""
    staging, final = folder / ".checkpoint.tmp", folder / f"step-{step:08d}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    state = {
        "step": step,
        "modules": {name: module.state_dict() for name, module in objective.modules.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
        "average": ema.average,
        "random_state": torch.get_rng_state(),
    }
    torch.save(state, staging / "state.pt")
    shutil.rmtree(final, ignore_errors=True)
    staging.rename(final)
    for old in sorted(folder.glob("step-*"))[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old)


def _restore(
    folder: Path, objective: Objective, optimizers: dict[str, Optimizer], ema: ExponentialMovingAverage
) -> int:
    """Load the newest checkpoint, if there is one; returns its step, else 0."""
    newest = newest_checkpoint(folder)
    if newest is None:
        return 0
    state = torch.load(newest / "state.pt", weights_only=True)
    for name, module in objective.modules.items():
        module.load_state_dict(state["modules"][name])
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    for name, tensor in ema.average.items():
        tensor.copy_(state["average"][name])
    torch.set_rng_state(state["random_state"])
    return state["step"]


def _precision(name: str) -> str:
    """Fabric's name of a precision; `auto` is bf16 autocast where the processor multiplies bf16 fast, else fp32."""
    if name != "auto":
        return name
    fast = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16-mixed" if fast else "32-true"


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


class _StopOnSigterm:
    """Notes a SIGTERM, so that the loop saves and leaves with status 143."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, *_: Any) -> None:
        self.requested = True
