import json
from pathlib import Path

import pytest
import torch

from audiogen import audio
from audiogen.api import load
from audiogen.errors import AudiogenError
from audiogen.score.clips import corpus_clips
from audiogen.score.codec import score_codec
from audiogen.score.transcribe import score_transcribe, streams_equal

RATE = 16_000


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    """Two test clips of noise with transcripts, as a corpus; the first is long enough for PESQ and STOI."""
    pytest.importorskip("lhotse")
    folder = tmp_path / "data" / "hiss"
    (folder / "audio").mkdir(parents=True)
    lines = []
    for index, seconds in enumerate((1.2, 1.0)):
        generator = torch.Generator().manual_seed(index)
        envelope = (torch.arange(int(seconds * RATE)) / RATE * 20).sin().clamp(min=0)
        audio.write(
            folder / "audio" / f"{index}.wav", 0.1 * torch.randn(1, len(envelope), generator=generator) * envelope, RATE
        )
        row = {"id": str(index), "audio": f"audio/{index}.wav", "split": "test", "duration_s": seconds}
        lines.append(
            json.dumps({**row, "text": "One, two.", "speaker": "hiss", "sampling_rate": RATE, "language": "en"})
        )
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return "hiss"


def test_clips_come_with_text_and_speaker_at_the_rate_asked_for(corpus, tmp_path):
    clips = corpus_clips(corpus, "test", str(tmp_path / "data"), sample_rate=8000)
    assert [(clip.text, clip.speaker, clip.seconds) for clip in clips] == [
        ("One, two.", "hiss", 1.2),
        ("One, two.", "hiss", 1.0),
    ]
    assert clips[0].wave.shape == (1, 9600)
    with pytest.raises(AudiogenError, match="limit=0"):
        corpus_clips(corpus, "test", str(tmp_path / "data"), limit=0)


def test_a_codec_is_scored_beside_opus(corpus, tmp_path, tiny_codec_bundle):
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    table = score_codec("tiny-codec", corpus, str(tmp_path / "data"), limit=1)
    assert [row["name"] for row in table.rows][-3:] == ["Opus at 6", "Opus at 9", "Opus at 12"]
    assert all(row["PESQ-WB"] >= 1 and row["mel distance"] > 0 for row in table.rows)
    assert table.rows[0]["bit rate"] == 0.75  # 2 codebooks of 32 at 75 Hz


def test_a_recogniser_is_scored_beside_the_outside_one(corpus, tmp_path, tiny_recognizer_bundle):
    pytest.importorskip("pocketsphinx")
    table = score_transcribe("tiny-recognizer", [corpus], str(tmp_path / "data"), limit=1)
    assert [row["name"] for row in table.rows] == ["hiss: ours", "hiss: pocketsphinx"]
    assert all(row["clips"] == 1 and row["real-time factor"] > 0 for row in table.rows)
    assert "1 of 1 clips" in table.note


def test_streaming_in_any_chunks_gives_the_text_of_the_whole(tiny_recognizer_bundle):
    wave = 0.1 * torch.randn(1, 20_000, generator=torch.Generator().manual_seed(0))
    assert streams_equal(load("tiny-recognizer"), wave)
