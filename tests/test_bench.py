import pytest

from audiogen import bench

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(bench, "CODEC_SECONDS", 0.4)
    monkeypatch.setattr(bench, "REPEATS", 1)


def test_the_codec_is_timed_whole_in_chunks_and_beside_encodec(tiny_codec_bundle):
    pytest.importorskip("encodec")
    table = bench.bench_codec("tiny-codec", pairs=1)
    ours, theirs = table.rows
    assert ours["both"] > 0 and ours["encode"] > 0 and ours["decode"] > 0
    assert 0 < ours["chunk, median"] <= ours["chunk, 95 %"] <= ours["chunk, longest"]
    assert theirs["times ours"] > 1  # a few thousand weights against fifteen million
    assert {"name", "value", "unit"} <= table.figures()[0].keys()
    assert "thread" in table.note


def test_without_encodec_the_codec_is_timed_alone(tiny_codec_bundle, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "encodec", None)
    table = bench.bench_codec("tiny-codec", pairs=1)
    assert [row["name"] for row in table.rows] == ["tiny-codec"]
    assert "audiogen[train]" in table.note
