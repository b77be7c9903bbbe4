"""Settings that all tasks share: where a run lives, which stages it does, which model it trains."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING
from torch import nn

from audiogen import registry
from audiogen.checkpoint import Bundle
from audiogen.train.loop import TrainConfig


@dataclass
class ModelConfig:
    """A model as a bundle describes it.

    Attributes:
        kind: Kind in the registry.
        name: Registered name.
        config: The class's own settings as plain values; `conf/model/<name>.yaml` gives them their schema. What follows
            from the data, such as the number of labels, may be left out.
    """

    kind: str = MISSING
    name: str = MISSING
    config: Any = MISSING

    def completed(self, **derived: Any) -> "ModelConfig":
        """With those of the `derived` settings that the class has and that were left out."""
        known = {field.name for field in dataclasses.fields(registry.lookup(self.kind, self.name).config_class)}
        fitting = {name: value for name, value in derived.items() if name in known}
        return dataclasses.replace(self, config={**fitting, **self.config})

    def build(self) -> nn.Module:
        """A new network."""
        return registry.build(self.kind, self.name, self.config)

    def bundle(self, model: nn.Module, **described: Any) -> Bundle:
        """`model` with its description, ready to be saved; `described` are further fields of `Bundle`."""
        return Bundle(self.kind, self.name, self.config, model=model, **described)


@dataclass
class RunConfig:
    """One run of a recipe; a task's dataclass adds its own sections.

    Attributes:
        task: Which stages the recipe has.
        exp_dir: The experiment folder, where every stage leaves its result.
        data_root: The folder of the corpora.
        stage: First stage to run, the first there is if empty.
        stop_stage: Last stage to run, the last there is if empty.
        force: Do a stage afresh whose folder was made from other inputs.
        keep: Go on from what is there instead, as when training longer.
        licence: Licence of the weights, following the data they are trained on.
        train: How to train.
    """

    task: str = MISSING
    exp_dir: str = MISSING
    data_root: str = MISSING
    stage: str = ""
    stop_stage: str = ""
    force: bool = False
    keep: bool = False
    licence: str = ""
    train: TrainConfig = field(default_factory=TrainConfig)
