from audiogen.metrics.memory import peak_memory


def hold(mebibytes: int) -> None:
    assert bytearray(b"x" * (mebibytes << 20))


def test_the_peak_is_what_the_work_adds():
    assert 2 * 60 * 0.9 < peak_memory(hold, 60) < 2 * 60 + 60  # the bytes and their copy
