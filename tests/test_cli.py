"""The command line: what the commands do, and that every mistake is one clear line with nothing half-written."""

import io
import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiogen import audio
from audiogen.cli import main
from audiogen.infer import wavpipe


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """1.3 s of a tone at 22,050 Hz, stereo."""
    path = tmp_path / "tone.wav"
    time = torch.arange(28_665) / 22_050
    audio.write(path, torch.stack([0.3 * torch.sin(2765 * time), 0.2 * torch.sin(1000 * time)]), 22_050)
    return path


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command refuses."""
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def test_help_is_instant_and_needs_no_torch():
    code = "import sys; from audiogen.cli import build_parser; build_parser(['say']); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize(
    "command",
    [
        "say",
        "edit",
        "transcribe",
        "codec encode",
        "codec decode",
        "generate audio",
        "generate waveform",
        "models",
        "import encodec",
        "import fastconformer",
        "import musicgen",
        "import sashimi",
        "demo",
        "serve",
        "run",
        "bench",
        "score",
    ],
)
def test_help_teaches_by_example(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    assert end.value.code == 0
    assert f"examples:\n  audiogen {command}" in capsys.readouterr().out


def test_models_lists_what_there_is(tiny_codec_bundle: Path, tiny_recognizer_bundle: Path, capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert "tiny-codec" in out and "CC0-1.0" in out and "recognizer" in out and "en" in out


def test_codec_encodes_and_decodes(tiny_codec_bundle: Path, sound: Path, tmp_path: Path, capsys):
    codes, back = tmp_path / "tone.agc", tmp_path / "back.wav"
    assert main(["codec", "encode", str(sound), str(codes), "--codebooks", "2", "--model", "tiny-codec"]) == 0
    said = capsys.readouterr().err
    assert f"1.3 s in {codes.stat().st_size:,} bytes" in said and "kbit/s, 2 codebooks" in said
    assert main(["codec", "decode", str(codes), str(back), "--model", str(tiny_codec_bundle)]) == 0
    assert audio.check(back).frames == 31_200


def test_codec_works_through_pipes(tiny_codec_bundle: Path, sound: Path, tmp_path: Path):
    audiogen = [sys.executable, "-m", "audiogen.cli", "codec"]
    model = ["--model", str(tiny_codec_bundle)]
    with sound.open("rb") as file:
        encoder = subprocess.Popen([*audiogen, "encode", "-", "-", *model], stdin=file, stdout=subprocess.PIPE)
    decoded = subprocess.run([*audiogen, "decode", "-", "-", *model], stdin=encoder.stdout, capture_output=True)
    assert encoder.wait() == decoded.returncode == 0
    assert decoded.stdout[:4] == b"RIFF" and len(decoded.stdout) == 44 + 2 * 31_200
    assert decoded.stderr == b"-: 1.3 s\n"


def test_transcribe_writes_lines_and_json(tiny_recognizer_bundle: Path, sound: Path, tmp_path: Path, capsys):
    figures = tmp_path / "texts.json"
    command = ["transcribe", str(sound), str(sound), "--model", "tiny-recognizer", "--json", str(figures)]
    assert main(command) == 0
    results = json.loads(figures.read_text())["results"]
    assert [result["file"] for result in results] == [str(sound)] * 2
    assert set(results[0]) == {"file", "text", "words"}
    assert capsys.readouterr().out == f"{sound}\t{results[0]['text']}\n" * 2


@pytest.mark.parametrize("form", ["raw", "wav"])
def test_transcribe_hears_a_pipe(tiny_recognizer_bundle: Path, sound: Path, monkeypatch, capsys, form: str):
    wave, rate = soundfile.read(sound, dtype="int16")
    soundfile.write(sound, wave[:, 0], rate)
    data = (wavpipe.header(rate, 1) if form == "wav" else b"") + wave[:, 0].tobytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
    assert main(["transcribe", "--stream", "-", "--rate", str(rate), "--model", "tiny-recognizer"]) == 0
    piped = capsys.readouterr().out.split()
    main(["transcribe", str(sound), "--model", "tiny-recognizer"])
    assert piped == capsys.readouterr().out.split()
    assert "--stream -" in refuse(capsys, "transcribe", "-", "--model", "tiny-recognizer")


def test_transcribe_listens_as_it_is_told(tiny_recognizer_bundle: Path, sound: Path, capsys):
    transcribe = ["transcribe", str(sound), "--model", "tiny-recognizer"]
    assert main([*transcribe, "--hot-words", "cat", "mat", "--lookahead", "1"]) == 0
    assert capsys.readouterr().out.endswith("\n")
    assert "lookahead=99 was not trained" in refuse(capsys, *transcribe, "--lookahead", "99")


def test_transcribe_streams_to_the_same_text(tiny_recognizer_bundle: Path, sound: Path, capsys):
    assert main(["transcribe", str(sound), "--model", "tiny-recognizer"]) == 0
    whole = capsys.readouterr().out
    assert main(["transcribe", str(sound), "--model", "tiny-recognizer", "--stream"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == whole.strip("\n")


def test_say_writes_sound_and_figures(tiny_voice_bundle: Path, tmp_path: Path):
    out, figures = tmp_path / "hello.flac", tmp_path / "figures.json"
    command = [
        "say",
        "Hello there.",
        "--model",
        "tiny-voice",
        "--voice",
        "bob",
        "--out",
        str(out),
        "--json",
        str(figures),
    ]
    assert main(command) == 0
    info = audio.check(out)
    rows = {row["name"]: row for row in json.loads(figures.read_text())["rows"]}
    assert info.samplerate == 24_000 and rows["speech"]["value"] == pytest.approx(info.duration, abs=1e-3)
    assert rows["first audio"]["unit"] == "ms" and rows["first audio"]["value"] > 0


def test_say_streams_raw_sound(tiny_voice_bundle: Path, tmp_path: Path, monkeypatch, capfdbinary):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hello there."))
    assert main(["say", "-", "--model", "tiny-voice", "--stream", "--out", "hello.wav"]) == 0
    streamed = np.frombuffer(capfdbinary.readouterr().out, "<i2")
    kept, _ = soundfile.read("hello.wav", dtype="int16")
    np.testing.assert_array_equal(streamed, kept)


def test_lines_that_were_saved_are_said_again_with_their_timing(tiny_voice_bundle: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    say = ["say", "--model", "tiny-voice", "--longest-phone", "0.1"]
    assert main([*say, "Cat [[sil:0.4]] tack. So.", "--save-lines", "lines.json", "--out", "first.wav"]) == 0
    lines = json.loads(Path("lines.json").read_text())["lines"]
    assert len(lines) == 2 and ["sil", pytest.approx(0.4, abs=0.02)] in lines[0]
    assert main([*say, "--lines", "lines.json", "--voice", "bob", "--seed", "7", "--int8", "--out", "again.wav"]) == 0
    assert audio.check("first.wav").frames == audio.check("again.wav").frames


def test_another_seed_is_another_reading(tiny_voice_bundle: Path, tmp_path: Path):
    def say(seed: int) -> bytes:
        out = tmp_path / f"{seed}.wav"
        assert main(["say", "Hello.", "--model", "tiny-voice", "--seed", str(seed), "--out", str(out)]) == 0
        return out.read_bytes()

    assert say(0) == say(0) != say(1)


def test_generate_writes_every_sound_and_figures(tiny_waveform_bundle: Path, tmp_path: Path):
    out, figures = tmp_path / "b.flac", tmp_path / "figures.json"
    arguments = ["generate", "waveform", "--model", str(tiny_waveform_bundle), "--label", "one", "--seconds", "0.05"]
    assert main([*arguments, "--out", str(out), "--json", str(figures)]) == 0
    assert audio.check(out).frames == 200
    assert {row["name"] for row in json.loads(figures.read_text())["rows"]} >= {"sound", "real-time factor"}
    assert main([*arguments, "--out", str(tmp_path / "c.wav"), "--prompt", str(out), "--count", "2", "--reject"]) == 0
    assert [audio.check(tmp_path / f"c-{i}.wav").frames for i in (1, 2)] == [400, 400]
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["b.flac", "c-1.wav", "c-2.wav", "figures.json"]


def test_generate_streams_what_it_would_write(tiny_waveform_bundle: Path, tmp_path: Path, monkeypatch, capfdbinary):
    arguments = ["generate", "waveform", "--model", str(tiny_waveform_bundle), "--label", "one", "--seconds", "0.1"]
    assert main([*arguments, "--out", str(tmp_path / "whole.wav")]) == 0
    capfdbinary.readouterr()
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--stream"]) == 0
    streamed = np.frombuffer(capfdbinary.readouterr().out, "<i2") / 32768
    np.testing.assert_allclose(streamed, audio.read(tmp_path / "whole.wav")[0].numpy(), atol=1e-4)
    assert [path.name for path in tmp_path.glob("*.*")] == ["whole.wav"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "which class? give a label, one of: zero, one"),
        (["--label", "won"], "did you mean 'one'"),
        (["--label", "one", "--count", "0"], "above 0"),
        (["--label", "one", "--stream", "--count", "2"], "--stream is for one"),
        (["--label", "one", "--temperature", "-1"], "temperature is -1.0"),
        (["--label", "one", "--out", "sound.mp4"], "must end in"),
    ],
)
def test_wrong_options_of_generate_are_refused(options, said: str, tiny_waveform_bundle: Path, monkeypatch, capsys):
    monkeypatch.chdir(tiny_waveform_bundle.parent)
    assert said in refuse(capsys, "generate", "waveform", "--model", str(tiny_waveform_bundle), *options)


def test_the_demo_leaves_its_files(tiny_voice_bundle: Path, tiny_recognizer_bundle: Path, tmp_path: Path, capsys):
    folder = tmp_path / "demo"
    models = ["--voice-model", "tiny-voice", "--recognizer", "tiny-recognizer"]
    assert main(["demo", *models, "--out", str(folder), "--text", "Hi."]) == 0
    assert {path.name for path in folder.iterdir()} == {"speech.wav", "transcript.txt", "picture.svg", "report.html"}
    assert (folder / "picture.svg").read_text().startswith("<svg")
    out = capsys.readouterr().out
    assert all(figure in out for figure in ("first audio", "real-time factor", "word error rate"))


def test_bench_writes_figures(tiny_voice_bundle: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr("audiogen.bench.say.SENTENCES", ("Hi.",))
    monkeypatch.setattr("audiogen.bench.say.REPEATS", 1)
    monkeypatch.setattr("audiogen.bench.say.PAIRS", 1)
    figures = tmp_path / "speed.json"
    assert main(["bench", "say", "--voice-model", "tiny-voice", "--json", str(figures)]) == 0
    assert {"name", "value", "unit"} <= set(json.loads(figures.read_text())["rows"][0])
    assert "first audio" in capsys.readouterr().out


# What a person can do wrong.


def broken_wave(path: Path, case: str) -> str:
    """A file of that kind, and what the refusal says of it."""
    if case == "missing":
        return "no such file"
    if case == "empty":
        path.touch()
        return "is empty"
    if case == "text":
        path.write_text("this is not sound")
        return "not a sound file"
    if case == "no samples":
        soundfile.write(path, np.zeros(0), 16_000, format="WAV")
        return "holds no samples"
    if case == "NaN":
        soundfile.write(path, np.array([0, np.nan, 0], np.float32), 16_000, format="WAV", subtype="FLOAT")
        return "sample 1 is not a finite number"
    if case == "8 channels at 192 kHz":
        soundfile.write(path, np.zeros((64, 8)), 192_000, format="WAV")
        return "8 channels"
    if case == "3 hours":  # 86 MB of a hole in the file, no bytes on the disk
        soundfile.write(path, np.zeros(1), 8_000, format="WAV", subtype="PCM_U8")
        length = 3 * 3600 * 8_000
        header = bytearray(path.read_bytes()[:44])
        header[4:8], header[40:44] = (36 + length).to_bytes(4, "little"), length.to_bytes(4, "little")
        path.write_bytes(header)
        with path.open("r+b") as file:
            file.truncate(44 + length)
        return "180 minutes long"
    raise AssertionError(case)


BROKEN = ["missing", "empty", "text", "no samples", "NaN", "8 channels at 192 kHz", "3 hours"]


@pytest.mark.parametrize("case", BROKEN)
def test_broken_sound_is_refused(case: str, tiny_codec_bundle, tiny_recognizer_bundle, tmp_path: Path, capsys):
    path, out = tmp_path / "broken.wav", tmp_path / "out"
    out.mkdir()
    said = broken_wave(path, case)
    transcribe = ["transcribe", str(path), "--model", "tiny-recognizer", "--json", str(out / "a.json")]
    assert said in refuse(capsys, *transcribe)
    assert said in refuse(capsys, "codec", "encode", str(path), str(out / "a.agc"), "--model", "tiny-codec")
    assert not list(out.iterdir())


def test_a_cut_sound_file_is_refused(tiny_recognizer_bundle, tmp_path: Path, capsys):
    path = tmp_path / "cut.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    path.write_bytes(path.read_bytes()[:4000])
    refuse(capsys, "transcribe", str(path), "--model", "tiny-recognizer")


def test_one_broken_file_of_many_is_named_before_any_work(tiny_recognizer_bundle, sound: Path, tmp_path: Path, capsys):
    line = refuse(capsys, "transcribe", str(sound), str(tmp_path / "gone.wav"), "--model", "tiny-recognizer")
    assert "gone.wav: no such file" in line


@pytest.mark.parametrize("case", ["text", "another version", "cut"])
def test_broken_codes_are_refused(case: str, tiny_codec_bundle: Path, sound: Path, tmp_path: Path, capsys):
    codes, back = tmp_path / "a.agc", tmp_path / "back.wav"
    main(["codec", "encode", str(sound), str(codes), "--model", "tiny-codec"])
    capsys.readouterr()
    data = codes.read_bytes()
    wrong = {"text": b"hello", "another version": b"AGC1" + data[4:], "cut": data[:-10]}
    codes.write_bytes(wrong[case])
    refuse(capsys, "codec", "decode", str(codes), str(back), "--model", "tiny-codec")
    assert not back.exists()


def test_a_missing_model_is_named(sound: Path, tiny_recognizer_bundle, capsys):
    assert "did you mean 'tiny-recognizer'" in refuse(capsys, "transcribe", str(sound), "--model", "tiny-recogniser")


def test_a_model_of_another_kind_is_refused(sound: Path, tiny_codec_bundle, capsys):
    line = refuse(capsys, "transcribe", str(sound), "--model", "tiny-codec")
    assert "kind 'codec'" in line and "'recognizer'" in line


def test_a_bundle_without_a_tensor_is_refused(sound: Path, tiny_recognizer_bundle: Path, capsys):
    from safetensors.torch import load_file, save_file

    weights = tiny_recognizer_bundle / "weights.safetensors"
    tensors = load_file(weights)
    tensors.pop("head.bias")
    save_file(tensors, weights)
    assert "lacks 'head.bias'" in refuse(capsys, "transcribe", str(sound), "--model", "tiny-recognizer")


def test_a_misspelt_config_key_is_refused(sound: Path, tiny_recognizer_bundle: Path, capsys):
    config = tiny_recognizer_bundle / "config.json"
    config.write_text(config.read_text().replace('"depth"', '"detph"'))
    line = refuse(capsys, "transcribe", str(sound), "--model", "tiny-recognizer")
    assert "'detph'" in line and "did you mean 'depth'" in line


def test_a_mistyped_override_is_refused(tmp_path: Path, capsys):
    line = refuse(capsys, "run", "recipe=codec_default", f"exp_dir={tmp_path / 'exp'}", "train.setps=3")
    assert "setps" in line and "train.steps" in line
    assert not (tmp_path / "exp").exists()


def test_an_unknown_command_is_refused(capsys):
    assert "'sya'" in refuse(capsys, "sya", "hello")


def test_output_into_a_missing_folder_is_refused(tiny_codec_bundle, sound: Path, tmp_path: Path, capsys):
    target = tmp_path / "nowhere" / "a.agc"
    assert "does not exist" in refuse(capsys, "codec", "encode", str(sound), str(target), "--model", "tiny-codec")


def test_an_interruption_is_status_130(monkeypatch: pytest.MonkeyPatch, capsys):
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("audiogen.cli.models.models", interrupt)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_fault_of_our_own_is_one_line_and_with_debug_a_traceback(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr("audiogen.cli.models.models", lambda _: 1 / 0)
    assert main(["models"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["models", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


EMPTY, HUGE = "", "word " * 20_000
UNSPEAKABLE = {
    EMPTY: "empty",
    "   \n": "empty",
    HUGE: "100,000 characters",
    "😀🎉": "nothing to say",
    "...": "nothing to say",
}


@pytest.mark.parametrize("text", [*UNSPEAKABLE, "你好世界", "שלום", "नमस्ते"])
def test_unspeakable_text_is_refused(text: str, tiny_voice_bundle: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    line = refuse(
        capsys, "say", text, "--model", "tiny-voice", "--out", str(out / "a.wav"), "--json", str(out / "a.json")
    )
    assert UNSPEAKABLE.get(text, "") in line and len(line) < 300
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--voice", "anm"], "did you mean 'ann'"),
        (["--out", "a.mp4"], ".wav, .flac, .ogg"),
        (["--out", "nowhere/a.wav"], "nowhere does not exist"),
        (["--prompt", "me.wav"], "--transcript"),
        (["--prompt", "me.wav", "--transcript", "me", "--voice", "ann"], "not both"),
        (["--prompt", "me.wav", "--transcript", "me"], "me.wav: no such file"),
        (["--seed", "one"], "invalid int value: 'one'"),
        (["--sed", "1"], "--sed"),
        (["--go-on"], "--go-on goes on from --prompt"),
        (["--best-of", "0"], "--best-of 0"),
        (["--stream", "--best-of", "2"], "--best-of and --save-lines need a file"),
        (["--lines", "a.json"], "not both"),
        (["--timing", "me.wav"], "me.wav: no such file"),
        (["--speed", "9"], "speed is 9.0"),
        (["--longest-phone", "0"], "max_dwell 0"),
    ],
)
def test_wrong_options_of_say_are_refused(
    options: list[str], said: str, tiny_voice_bundle, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    assert said in refuse(capsys, "say", "Hello.", "--model", "tiny-voice", *options)
    assert set(tmp_path.rglob("*")) == before


def test_a_voice_with_another_codec_is_refused(tiny_voice_bundle: Path, tmp_path: Path, capsys):
    config = tiny_voice_bundle / "config.json"
    described = json.loads(config.read_text())
    described["codec"]["codes_sha256"] = "0" * 64
    config.write_text(json.dumps(described))
    line = refuse(capsys, "say", "Hello.", "--model", "tiny-voice", "--out", str(tmp_path / "a.wav"))
    assert "another codec" in line


@pytest.mark.parametrize(("command", "said"), [(["bench", "sya"], "say"), (["score", "codecs"], "codec")])
def test_an_unknown_measure_is_refused(command: list[str], said: str, capsys):
    assert f"did you mean {said!r}" in refuse(capsys, *command)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "AUDIOGEN_AUTH=user:password"),
        (["--port", "70000"], "port 70000"),
        (["--host", "no.such.host.example"], "AUDIOGEN_AUTH=user:password"),
    ],
)
def test_wrong_options_of_serve_are_refused(options, said: str, tiny_voice_bundle, tiny_recognizer_bundle, capsys):
    pytest.importorskip("gradio")
    models = ["--voice-model", "tiny-voice", "--recognizer", "tiny-recognizer"]
    assert said in refuse(capsys, "serve", *models, *options)


def test_a_taken_port_is_refused(tiny_voice_bundle, tiny_recognizer_bundle, capsys):
    pytest.importorskip("gradio")
    models = ["--voice-model", "tiny-voice", "--recognizer", "tiny-recognizer"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = refuse(capsys, "serve", *models, "--port", str(taken.getsockname()[1]))
    assert "in use" in line and "--port" in line
