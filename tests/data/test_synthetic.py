"""The synthetic corpus: the same clips again, also after a kill, with timings that fit the text."""

import random

import pytest

from audiogen.data import synthetic
from audiogen.data.corpora import load_cuts
from audiogen.data.sentences import draw_sentence
from audiogen.data.synthetic import UNSEEN_VOICES, SyntheticConfig, make_corpus
from audiogen.errors import AudiogenError
from audiogen.text.frontend import TextFrontend

pytest.importorskip("lhotse")
pytest.importorskip("espeakng_loader")

CONFIG = SyntheticConfig(hours=30 / 3600, seed=3, voices=("f1", "m3", UNSEEN_VOICES[0]), transcript_share=0.5)
TRANSCRIPTS = ["The kettle is on.", "Rain, then sunshine!", "Never say this."]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "espeak"
    make_corpus(folder, CONFIG, TRANSCRIPTS, excluded=["never say this"])
    return folder


def test_clips_have_the_frontends_phones(corpus):
    cuts = load_cuts(str(corpus))
    frontend = TextFrontend()
    for cut in cuts:
        timed = cut.supervisions[0].alignment["phone"]
        assert [item.symbol for item in timed] == frontend.phones(cut.supervisions[0].text)
        assert timed[-1].end == pytest.approx(cut.duration, abs=1e-4)
    texts = {cut.supervisions[0].text for cut in cuts}
    assert texts & set(TRANSCRIPTS) and texts - set(TRANSCRIPTS) and TRANSCRIPTS[2] not in texts
    assert all(cut.supervisions[0].speaker.startswith(UNSEEN_VOICES[0]) for cut in load_cuts(str(corpus), split="test"))
    assert not any(cut.supervisions[0].speaker.startswith(UNSEEN_VOICES) for cut in cuts)


def test_a_killed_job_goes_on(corpus, tmp_path, monkeypatch):
    written = []
    write = synthetic.audio.write

    def interrupted(path, *arguments):
        written.append(path.name)
        if len(written) == 4:
            raise KeyboardInterrupt
        write(path, *arguments)

    monkeypatch.setattr(synthetic.audio, "write", interrupted)
    folder = tmp_path / "espeak"
    with pytest.raises(KeyboardInterrupt):
        make_corpus(folder, CONFIG, TRANSCRIPTS, excluded=["never say this"])
    assert not (folder / "manifest.jsonl").exists()
    make_corpus(folder, CONFIG, TRANSCRIPTS, excluded=["never say this"])
    assert written[4] == written[3] and len(set(written)) == len(written) - 1
    for path in corpus.rglob("*"):
        assert path.is_dir() or path.read_bytes() == (folder / path.relative_to(corpus)).read_bytes()


def test_other_settings_need_another_folder(corpus):
    with pytest.raises(AudiogenError, match="another seed"):
        make_corpus(corpus, SyntheticConfig(hours=CONFIG.hours, seed=4), TRANSCRIPTS, excluded=["never say this"])
    with pytest.raises(AudiogenError, match="another sentences_sha256"):
        make_corpus(corpus, CONFIG, TRANSCRIPTS)


def test_sentences_vary_and_repeat_by_seed():
    sentences = [draw_sentence(random.Random(seed)) for seed in range(300)]
    assert sentences == [draw_sentence(random.Random(seed)) for seed in range(300)]
    assert len(set(sentences)) > 295
    assert len({word for sentence in sentences for word in sentence.split()}) > 700
    assert all("{" not in sentence and sentence[-1] in ".?!" for sentence in sentences)
