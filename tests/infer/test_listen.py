"""Listening: a stream's text is the file's text however it is cut; words, partial results, errors."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from audiogen import audio
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer.lexicon import LexiconScorer
from audiogen.infer.listen import Listener, ListenOptions
from audiogen.models.fastconformer import FastConformerConfig, FastConformerCTC
from audiogen.text.tokenizer import CharTokenizer

TOKENIZER = CharTokenizer()


def bundle(with_lexicon: bool = False) -> Bundle:
    torch.manual_seed(3)
    config = FastConformerConfig(
        vocab_size=len(TOKENIZER),
        dim=16,
        depth=1,
        num_heads=2,
        subsampling_channels=4,
        left_context=4,
        lookaheads=[1, 0],
    )
    model = FastConformerCTC(config).eval().requires_grad_(False)
    model.head.weight *= 20
    assets = {"tokenizer": TOKENIZER.to_dict()}
    if with_lexicon:
        assets["lexicon"] = LexiconScorer.from_texts(["the cat sat", "the dog sat down"], TOKENIZER).to_dict()
    return Bundle("recognizer", "fastconformer_ctc", {}, assets=assets, model=model)


def wave(seconds: float = 3.0) -> torch.Tensor:
    noise = torch.randn(round(seconds * 16_000), generator=torch.Generator().manual_seed(0))
    return noise * torch.linspace(0.0, 0.1, len(noise)) * torch.sin(torch.arange(len(noise)) * 0.001)


@pytest.mark.parametrize("options", [ListenOptions(beam=0), ListenOptions(beam=4), ListenOptions(beam=0, lookahead=0)])
@pytest.mark.parametrize("frames", [1, 7, 40])
def test_stream_ends_with_the_text_of_the_whole(options, frames):
    listener = Listener(bundle(), options)
    whole = listener.transcribe(wave())
    partials = list(listener.stream(wave().split(frames * 1280)))
    assert whole.text and partials[-1].text == whole.text and partials[-1].words == whole.words
    assert partials[-1].is_final and not any(partial.is_final for partial in partials[:-1])
    for before, after in pairwise(partials):
        assert before.text.startswith(before.stable) and after.text.startswith(before.stable)


def test_a_file_reads_as_its_wave(tmp_path):
    listener, sound = Listener(bundle(), ListenOptions(beam=0)), wave(21.0)
    audio.write(tmp_path / "x.wav", sound, 16_000, "FLOAT")
    seen = []
    from_file = listener.transcribe(tmp_path / "x.wav", on_partial=seen.append)
    from_wave = listener.transcribe(sound.numpy())
    assert from_file == from_wave and from_file.duration_s == pytest.approx(21.0)
    assert len(seen) == 3
    assert [word.word for word in from_file.words] == from_file.text.split()
    assert all(0 <= word.start_s < word.end_s <= 21.1 and 0 <= word.confidence <= 1 for word in from_file.words)


def test_an_empty_stream_ends_with_no_text():
    partials = list(Listener(bundle()).stream([]))
    assert len(partials) == 1 and partials[0].is_final


def test_the_lexicon_travels_in_the_bundle():
    listener = Listener(bundle(with_lexicon=True))
    assert [partial.text for partial in listener.stream(wave(1.0).split(999))][-1] == listener.transcribe(
        wave(1.0)
    ).text


def test_errors_say_what_is_wrong():
    with pytest.raises(AudiogenError, match="lookahead=5"):
        Listener(bundle(), ListenOptions(lookahead=5))
    with pytest.raises(AudiogenError, match="writes no characters"):
        Listener(Bundle("recognizer", "fastconformer_ctc", {}, assets={"inventory": {}}))
    with pytest.raises(AudiogenError, match="sample 2 is not a finite number"):
        list(Listener(bundle()).stream([np.array([0.0, 0.0, np.nan])]))
    session = Listener(bundle()).session()
    session.finish()
    with pytest.raises(AudiogenError, match="has ended"):
        session.feed(torch.zeros(3))


def test_lexicon_prefers_words_it_knows():
    scorer = LexiconScorer.from_texts(["the cat sat", "the cat ran", "a dog sat"], TOKENIZER)

    def total(text: str) -> float:
        score, state = 0.0, scorer.start()
        for label in TOKENIZER.encode(text):
            added, state = scorer.score(state, label)
            score += added
        return score + scorer.end(state)

    assert total("the cat") > total("the dog") > total("the cow") > total("the czqt")
    assert total("cat") == pytest.approx(scorer._weight * scorer._word("", "cat") + scorer._bonus)
