"""The Hydra tree composed into a task's dataclass, with every mistake in it told in one line.

Classes are chosen by registered name and settings by dataclass, so a misspelt key or a value of the wrong type fails
here. Nothing after this file sees a DictConfig.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

import audiogen.codecs
import audiogen.conf
import audiogen.models
from audiogen import registry
from audiogen.errors import AudiogenError, unknown_name
from audiogen.recipes.settings import ModelConfig

TREE = Path(audiogen.conf.__file__).parent


def compose_run(overrides: list[str], schemas: Mapping[str, type]) -> Any:
    """The settings of one run.

    Args:
        overrides: Hydra overrides, e.g. `["recipe=asr_english", "exp_dir=exp/asr", "train.steps=100"]`.
        schemas: Task → dataclass of its settings; a recipe names its task in its defaults as `/schema/<task>`.

    Returns:
        An instance of the task's dataclass.

    Raises:
        AudiogenError: In one line, for anything misspelt, missing or of the wrong type.
    """
    config = _compose(overrides, schemas)
    for section in map(config._get_node, config):
        if isinstance(section, DictConfig) and OmegaConf.get_type(section) is ModelConfig:
            section.config = _given(section.config)
    try:
        return OmegaConf.to_object(config)
    except MissingMandatoryValue as error:
        raise AudiogenError(f"the setting {error.full_key} is needed; give it as {error.full_key}=…") from None
    except OmegaConfBaseException as error:
        raise AudiogenError(_first_line(error)) from None


def groups() -> dict[str, list[str]]:
    """The groups of the tree and what each offers."""
    folders = sorted(folder for folder in TREE.iterdir() if folder.is_dir() and not folder.name.startswith("_"))
    return {folder.name: sorted(path.stem for path in folder.glob("*.yaml")) for folder in folders}


def _given(settings: DictConfig) -> dict[str, Any]:
    """A model's settings as plain values, without those that are left to be derived from the data."""
    values = OmegaConf.to_container(settings, resolve=True)
    return {key: value for key, value in values.items() if value != MISSING}


def _compose(overrides: list[str], schemas: Mapping[str, type]) -> DictConfig:
    registry.store_schemas()
    for task, schema in schemas.items():
        node = _writable(OmegaConf.structured(schema))
        ConfigStore.instance().store(group="schema", name=task, node=node, package="_global_")
    parsed = _parse(overrides)
    with initialize_config_dir(str(TREE), version_base="1.3"):
        try:
            config = compose("config", overrides=overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise _explained(error, parsed) from None
    for override in parsed:
        parent = OmegaConf.select(config, override.key_or_group.rpartition(".")[0])
        if override.is_add() and OmegaConf.get_type(parent) is not dict:
            known = {*_keys(config)} - {override.key_or_group}
            raise unknown_name("setting", override.key_or_group, known)
    return config


def _writable(node: DictConfig) -> DictConfig:
    """A schema whose frozen dataclasses can be overridden before they are built."""
    for key in node:
        inner = node._get_node(key)
        if isinstance(inner, DictConfig) and not inner._is_none() and not inner._is_missing():
            _writable(inner)
    OmegaConf.set_readonly(node, None)
    return node


def _parse(overrides: list[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for override in overrides:
        try:
            parsed.append(parser.parse_override(override))
        except HydraException:
            raise AudiogenError(f"cannot read {override!r}; overrides are written key=value") from None
    return parsed


def _explained(error: Exception, parsed: list[Override]) -> AudiogenError:
    """The error of a composition as one line that names what was wrong and what would be right."""
    offered = groups()
    choices = [override for override in parsed if override.key_or_group in offered]
    if not any(override.key_or_group == "recipe" for override in choices):
        return AudiogenError(f"which recipe? give recipe=…, one of: {', '.join(offered['recipe'])}")
    for choice in choices:
        group, name = choice.key_or_group, str(choice.value())
        if name not in offered[group]:
            return unknown_name(group, name, offered[group])
    settings = _settings([choice.input_line for choice in choices])
    for override in parsed:
        if settings and not override.is_add() and override.key_or_group not in {*settings, *offered}:
            return unknown_name("setting", override.key_or_group, {*settings, *offered})
    cause = error.__cause__ or error.__context__ or error
    where = _first_line(error).removeprefix("Error merging override ").rstrip(".")
    return AudiogenError(f"{where}: {_first_line(cause)}")


def _settings(choices: list[str]) -> list[str]:
    """Every setting the chosen groups have, dotted; none if the choices themselves do not compose."""
    try:
        return list(_keys(compose("config", overrides=choices)))
    except (HydraException, OmegaConfBaseException):
        return []


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in config:
        yield f"{prefix}{key}"
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from _keys(node, f"{prefix}{key}.")


def _first_line(error: BaseException) -> str:
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return re.sub(r"^In '\S+': ", "", line)
