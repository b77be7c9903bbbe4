"""Tells people what they wait for while numba compiles a loop, which on each machine it does at the first use only."""

import sys

from numba.core import event
from numba.core.dispatcher import Dispatcher


def tell_when_compiled(loops: dict[Dispatcher, str]) -> None:
    """From now on say on standard error when one of `loops` is compiled, by its name there.

    Nothing is said of a loop that numba finds in its cache.
    """
    event.register("numba:compile", _Teller(loops))


class _Teller(event.Listener):
    def __init__(self, loops: dict[Dispatcher, str]) -> None:
        self._loops = loops

    def on_start(self, event: event.Event) -> None:
        if (loop := event.data["dispatcher"]) in self._loops:
            print(f"compiling {self._loops[loop]} for this machine; this takes a while, but only once", file=sys.stderr)

    def on_end(self, event: event.Event) -> None:
        pass
