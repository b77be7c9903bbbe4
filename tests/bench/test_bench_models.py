import pytest

from audiogen.bench import codec, encodec, encoder, say, transcribe

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(codec, "SECONDS", 0.4)
    for module in (codec, say, transcribe):
        monkeypatch.setattr(module, "REPEATS", 1)


def test_the_codec_is_timed_whole_in_chunks_and_beside_encodec(tiny_codec_bundle):
    pytest.importorskip("encodec")
    table = codec.bench_codec("tiny-codec", pairs=1)
    ours, theirs = table.rows
    assert ours["both"] > 0 and ours["encode"] > 0 and ours["decode"] > 0
    assert 0 < ours["chunk, median"] <= ours["chunk, 95 %"] <= ours["chunk, longest"]
    assert theirs["times ours"] > 1  # a few thousand weights against fifteen million
    assert ours["memory"] < theirs["memory"] < 2_000 and theirs["chunk, median"] > 0
    assert {"name", "value", "unit"} <= table.figures()[0].keys()
    assert "thread" in table.note


def test_without_encodec_the_codec_is_timed_alone(tiny_codec_bundle, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "encodec", None)
    table = codec.bench_codec("tiny-codec", pairs=1)
    assert [row["name"] for row in table.rows] == ["tiny-codec"]
    assert "audiogen[train]" in table.note


def test_our_encodec_is_timed_beside_the_package_at_equal_codes(monkeypatch):
    pytest.importorskip("encodec")
    monkeypatch.setattr(encodec, "LONG_SECONDS", 0.2)
    monkeypatch.setattr(encodec, "SHORT_SECONDS", 0.16)
    table = encodec.bench_encodec(threads=1, pairs=1)
    assert len(table.rows) == 4 and all(row["ours"] > 0 and row["the package"] > 0 for row in table.rows)
    assert "120 of 120 codes are equal" in table.note


def test_speaking_is_timed_to_the_first_chunk_and_to_the_last(tiny_codec_bundle, tiny_voice_bundle, monkeypatch):
    monkeypatch.setattr(say, "SENTENCES", ("Oh.", "Oh no."))
    monkeypatch.setattr(say, "PAIRS", 1)
    table = say.bench_say("tiny-voice", threads=1)
    *streamed, small, together = table.rows
    assert [row["name"] for row in table.rows] == ["1 words", "2 words", "8-bit weights", "spoken together"]
    assert small["times as fast"] > 0 and together["times as fast"] > 1
    for row in streamed:
        assert row["real-time factor"] > 0
        assert 0 < row["first audio"] <= 1000 * row["real-time factor"] * row["audio"]


def test_listening_is_timed_for_each_chunk_size(
    tiny_codec_bundle, tiny_voice_bundle, tiny_recognizer_bundle, monkeypatch
):
    monkeypatch.setattr(transcribe, "SENTENCES", ("Oh.",))
    monkeypatch.setattr(transcribe, "STREAMS", (2,))
    table = transcribe.bench_transcribe("tiny-recognizer", "tiny-voice", threads=1)
    names = [row["name"] for row in table.rows]
    assert names[:2] == ["whole file", "chunks of 80 ms"] and names[-2:] == ["2 streams at once", "without memory"]
    assert "word shown, median" in table.rows[1]
    assert all(row["real-time factor"] > 0 for row in table.rows)


def test_the_encoder_gives_the_same_frames_the_reference_way(tiny_recognizer_bundle, monkeypatch):
    monkeypatch.setattr(encoder, "SECONDS", 1.0)
    monkeypatch.setattr(encoder, "LARGE", {**encoder.LARGE, "dim": 16})
    table = encoder.bench_encoder("tiny-recognizer", pairs=1)
    assert table.rows and all(row["largest difference"] < 1e-4 and row["times ours"] > 0 for row in table.rows)
