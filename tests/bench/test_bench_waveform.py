import pytest

from audiogen.bench import limits, waveform


def test_sashimi_is_timed_fused_beside_plain_and_beside_the_limit(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(limits, "SECONDS", 0.02)
    monkeypatch.setattr(waveform, "MODELS", {"S4D": {"ssm": "s4d", "layers": 1}})
    table = waveform.bench_sashimi(dim=16)
    names = [f"S4D, batch {batch}{precision}" for batch in (1, 16) for precision in ("", ", bf16 weights")]
    assert [row["name"] for row in table.rows] == names
    for row in table.rows:
        assert row["plain"] > 0 and row["share of the limit"] == pytest.approx(100 * row["fused"] / row["limit"])
    one, halved, sixteen, _ = table.rows
    assert one["arithmetic"] == halved["arithmetic"] == sixteen["arithmetic"]
    assert one["traffic"] > halved["traffic"] > sixteen["traffic"]
