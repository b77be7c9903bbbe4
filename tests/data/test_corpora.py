"""Reading corpora: what a cut holds, and what is said about a corpus that is not right."""

import json

import pytest
import torch

from audiogen import audio
from audiogen.data.corpora import DATA_VARIABLE, load_cuts, read_wave
from audiogen.errors import AudiogenError

pytest.importorskip("lhotse")


def test_manifest_becomes_cuts(root):
    cuts = load_cuts("tones", root)
    cut = cuts[3]
    assert len(cuts) == 10
    assert cut.id == "tones-t03"
    assert cut.custom == {"corpus": "tones", "pitch": 3}
    assert (cut.supervisions[0].text, cut.supervisions[0].speaker, cut.supervisions[0].language) == (
        "a tone",
        "s1",
        "en",
    )
    assert [(item.symbol, item.start) for item in cut.supervisions[0].alignment["phone"]][1] == ("ə", 0.1)
    assert cut.num_samples == round(0.45 * 16_000)


def test_read_wave_equals_the_file_and_lhotse(root):
    cut = load_cuts("tones", root)[0]
    wave = read_wave(cut, 16_000)
    assert torch.equal(wave, audio.read(root / "tones/audio/t00.flac")[0])
    assert torch.allclose(wave, torch.from_numpy(cut.load_audio())[0])
    part = cut.truncate(offset=0.1, duration=0.05)
    assert torch.equal(read_wave(part, 16_000), wave[1600:2400])
    assert read_wave(cut, 24_000).shape == (7200,)


def test_several_corpora_repetition_and_durations(root):
    assert len(load_cuts(["tones", "tones*2"], root)) == 30
    assert len(set(load_cuts("tones*3", root).ids)) == 30
    assert len(load_cuts("tones", root, min_duration=0.5)) == 6
    assert len(load_cuts("tones", root, max_duration=0.42)) == 3


def test_root_from_the_environment(root, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(root))
    assert len(load_cuts("tones", split="valid")) == 2
    assert len(load_cuts(str(root / "tones"))) == 10


def test_arpabet_timings_beside_the_manifest(root):
    rows = [json.loads(line) for line in (root / "tones/manifest.jsonl").read_text().splitlines()]
    timings = {
        "id": "t00",
        "phones": [["sp", 0, 0.1], ["AE1", 0.1, 0.2], ["spn", 0.2, 0.3]],
        "words": [["at", 0.1, 0.3]],
    }
    (root / "tones/manifest.jsonl").write_text(json.dumps({k: v for k, v in rows[0].items() if k != "phones"}))
    (root / "tones/alignments.jsonl").write_text(json.dumps(timings))
    alignment = load_cuts("tones", root)[0].supervisions[0].alignment
    assert [item.symbol for item in alignment["phone"]] == ["sil", "ˈæ", "spn"]
    assert [item.symbol for item in alignment["word"]] == ["at"]


@pytest.mark.parametrize("name, separator", [("metadata.csv", "|"), ("transcripts.txt", " ")])
def test_folder_with_transcripts(tmp_path, name, separator):
    folder = tmp_path / "voice"
    (folder / "wavs").mkdir(parents=True)
    for i in range(40):
        audio.write(folder / "wavs" / f"c{i}.wav", torch.zeros(800), 8_000)
    (folder / name).write_text("".join(f"c{i}{separator}Number {i}, please.\n" for i in range(40)))
    train = load_cuts("voice", tmp_path)
    assert 30 <= len(train) < 40
    assert train[0].supervisions[0].text == f"Number {train[0].supervisions[0].id[1:]}, please."
    assert train[0].supervisions[0].speaker == "voice"


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"id": "a", "audio": "x.wav", "split": "train"}\n{"id": ', "line 2: not a JSON object"),
        ('{"id": "a", "split": "train"}', "line 1: needs a string 'audio'"),
        ("[1, 2]", "line 1: needs a string 'id'"),
        ('{"id": "a", "audio": "x.wav", "split": "train"}', "x.wav: no such file"),
        ('{"id": "a", "audio": "audio/t00.flac", "split": "train", "phones": [["a", 1, 0]]}', "ends before it starts"),
    ],
)
def test_broken_manifest(root, content, message):
    (root / "tones/manifest.jsonl").write_text(content)
    with pytest.raises(AudiogenError, match=message):
        load_cuts("tones", root)


def test_what_is_missing(root, tmp_path, monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    (tmp_path / "empty").mkdir()
    for arguments, message in [
        (("tones",), DATA_VARIABLE),
        (("tones", tmp_path / "nowhere"), "nowhere does not exist"),
        (("tone", root), "did you mean 'tones'"),
        (("tones", root, "dev"), "unknown split of tones: 'dev'; known: train, valid"),
        (("empty", tmp_path), "needs manifest.jsonl"),
        (("tones", root, "train", 5.0), "no clips of 5 to inf s"),
    ]:
        with pytest.raises(AudiogenError, match=message):
            load_cuts(*arguments)


def test_transcript_errors(tmp_path):
    (tmp_path / "voice").mkdir()
    (tmp_path / "voice/metadata.csv").write_text("a1\n")
    with pytest.raises(AudiogenError, match="line 1: 'a1' is not of the form"):
        load_cuts("voice", tmp_path)
    (tmp_path / "voice/metadata.csv").write_text("a1|hello\n")
    with pytest.raises(AudiogenError, match="no sound file for 'a1'"):
        load_cuts("voice", tmp_path)
