"""Packages of the optional extras, imported where they are needed with an error that says how to get them."""

import importlib
from types import ModuleType

from audiogen.errors import AudiogenError


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, which the extra `extra` installs.

    Raises:
        AudiogenError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise AudiogenError(
            f"this needs the package {module!r}; install it with: pip install 'audiogen[{extra}]'"
        ) from None
