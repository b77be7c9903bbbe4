"""Names for classes: (kind, name) → (config dataclass, class).

Configs and bundles choose a class by its registered name, never by an import path. The dataclass is the schema:
a misspelt key or a wrong type is an error when the config is read.
"""

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any

from audiogen.errors import AudiogenError, unknown_name

KINDS = ("codec", "acoustic", "sound", "recognizer", "waveform", "diffusion", "g2p", "classifier")


@dataclass(frozen=True)
class Entry:
    """One registered class and the dataclass that configures it: `entry.cls(entry.config_class(...))` builds it."""

    kind: str
    name: str
    config_class: type
    cls: type


_ENTRIES: dict[tuple[str, str], Entry] = {}


def register(kind: str, name: str, config_class: type):
    """Class decorator: make `cls(config: config_class)` known as `name` among the classes of `kind`."""
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)

    def decorate(cls: type) -> type:
        if (kind, name) in _ENTRIES:
            raise AudiogenError(f"{kind} {name!r} is registered twice")
        _ENTRIES[kind, name] = Entry(kind, name, config_class, cls)
        return cls

    return decorate


def lookup(kind: str, name: str) -> Entry:
    """The entry of that kind and name.

    Raises:
        AudiogenError: If there is none; the message suggests the closest name.
    """
    if (kind, name) not in _ENTRIES:
        raise unknown_name(kind, name, names(kind))
    return _ENTRIES[kind, name]


def names(kind: str) -> list[str]:
    """The registered names of one kind, sorted."""
    return sorted(name for entry_kind, name in _ENTRIES if entry_kind == kind)


def build(kind: str, name: str, config: dict[str, Any]) -> Any:
    """Build the class registered as `name` from plain values, checked against its dataclass."""
    entry = lookup(kind, name)
    return entry.cls(read_config(entry.config_class, config, where=f"{kind} {name!r}"))


def read_config(config_class: type, values: dict[str, Any], where: str) -> Any:
    """An instance of the dataclass `config_class` from plain `values`; nested dataclasses are read too.

    Raises:
        AudiogenError: For an unknown key, a missing one or a value of the wrong type.
    """
    types_ = typing.get_type_hints(config_class)
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    for key in values:
        if key not in fields:
            raise unknown_name(f"key in the config of {where}:", key, fields)
    read = {key: _read_value(types_[key], value, f"{where}: {key}") for key, value in values.items()}
    for key, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and key not in read:
            raise AudiogenError(f"the config of {where} lacks the key {key!r}")
    return config_class(**read)


def store_schemas() -> None:
    """Put every registered dataclass into Hydra's ConfigStore, as `<kind>/schema/<name>` in package `<kind>`."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    for entry in _ENTRIES.values():
        store.store(group=f"{entry.kind}/schema", name=entry.name, node=entry.config_class, package=entry.kind)


def _read_value(expected: Any, value: Any, where: str) -> Any:
    """`value` as the annotated type, or an error that says both."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = [argument for argument in arguments if argument is not type(None)]
        return _read_value(inner[0], value, where)
    if dataclasses.is_dataclass(expected):
        return read_config(expected, value, where) if isinstance(value, dict) else value
    if origin in (list, tuple) and isinstance(value, (list, tuple)):
        return origin(_read_value(arguments[0], item, where) for item in value)
    plain = origin or expected
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
        raise AudiogenError(f"{where} must be {getattr(plain, '__name__', plain)}, got {value!r}")
    return value
