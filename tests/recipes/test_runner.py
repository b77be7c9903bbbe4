"""Stages run once for the same inputs, go on where they were stopped, and stop at results of other inputs."""

import json
from pathlib import Path

import numpy as np
import pytest

from audiogen.errors import AudiogenError
from audiogen.recipes.items import do_items, read_rows, write_array, write_rows
from audiogen.recipes.runner import Span, run_stages


class Write:
    """Writes every item's square as a line; stops dead before item `stop_at`."""

    def __init__(self, name: str, stop_at: int | None = None) -> None:
        self.name, self.stop_at, self.worked = name, stop_at, []

    def inputs(self, config: dict) -> dict:
        return {"settings": config[self.name]}

    def run(self, config: dict, folder: Path) -> None:
        do_items([(str(i), i) for i in range(4)], folder / "rows.jsonl", self._square, self.name)

    def _square(self, number: int) -> dict:
        if number == self.stop_at:
            raise KeyboardInterrupt
        self.worked.append(number)
        return {"square": number**2}


CONFIG = {"first": {"a": 1, "b": {"c": 2}}, "second": {"d": 3}}


def both() -> list[Write]:
    return [Write("first"), Write("second")]


def test_stages_run_once(tmp_path: Path) -> None:
    assert run_stages(both(), CONFIG, tmp_path) == ["first", "second"]
    assert run_stages(both(), CONFIG, tmp_path) == []
    assert read_rows(tmp_path / "second" / "rows.jsonl")[3] == {"id": "3", "square": 9}
    assert not list(tmp_path.glob("*.partial"))
    assert json.loads((tmp_path / "first" / "done.json").read_text())["fingerprint"]


def test_a_stage_that_is_a_link_to_another_runs_folder_is_made_anew_without_it(tmp_path: Path) -> None:
    run_stages([Write("first")], CONFIG, tmp_path / "other")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "first").symlink_to(tmp_path / "other" / "first")
    assert run_stages([Write("first")], CONFIG, tmp_path / "own") == []
    assert run_stages([Write("first")], {"first": {"a": 2}}, tmp_path / "own", Span(force=True)) == ["first"]
    assert len(read_rows(tmp_path / "own" / "first" / "rows.jsonl")) == 4
    assert len(read_rows(tmp_path / "other" / "first" / "rows.jsonl")) == 4


@pytest.mark.parametrize("name", ["first", "first.partial"])
def test_nothing_is_written_through_a_link_to_another_runs_folder(name: str, tmp_path: Path) -> None:
    run_stages([Write("first")], CONFIG, tmp_path / "other")
    before = {path: path.read_bytes() for path in (tmp_path / "other" / "first").iterdir()}
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / name).symlink_to(tmp_path / "other" / "first")
    with pytest.raises(AudiogenError, match=r"is a link to .*other/first, and keep=true would change .* force=true"):
        run_stages([Write("first")], {"first": {"a": 2}}, tmp_path / "own", Span(keep=True))
    assert {path: path.read_bytes() for path in (tmp_path / "other" / "first").iterdir()} == before
    assert (tmp_path / "own" / name).is_symlink()


def test_a_stopped_stage_goes_on_item_by_item(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_stages([Write("first"), Write("second", stop_at=2)], CONFIG, tmp_path)
    assert not (tmp_path / "second").exists()
    with (tmp_path / "second.partial" / "rows.jsonl").open("a") as file:
        file.write('{"id": "2", "squ')
    stages = both()
    assert run_stages(stages, CONFIG, tmp_path) == ["second"]
    assert stages[1].worked == [2, 3]
    assert [row["square"] for row in read_rows(tmp_path / "second" / "rows.jsonl")] == [0, 1, 4, 9]


def test_a_kill_between_rename_and_done_loses_nothing(tmp_path: Path) -> None:
    run_stages(both(), CONFIG, tmp_path)
    (tmp_path / "first" / "done.json").unlink()
    assert run_stages(both(), CONFIG, tmp_path) == []
    assert (tmp_path / "first" / "done.json").exists()


def test_other_inputs_stop_with_the_difference(tmp_path: Path) -> None:
    run_stages(both(), CONFIG, tmp_path)
    other = {**CONFIG, "first": {"a": 1, "b": {"c": 5}}}
    with pytest.raises(AudiogenError, match=r"first.*settings\.b\.c: 2 → 5.*force=true"):
        run_stages(both(), other, tmp_path)
    with pytest.raises(AudiogenError, match=r"'first'.*other inputs"):
        run_stages(both(), other, tmp_path, Span(stage="second"))
    assert run_stages(both(), other, tmp_path, Span(force=True)) == ["first", "second"]


def test_keep_goes_on_from_what_is_there(tmp_path: Path) -> None:
    run_stages(both(), CONFIG, tmp_path)
    stages = both()
    other = {**CONFIG, "second": {"d": 4}}
    assert run_stages(stages, other, tmp_path, Span(keep=True)) == ["second"]
    assert stages[1].worked == []
    assert run_stages(both(), other, tmp_path) == []


def test_a_change_upstream_reaches_what_comes_after(tmp_path: Path) -> None:
    run_stages(both(), CONFIG, tmp_path)
    other = {**CONFIG, "first": {"a": 2}}
    run_stages(both(), other, tmp_path, Span(stop_stage="first", force=True))
    with pytest.raises(AudiogenError, match=r"second.*upstream"):
        run_stages(both(), other, tmp_path)


@pytest.mark.parametrize(
    ("span", "message"),
    [
        (Span(stage="secnd"), "did you mean 'second'"),
        (Span(stage="second", stop_stage="first"), "comes after"),
        (Span(stage="second"), "'first' is not done"),
        (Span(force=True, keep=True), "choose one"),
    ],
)
def test_spans_that_cannot_be_run(tmp_path: Path, span: Span, message: str) -> None:
    with pytest.raises(AudiogenError, match=message):
        run_stages(both(), CONFIG, tmp_path, span)


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    class Nested(Write):
        def run(self, config: dict, folder: Path) -> None:
            run_stages(both(), CONFIG, tmp_path)

    with pytest.raises(AudiogenError, match="another run"):
        run_stages([Nested("first")], CONFIG, tmp_path)


def test_rows_and_arrays(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [{"id": "ä"}, {"id": "b"}])
    assert [row["id"] for row in read_rows(tmp_path / "a.jsonl")] == ["ä", "b"]
    (tmp_path / "a.jsonl").write_text('{"id": 1}\nnot json\n{"id": 2}\n')
    with pytest.raises(AudiogenError, match=r"a\.jsonl holds a line"):
        read_rows(tmp_path / "a.jsonl")
    write_array(tmp_path / "x.npy", np.arange(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "x.npy"]
