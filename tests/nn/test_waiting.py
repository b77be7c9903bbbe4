"""People are told what they wait for while a loop is compiled, and only then."""

import pytest

pytest.importorskip("numba")

from numba.core import event

from audiogen.kernels import sashimi
from audiogen.nn import fused_stepper, waiting

LOOP = """
from numba import njit

@njit(cache=True)
def loop(x):
    return x + 1
"""


def new_loop(folder):
    """The loop of a module that is imported anew, as by another process."""
    names = {"__name__": "loops", "__file__": str(folder / "loops.py")}
    exec(compile(LOOP, folder / "loops.py", "exec"), names)
    return names["loop"]


def test_it_is_said_once_until_the_loop_is_in_the_cache(tmp_path, capsys):
    (tmp_path / "loops.py").write_text(LOOP)
    first, again = new_loop(tmp_path), new_loop(tmp_path)
    waiting.tell_when_compiled({first: "the first loop", again: "the loop again"})
    first(1), first(2)
    assert capsys.readouterr().err == "compiling the first loop for this machine; this takes a while, but only once\n"
    again(1)
    assert capsys.readouterr().err == ""
    again(1.0)
    assert "the loop again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("loop", "name"),
    [(sashimi.draw, "SaShiMi's"), (sashimi.feed, "SaShiMi's"), (fused_stepper.step, "the transformer's")],
)
def test_it_is_said_of_what_makes_sound(loop, name, capsys):
    event.broadcast(event.Event("numba:compile", event.EventStatus.START, {"dispatcher": loop}))
    assert capsys.readouterr().err.count(f"compiling {name}") == 1
