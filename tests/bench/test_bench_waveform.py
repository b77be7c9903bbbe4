import pytest

from audiogen.bench import waveform


def test_sashimi_is_timed_fused_beside_plain_and_beside_the_limit(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(waveform, "SECONDS", 0.02)
    monkeypatch.setattr(waveform, "MODELS", {"S4D": {"ssm": "s4d", "layers": 1}})
    table = waveform.bench_sashimi(dim=16)
    assert [row["name"] for row in table.rows] == ["S4D, batch 1", "S4D, batch 16"]
    for row in table.rows:
        assert 3 * row["plain"] < row["fused"] < row["limit"]
        assert row["share of the limit"] == pytest.approx(100 * row["fused"] / row["limit"])
    one, sixteen = table.rows
    assert one["arithmetic"] == sixteen["arithmetic"] and one["traffic"] > sixteen["traffic"]
