"""Listening: a stream's text is the file's text however it is cut; words, partial results, errors."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from audiogen import audio
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer.listen import Listener, ListenOptions
from audiogen.models.fastconformer import FastConformerConfig, FastConformerCTC
from audiogen.text.lexicon import cmudict
from audiogen.text.phones import ENGLISH_SOUNDS
from audiogen.text.tokenizer import CharTokenizer
from audiogen.text.trigrams import count_words

CHARACTERS = {"tokenizer": CharTokenizer().to_dict()}
TEXTS = [["the", "cat", "sat"], ["the", "dog", "sat", "down"]]
WORDS = {
    "inventory": ENGLISH_SOUNDS.to_dict(),
    "words": {**count_words(TEXTS), "weights": {"words": 0.1, "bonus": 1.0, "blank": 4.0}},
}


def bundle(assets: dict = CHARACTERS) -> Bundle:
    torch.manual_seed(3)
    labels = assets["tokenizer"] if "tokenizer" in assets else assets["inventory"]
    config = FastConformerConfig(
        vocab_size=len(labels["symbols"]),
        dim=16,
        depth=1,
        num_heads=2,
        subsampling_channels=4,
        left_context=4,
        lookaheads=[1, 0],
    )
    model = FastConformerCTC(config).eval().requires_grad_(False)
    model.head.weight *= 20
    return Bundle("recognizer", "fastconformer_ctc", {}, assets=assets, model=model)


@pytest.fixture(scope="module")
def reader() -> Listener:
    """Of words, which takes a second to make."""
    return Listener(bundle(WORDS), ListenOptions(beam=20))


def wave(seconds: float = 3.0) -> torch.Tensor:
    noise = torch.randn(round(seconds * 16_000), generator=torch.Generator().manual_seed(0))
    return noise * torch.linspace(0.0, 0.1, len(noise)) * torch.sin(torch.arange(len(noise)) * 0.001)


@pytest.mark.parametrize("frames", [1, 7, 40])
@pytest.mark.parametrize("kind", ["words", "characters", "characters at once"])
def test_stream_ends_with_the_text_of_the_whole(kind, frames, reader):
    lookahead = 0 if kind == "characters at once" else None
    listener = reader if kind == "words" else Listener(bundle(), ListenOptions(lookahead=lookahead))
    whole = listener.transcribe(wave())
    partials = list(listener.stream(wave().split(frames * 160)))
    assert whole.text and partials[-1].text == whole.text and partials[-1].words == whole.words
    assert partials[-1].is_final and not any(partial.is_final for partial in partials[:-1])
    for before, after in pairwise(partials):
        assert before.text.startswith(before.stable) and after.text.startswith(before.stable)


def test_words_are_of_the_dictionary_and_in_order(reader):
    heard = reader.transcribe(wave()).words
    assert heard and all(word.word in cmudict() for word in heard)
    assert all(0 <= word.start_s < word.end_s and 0 <= word.confidence <= 1 for word in heard)
    assert all(before.end_s <= after.start_s for before, after in pairwise(heard))


def test_a_file_reads_as_its_wave(tmp_path):
    listener, sound = Listener(bundle()), wave(21.0)
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


def test_errors_say_what_is_wrong():
    with pytest.raises(AudiogenError, match="lookahead=5"):
        Listener(bundle(), ListenOptions(lookahead=5))
    with pytest.raises(AudiogenError, match="beam=0"):
        Listener(bundle(), ListenOptions(beam=0))
    with pytest.raises(AudiogenError, match="gives no words"):
        Listener(bundle({"inventory": ENGLISH_SOUNDS.to_dict()}))
    with pytest.raises(AudiogenError, match="sample 2 is not a finite number"):
        list(Listener(bundle()).stream([np.array([0.0, 0.0, np.nan])]))
    session = Listener(bundle()).session()
    session.finish()
    with pytest.raises(AudiogenError, match="has ended"):
        session.feed(torch.zeros(3))
