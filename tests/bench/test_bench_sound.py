"""The benchmark of sound from captions runs and compares."""

from audiogen.bench import sound
from audiogen.bench.masked import SHORTCUTS


def test_magnet_is_timed_beside_the_plain_algorithm_that_says_the_same():
    table = sound.bench_magnet(dim=32, layers=2, frames=30, steps=(3, 2), pairs=1)
    rows = {row["name"]: row for row in table.rows}
    assert [*rows] == [
        "MAGNeT, plain",
        *SHORTCUTS,
        sound.LAST_SHORTCUT,
        "MAGNeT, 8-bit weights",
        "MusicGen, cached",
    ]
    assert all(row["seconds"] > 0 for row in table.rows)
    ours = rows[sound.LAST_SHORTCUT]["seconds"]
    assert rows["MusicGen, cached"]["times"] == rows["MusicGen, cached"]["seconds"] / ours
