"""The one error for what a person can mend: the command line prints it as a single line, without a traceback."""

import difflib
from collections.abc import Iterable


class AudiogenError(ValueError):
    """Bad input. The message names the value that was wrong and says what would be right."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> AudiogenError:
    """An error for `name` that is none of `known`, with the closest match as a suggestion.

    Args:
        what: What was looked for, e.g. `"voice"`.
        name: What the person wrote.
        known: The names that would have been right.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"
    return AudiogenError(f"unknown {what} {name!r}; {hint}")
