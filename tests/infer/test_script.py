"""Lines: from text with given durations, from a reading, from a file; rounded without drift, hastened exactly."""

from pathlib import Path

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.infer.script import Line, at_speed, read_lines, read_text, retimed, without_first_pause, write_lines
from audiogen.text.frontend import TextFrontend

FRONTEND = TextFrontend("en")


def test_phones_and_pauses_may_be_given_in_the_text():
    (line,) = read_text("Say [[təmˈeɪ:.25toʊ]], [[sil:0.8]] now.", FRONTEND)
    given = dict(zip(line.phones, line.seconds, strict=True))
    assert given["ˈeɪ"] == 0.25 and given["oʊ"] is None
    assert sorted(second for second in line.seconds if second) == [0.25, 0.8]
    assert line.seconds[line.phones.index("sil", 1)] == 0.8
    assert list(line.phones) == FRONTEND.phones("Say [[təmˈeɪtoʊ sil]] now.")


@pytest.mark.parametrize(("text", "said"), [("[[:0.5]] so", "must follow a phone"), ("[[sil:11]] so", "at most 10 s")])
def test_durations_that_cannot_be_are_refused(text, said):
    with pytest.raises(AudiogenError, match=said):
        list(read_text(text, FRONTEND))


def test_a_pause_goes_to_every_break():
    lines = list(read_text("Yes, no. So [[sil:1]] be it.", FRONTEND, pause=0.3))
    silences = [[s for p, s in zip(line.phones, line.seconds, strict=True) if p == "sil"] for line in lines]
    assert silences == [[None, 0.3, 0.3], [None, 1.0, 0.3]]


def test_rounding_does_not_add_up():
    seconds = (0.1,) * 50
    frames = Line(("a",) * 50, seconds).frames(37.5)
    assert (frames.cumsum(0) - torch.arange(1, 51) * 3.75).abs().max() <= 0.5
    assert Line(("a", "b", "c"), (0.001, None, 0.04)).frames(37.5).tolist() == [1, 0, 1]


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 2.0])
def test_a_speed_scales_the_whole_and_keeps_what_is_given(speed):
    natural, preset = torch.tensor([3, 4, 2, 5, 9, 3] * 10), torch.tensor([0, 0, 0, 0, 7, 0] * 10)
    frames = at_speed(natural, preset, speed)
    assert (frames[preset > 0] == 7).all()
    free = preset == 0
    assert abs(int(frames[free].sum()) - int(natural[free].sum()) / speed) <= 1


def test_a_reading_gives_its_durations_and_pauses():
    lines = [Line(("sil", "a", "sil", "b", "sil"), (None,) * 5), Line(("sil", "k", "sil"), (None,) * 3)]
    read = retimed(lines, [("sil", 0, 0.1), ("a", 0.1, 0.2), ("b", 0.2, 0.5), ("sil", 0.5, 0.9), ("k", 0.9, 1.0)])
    assert [line.phones for line in read] == [("sil", "a", "b", "sil"), ("sil", "k")]
    assert [line.seconds for line in read] == [pytest.approx((0.1, 0.1, 0.3, 0.2)), pytest.approx((0.2, 0.1))]
    run_on = retimed(lines, [("a", 0, 0.2), ("b", 0.2, 0.5), ("k", 0.5, 1.0)])
    assert [line.phones for line in run_on] == [("a", "b", "k")]


def test_lines_go_through_a_file(tmp_path: Path):
    lines = [Line(("sil", "ə"), (None, 0.25)), Line(("sil",), (1.0,))]
    write_lines(tmp_path / "lines.json", lines)
    assert read_lines(tmp_path / "lines.json") == lines
    assert without_first_pause(lines[0]) == Line(("ə",), (0.25,))


@pytest.mark.parametrize(
    "content", ["", "[]", '{"lines": [[["a"]]]}', '{"lines": [[["a", -1]]]}', '{"lines": []}', '{"lines": [[]]}']
)
def test_files_of_another_form_are_refused(tmp_path: Path, content: str):
    (tmp_path / "lines.json").write_text(content)
    with pytest.raises(AudiogenError, match=r"lines\.json"):
        read_lines(tmp_path / "lines.json")
