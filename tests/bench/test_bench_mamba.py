import pytest

from audiogen.bench.mamba import bench_mamba


def test_the_compiled_scan_is_timed_beside_the_plain_one():
    pytest.importorskip("numba")
    rows = bench_mamba(seconds=0.02, pairs=2).rows
    assert [row["name"] for row in rows] == ["whole sequences", "with gradients"]
    for row in rows:
        assert row["compiled"] > 0 < row["plain"] and row["times as fast, lower quartile"] <= row["times as fast"]
