from audiogen import bench_sound


def test_magnet_is_timed_beside_the_plain_algorithm_that_says_the_same():
    table = bench_sound.bench_magnet(dim=32, layers=2, frames=30, steps=(3, 2), pairs=1)
    ours, plain = table.rows
    assert 0 < ours["seconds"] and plain["times ours"] > 0
