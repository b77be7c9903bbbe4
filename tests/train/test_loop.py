"""The training loop: a run cut off at any step continues the uninterrupted one bit for bit."""

import os
import signal

import pytest
import torch
from torch import nn

pytest.importorskip("lightning_fabric")

from audiogen.errors import AudiogenError
from audiogen.nn.ssm import S4
from audiogen.train.log import read_log
from audiogen.train.loop import DYNAMICS_RATE, SingleObjective, TrainConfig, adamw, fit, learning_rate


class Regression(nn.Module):
    """Learns y = sum(x) with dropout, so that random numbers matter."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))

    def loss(self, batch):
        loss = (self.layers(batch)[:, 0] - batch.sum(1)).square().mean()
        return loss, {"error": loss.item()}


def batches(start):
    for step in range(start, 10_000):
        yield torch.randn(8, 4, generator=torch.Generator().manual_seed(step))


CONFIG = {"learning_rate": 1e-2, "warmup_steps": 5, "log_every": 1, "checkpoint_every": 7, "valid_every": 1000}


def losses(folder):
    return {entry["step"]: entry["error"] for entry in read_log(folder / "log.jsonl") if "error" in entry}


def test_loss_falls_and_weights_are_the_average(tmp_path):
    objective = SingleObjective(Regression())
    fit(objective, batches, TrainConfig(steps=200, **CONFIG), tmp_path)
    curve = losses(tmp_path)
    assert sum(curve[step] for step in range(180, 200)) < 0.2 * sum(curve[step] for step in range(1, 21))
    assert type(objective.modules["model"]) is Regression


@pytest.mark.parametrize("cut", [3, 7, 12])
def test_an_interrupted_run_continues_the_same_curve(tmp_path, cut):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = TrainConfig(steps=25, **CONFIG)
    fit(SingleObjective(Regression()), batches, config, whole)

    def failing(start):
        for step, batch in zip(range(start, 10_000), batches(start), strict=False):
            if step == cut:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        fit(SingleObjective(Regression()), failing, config, parts)
    fit(SingleObjective(Regression()), batches, config, parts)
    assert losses(parts) == losses(whole)


def test_sigterm_saves_and_leaves_with_143(tmp_path):
    def stopping(start):
        for step, batch in zip(range(start, 10_000), batches(start), strict=False):
            if step == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    with pytest.raises(SystemExit) as stop:
        fit(SingleObjective(Regression()), stopping, TrainConfig(steps=25, **CONFIG), tmp_path)
    assert stop.value.code == 143
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-00000005"]


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path):
    def broken(start):
        yield torch.full((8, 4), float("nan"))

    with pytest.raises(AudiogenError, match="learning_rate"):
        fit(SingleObjective(Regression()), broken, TrainConfig(steps=3, **CONFIG), tmp_path)


def test_the_rate_warms_up_and_decays():
    config = TrainConfig(steps=100, learning_rate=1.0, warmup_steps=10)
    assert learning_rate(5, config) == 0.5
    assert learning_rate(10, config) == pytest.approx(1.0)
    assert learning_rate(100, config) == pytest.approx(0.02)


def test_the_dynamics_of_a_state_space_are_not_decayed_and_move_slowly(tmp_path):
    class Filtered(nn.Module):
        def __init__(self):
            super().__init__()
            self.ssm, self.out = S4(4, 8), nn.Linear(4, 1)

        def loss(self, batch):
            loss = (self.out(self.ssm(batch[..., None].expand(-1, -1, 4))[0])[..., 0] - batch).square().mean()
            return loss, {"error": loss.item()}

    model = Filtered()
    config = TrainConfig(steps=12, weight_decay=0.1, **CONFIG)
    *others, slow = adamw(model, config).param_groups
    named = {name for name, p in model.named_parameters() if any(p is each for each in slow["params"])}
    assert named == {"ssm.log_dt", "ssm.log_decay", "ssm.frequency", "ssm.b", "ssm.p"}
    assert slow["weight_decay"] == 0 and slow["share"] * config.learning_rate == DYNAMICS_RATE
    assert sum(len(group["params"]) for group in [*others, slow]) == len(list(model.parameters()))
    before = model.ssm.b.detach().clone()
    fit(SingleObjective(model), batches, TrainConfig(**{**vars(config), "steps": 5, "ema_decay": 0.0}), tmp_path)
    assert (model.ssm.b - before).abs().max() < 5.1 * DYNAMICS_RATE


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_nothing_takes_is_refused_at_once(seed):
    with pytest.raises(AudiogenError, match=f"train.seed .* got {seed}"):
        TrainConfig(seed=seed)
