"""The benchmark of sound from captions runs and compares."""

from audiogen.bench import sound


def test_magnet_is_timed_beside_the_plain_algorithm_that_says_the_same():
    table = sound.bench_magnet(dim=32, layers=2, frames=30, steps=(3, 2), pairs=1)
    assert [row["name"] for row in table.rows] == [
        "MAGNeT",
        "MAGNeT, plain",
        "MAGNeT, 8-bit weights",
        "MusicGen, cached",
    ]
    assert all(row["seconds"] > 0 for row in table.rows)
    assert table.rows[3]["times"] == table.rows[3]["seconds"] / table.rows[0]["seconds"]
