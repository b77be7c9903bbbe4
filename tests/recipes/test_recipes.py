"""Every recipe from data to scores on a tiny corpus."""

import json
from pathlib import Path

import pytest
from tiny_recipes import THREE_STEPS, TINY_CODEC, TINY_RECOGNIZER, TINY_VOICE, TONES, Judge, Judges

from audiogen.checkpoint import load_bundle
from audiogen.errors import AudiogenError
from audiogen.recipes import asr, tts
from audiogen.recipes.items import read_rows
from audiogen.recipes.run import main, run


def settings(data_root: Path, exp_dir: Path) -> list[str]:
    return [f"data_root={data_root}", f"exp_dir={exp_dir}", *THREE_STEPS]


def figures(exp_dir: Path) -> dict[str, float]:
    return {row["name"]: row["value"] for row in json.loads((exp_dir / "score" / "scores.json").read_text())["rows"]}


def test_recogniser(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asr, "OutsideRecognizer", Judge)
    corpora = ["data.train=[tones*2]", "data.valid=[tones]", "data.test=[tones]"]
    scratch = ["init_from=''", "timings_from=''", *TINY_RECOGNIZER]
    overrides = ["recipe=asr_english", *settings(data_root, tmp_path), *corpora, *scratch]
    assert run(overrides) == ["prepare", "tokenize", "train", "generate", "score"]
    assert run(overrides) == []
    assert {"tones: ours: CER", "tones: judge: WER"} <= figures(tmp_path).keys()
    bundle = load_bundle(tmp_path / "train" / "bundle", "recognizer")
    assert bundle.assets["inventory"] and bundle.assets["words"]["counts"]["cat"] >= 1
    assert (tmp_path / "train" / "log.png").stat().st_size > 0


def test_recogniser_with_a_transducer(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asr, "OutsideRecognizer", Judge)
    corpora = ["data.train=[tones*2]", "data.valid=[tones]", "data.test=[tones]"]
    scratch = ["init_from=''", "timings_from=''", "labels=characters", "infer.label_beam=2", *TINY_RECOGNIZER]
    run(["recipe=asr_english", "model=fastconformer_hybrid", *settings(data_root, tmp_path), *corpora, *scratch])
    assert "tones: ours: WER" in figures(tmp_path)
    assert load_bundle(tmp_path / "train" / "bundle", "recognizer").model.heads == ("rnnt", "ctc")


def test_aligner(data_root: Path, tmp_path: Path) -> None:
    corpora = ["data.train=[tones]", "data.valid=[tones]", "data.test=[tones]"]
    run(["recipe=aligner_english", *settings(data_root, tmp_path), *corpora, *TINY_RECOGNIZER])
    assert figures(tmp_path)["tones: clips"] == 2


def test_codec(data_root: Path, tmp_path: Path) -> None:
    corpora = ["data.train={speech:[tones],sounds:[tones]}", "data.valid=[tones]", "data.test=[tones]"]
    quick = ["objective.start_codebooks_after=1", "data.batch_size=2", "data.segment_seconds=0.4"]
    overrides = ["recipe=codec_default", *settings(data_root, tmp_path), *corpora, *quick, *TINY_CODEC]
    assert run([*overrides, "stop_stage=generate"]) == ["prepare", "train", "generate"]  # PESQ judges no tones
    assert load_bundle(tmp_path / "train" / "bundle", "codec").model.spec.num_codebooks == 4
    assert {path.name for path in (tmp_path / "generate").iterdir()} >= {"original", "2 codebooks", "4 codebooks"}


FRAMES = ["codec.config.n_fft=960", "codec.config.num_mels=8", "codec.config.decoder_dim=8"]
ENCODER = ["codec.config.encoder_dim=8", "codec.config.encoder_depth=1", "codec.config.decoder_depth=1"]
WAVE_CODECS = {
    "vocoder_default": ["codec.config.hop_length=320", "codec.config.decoder_depth=1", *FRAMES],
    "codec_latents": ["codec.config.frame_hop=320", *FRAMES, *ENCODER],
    "codec_semantic": ["codec.config.codebook_size=8", "teacher=tiny-recognizer", *FRAMES, *ENCODER],
    "codec_encodec": ["codec.config.network.filters=2", "codec.config.codebook_size=8"],
    "codec_scalar": ["codec.config.init_channel=2", "codec.config.res_kernel_size=3"],
}


@pytest.mark.parametrize("recipe", WAVE_CODECS)
def test_codecs_of_waves(recipe: str, data_root: Path, tmp_path: Path, tiny_recognizer_bundle: Path) -> None:
    corpora = ["data.train={speech:[tones],sounds:[tones]}", "data.valid=[tones]", "data.test=[tones]"]
    quick = ["objective.start_codebooks_after=1", "objective.adversarial_from=1", "data.batch_size=2"]
    sizes = ["data.segment_seconds=0.4", "data.test_clips=1", *WAVE_CODECS[recipe]]
    run([f"recipe={recipe}", *settings(data_root, tmp_path), *corpora, *quick, *sizes, "stop_stage=generate"])
    logged = read_rows(tmp_path / "train" / "log.jsonl")
    assert {"mel", "adversarial", "feature", "discriminator"} <= logged[2].keys()
    assert ("content" in logged[2], "kl" in logged[2]) == (recipe == "codec_semantic", recipe == "codec_latents")
    assert load_bundle(tmp_path / "train" / "bundle", "codec")
    assert len(list((tmp_path / "generate").glob("*/*.wav"))) >= 2


def test_decoder_of_a_codec(data_root: Path, tmp_path: Path, tiny_codec_bundle: Path) -> None:
    corpora = ["data.train={voice:[tones],speech:[tones],sounds:[tones]}", "data.valid=[tones]", "data.test=[tones]"]
    quick = ["data.batch_size=2", "data.segment_seconds=0.4", "stop_stage=train"]
    overrides = ["recipe=codec_decoder", *settings(data_root, tmp_path), *corpora, *quick]
    with pytest.raises(AudiogenError, match="init_from=…"):
        run([*overrides, "init_from=''"])
    with pytest.raises(AudiogenError, match="makes other codes"):
        run([*overrides, "init_from=tiny-codec", *TINY_CODEC, "codec.config.encoder_dim=8"])
    run([*overrides, "init_from=tiny-codec", *TINY_CODEC, "force=true"])
    before, after = (load_bundle(name).model for name in (tiny_codec_bundle, tmp_path / "train" / "bundle"))
    assert after.codes_digest() == before.codes_digest()
    figures = read_rows(tmp_path / "train" / "log.jsonl")
    assert {"adversarial", "feature", "discriminator", "perplexity/first"} <= figures[0].keys()
    assert {f"valid/perplexity/{number}" for number in range(1, 5)} <= figures[-1].keys()


def test_voice(
    data_root: Path,
    tmp_path: Path,
    tiny_codec_bundle: Path,
    tiny_recognizer_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tts, "SpeechJudges", Judges)
    (tmp_path / "sentences.txt").write_text("Cat, tack.\nDog.\n")
    given = [f"sentences={tmp_path / 'sentences.txt'}", "aligner_bundle=''", "infer.max_dwell=3"]
    bundles = [f"codec_bundle={tiny_codec_bundle.name}", f"recognizer_bundle={tiny_recognizer_bundle.name}"]
    speeds = ["data.speeds=[0.8,1.25]"]
    overrides = ["recipe=tts_kathleen", *settings(data_root, tmp_path / "exp"), *given, *bundles, *TONES, *TINY_VOICE]
    assert run(overrides + speeds) == ["prepare", "tokenize", "train", "generate", "score"]
    assert "unseen sentences: outside WER" in figures(tmp_path / "exp")
    assert (tmp_path / "exp" / "generate" / "unseen sentences" / "001.wav").exists()
    assert load_bundle(tmp_path / "exp" / "train" / "bundle", "acoustic").assets["voices"]["toni"]["durations"]
    frames = {row["id"]: row["frames"] for row in read_rows(tmp_path / "exp" / "tokenize" / "clips.jsonl")}
    fast, slow = ([key for key in frames if key.endswith(f"_sp{speed}")] for speed in (1.25, 0.8))
    assert len(fast) == len(slow) > 0
    assert all(0.6 < frames[quick] / frames[long] < 0.7 for quick, long in zip(fast, slow, strict=True))


def test_synthetic_corpus(data_root: Path, tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    few = ["speech.hours=0.002", "transcripts=[tones]", "sentences=''"]
    overrides = ["recipe=espeak_corpus", f"data_root={data_root}", f"exp_dir={tmp_path}", *few]
    assert run(overrides) == ["prepare"]
    rows = (tmp_path / "prepare" / "espeak" / "manifest.jsonl").read_text().splitlines()
    assert rows and json.loads(rows[0])["phones"][0][0] == "sil"
    assert run(overrides) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which recipe?"),
        (["recipe=asr_englsh"], "did you mean 'asr_english'"),
        (["recipe=asr_english", "model=valler"], "did you mean 'valle_r'"),
        (["recipe=asr_english", "trian.steps=3"], "did you mean 'train.steps'"),
        (["recipe=asr_english", "model.config.dimm=3"], "did you mean 'model.config.dim'"),
        (["recipe=asr_english", "+train.patience=3"], "unknown setting 'train.patience'"),
        (["recipe=asr_english", "train.steps=many"], "train.steps=many: Value 'many'"),
        (["recipe=asr_english", "train.steps"], "key=value"),
        (["recipe=asr_english", "exp_dir=???"], "give it as exp_dir="),
        (["recipe=asr_english", "--stage"], "--stage needs a value"),
        (["recipe=asr_english", "--stage", "trian", "exp_dir=/nowhere"], "/nowhere"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([argument.replace("/nowhere", str(tmp_path)) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message.replace("/nowhere", "did you mean 'train'") in error
    assert error.count("\n") == 1
