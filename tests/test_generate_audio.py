"""`audiogen generate audio`: what it writes, and how it refuses."""

import json
from pathlib import Path

import pytest
import torch

from audiogen import audio
from audiogen.checkpoint import load_bundle, save_bundle
from audiogen.cli import main


def generate(*arguments: str) -> int:
    return main(["generate", "audio", *arguments])


def test_a_caption_becomes_a_file_with_figures(sound_bundles: Path, tmp_path: Path) -> None:
    out, figures = str(tmp_path / "rain.wav"), str(tmp_path / "figures.json")
    asked = [
        "rain",
        "--model",
        str(sound_bundles / "tiny-magnet"),
        "--seconds",
        "0.3",
        "--steps",
        "2",
        "1",
        "--out",
        out,
    ]
    assert generate(*asked, "--json", figures) == 0
    wave = audio.read(out)
    assert wave.shape == (1, 7200)
    assert {row["name"] for row in json.loads(Path(figures).read_text())["rows"]} >= {"sound", "real-time factor"}
    assert generate(*asked, "--rescorer", "tiny-musicgen", "--guidance", "2") == 0
    assert generate(*asked, "--prompt", out, "--seconds", "0.6") == 0
    assert audio.read(out).shape == (1, 14_400)


def test_what_lies_between_two_recordings_is_made(sound_bundles: Path, tmp_path: Path) -> None:
    ends, out = str(tmp_path / "ends.wav"), str(tmp_path / "whole.wav")
    audio.write(ends, 0.1 * torch.randn(1, 3200), 24_000)
    asked = ["rain", "--model", "tiny-magnet", "--seconds", "0.5", "--steps", "2", "1", "--out", out]
    assert generate(*asked, "--prompt", ends, "--until", ends) == 0
    assert audio.read(out).shape[1] == pytest.approx(12_000, abs=640)  # two frames
    assert generate(*asked, "--until", ends) == 0
    assert audio.read(out).shape[1] == pytest.approx(12_000, abs=640)


def test_sound_streams_out_raw(sound_bundles: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert generate("rain", "--model", "tiny-musicgen", "--seconds", "0.3", "--stream") == 0
    assert len(capfdbinary.readouterr().out) == 2 * 7200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rain"], "--model"),
        (["rain", "--model", "tiny-magent"], "did you mean 'tiny-magnet'"),
        (["rain", "--model", "tiny-codec"], "one of kind 'sound' is needed"),
        (["", "--model", "tiny-magnet"], "has no words"),
        (["rain", "--model", "tiny-magnet", "--seconds", "0"], "more than 0"),
        (["rain", "--model", "tiny-magnet", "--seconds", "3600"], "at most 600"),
        (["rain", "--model", "tiny-magnet", "--steps", "0"], "at least 1"),
        (["rain", "--model", "tiny-musicgen", "--rescorer", "tiny-magnet"], "only a MAGNeT is rescored"),
        (["rain", "--model", "tiny-magnet", "--out", "rain.mp4"], "must end in"),
        (["?! …", "--model", "tiny-magnet"], "has no words"),
        (["word " * 10_000, "--model", "tiny-magnet"], "10,000 words"),
        (["rain", "--model", "tiny-magnet", "--seconds", "nan"], "more than 0"),
        (["rain", "--model", "tiny-magnet", "--seconds", "-3"], "more than 0"),
        (["rain", "--model", "tiny-magnet", "--guidance", "nan"], "guidance is nan"),
        (["rain", "--model", "tiny-musicgen", "--guidance", "inf"], "guidance is inf"),
        (["rain", "--model", "tiny-magnet", "--seed", str(2**64)], f"seed is {2**64}; it must have 64 bits"),
        (["rain", "--model", "tiny-musicgen", "--seed", str(-(2**63) - 1)], "it must have 64 bits"),
        (["rain", "--model", "tiny-magnet", "--prompt", "none.wav"], "none.wav"),
        (["rain", "--model", "tiny-magnet", "--prompt", "second.flac", "--seconds", "1"], "ask for more seconds"),
        (["rain", "--model", "tiny-magnet", "--until", "second.flac", "--seconds", "1"], "more --seconds"),
        (["rain", "--model", "tiny-magnet", "--until", "second.flac", "--seconds", "2"], "longer than 0.6 s"),
        (["rain", "--model", "tiny-musicgen", "--until", "second.flac", "--seconds", "2"], "only a MAGNeT leads"),
    ],
)
def test_mistakes_are_one_line(
    sound_bundles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    audio.write("second.flac", torch.zeros(1, 24_000), 24_000)
    assert generate(*arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0] and not list(tmp_path.glob("*.wav"))


def test_another_codec_is_refused(sound_bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = load_bundle(sound_bundles / "tiny-codec", "codec")
    torch.nn.init.normal_(bundle.model.quantizer.vectors)
    save_bundle(sound_bundles / "tiny-codec", bundle)
    assert generate("rain", "--model", "tiny-magnet") == 2
    assert "another codec" in capsys.readouterr().err
