"""Listening: a stream's text is the file's text however it is cut; words, partial results, errors."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from audiogen import audio
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer.endpoint import EndpointRules, VoiceActivity
from audiogen.infer.listen import Listener, ListenOptions, step
from audiogen.models.fastconformer import FastConformerConfig, FastConformerCTC
from audiogen.models.fastconformer_hybrid import FastConformerHybrid, FastConformerHybridConfig
from audiogen.nn.conv import ConvState
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


def hybrid(framing: str = "causal") -> Bundle:
    """A recogniser of pieces of words with both heads."""
    torch.manual_seed(3)
    symbols = ["▁a", "▁b", "a", "b", "."]
    shape = {"vocab_size": 5, "dim": 16, "depth": 1, "num_heads": 2, "subsampling_channels": 4, "head_frames": 1}
    contexts = {"left_context": 4, "lookaheads": [1, 0]} if framing != "offline" else OFFLINE
    config = FastConformerHybridConfig(**shape, **contexts, framing=framing, predictor_dim=8, joint_dim=8)
    model = FastConformerHybrid(config).eval().requires_grad_(False)
    model.head.weight *= 20
    model.head.bias.zero_()
    model.joiner.out.weight *= 20
    pieces = {"symbols": symbols, "scores": [0.0] * 5, "method": "bpe"}
    return Bundle("recognizer", "fastconformer_hybrid", {}, assets={"pieces": pieces}, model=model)


OFFLINE = {"left_context": 0, "lookaheads": [199]}
HEARD = [
    ListenOptions(head="ctc"),
    ListenOptions(head="rnnt"),
    ListenOptions(head="ctc", label_beam=4, hot_words=["ab a"]),
    ListenOptions(head="rnnt", label_beam=3, lookahead=0),
]


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


@pytest.mark.parametrize("options", HEARD)
def test_both_heads_by_any_search_end_with_the_text_of_the_whole(options):
    listener, sound = Listener(hybrid("centred"), options), wave(2.0)
    whole = listener.transcribe(sound)
    partials = list(listener.stream(sound.split(1111)))
    assert whole.text and partials[-1].text == whole.text and partials[-1].words == whole.words
    for before, after in pairwise(partials):
        assert after.text.startswith(before.stable)


def test_sessions_that_come_and_go_hear_what_they_hear_alone():
    listener = Listener(hybrid("centred"), ListenOptions(head="ctc"))
    waves = [wave(seconds) for seconds in (2.0, 0.7, 1.3, 1.9)]
    sessions, together = [listener.session() for _ in waves], 0
    for number, (session, sound) in enumerate(zip(sessions, waves, strict=True)):
        for _ in range(number):  # the first have heard a step or more when the later ones come
            for one in sessions[:number]:
                if one.ready:
                    step([one])
        session.take(sound)
    while any(session.ready for session in sessions):
        ready = [session for session in sessions if session.ready]
        group = [session for session in ready if session.shape == ready[-1].shape]
        together = max(together, len(group))
        step(group)
    assert together > 1
    for session, sound in zip(sessions, waves, strict=True):
        session.finish()
        assert session.partial().text == listener.transcribe(sound).text != ""


def test_an_offline_model_hears_through_a_window():
    listener = Listener(hybrid("offline"), ListenOptions(head="ctc"))
    whole, partials = listener.transcribe(wave(9.0)), list(listener.stream(wave(9.0).split(4000)))
    assert whole.text and partials[-1].text == whole.text and len(partials) > 2
    frames, _ = listener.model.encode_step(wave(9.0)[None], listener.model.init_state(), final=True)
    assert frames.shape[1] == int(hybrid("offline").model.encode(wave(9.0)[None])[1])


class Loudness:
    """A recogniser that hears "a" where it is loud."""

    streams, heads, blank = True, ("ctc",), 1
    label_seconds = frame_seconds = 0.08
    config = SimpleNamespace(sample_rate=16_000, lookaheads=[0])

    def init_state(self, batch_size: int, lookahead: int | None) -> ConvState:
        return ConvState(torch.zeros(batch_size, 0))

    def missing(self, state: ConvState) -> int:
        return 1280 - state.past.shape[1]

    def encode_step(self, wave: torch.Tensor, state: ConvState, final: bool = False):
        samples = torch.cat([state.past, wave], dim=1)
        whole = samples.shape[1] // 1280 * 1280
        frames = samples[:, :whole].reshape(len(samples), -1, 1280).abs().mean(-1, keepdim=True)
        return frames, ConvState(samples[:, whole:])

    def label_log_probs(self, frames: torch.Tensor) -> torch.Tensor:
        loud = frames > 1e-3
        return torch.cat([loud, ~loud], dim=-1).float().clamp(min=1e-6).log()


def test_utterances_end_where_nobody_speaks():
    spoken, silence = 0.1 * torch.randn(16_000, generator=torch.Generator().manual_seed(0)), torch.zeros(16_000)
    stream = torch.cat([silence, spoken, silence, silence, spoken, silence[:8_000], spoken, silence])
    listener = Listener(Bundle("recognizer", "loud", {}, assets={"tokenizer": {"symbols": ["a"]}}, model=Loudness()))

    def finals(rules: EndpointRules) -> list[list[tuple[int, float, float]]]:
        partials = [partial for partial in listener.stream(stream.split(1601), rules) if partial.is_final]
        return [
            (p.utterance, p.text, *(round(at, 1) for w in p.words for at in (w.start_s, w.end_s))) for p in partials
        ]

    first, *rest = finals(EndpointRules())
    assert first == (0, "a", 1.0, 2.0) and [one[0] for one in rest] == [1]
    assert finals(EndpointRules(silence_after=0.2)) == [
        (0, "a", 1.0, 2.0),
        (1, "a", 4.0, 5.0),
        (2, "a", 5.4, 6.6),
        (3, ""),
    ]
    assert len(finals(EndpointRules(99.0, 99.0, longest=0.5))) > 4


def test_a_voice_is_told_from_noise_that_is_always_there():
    voice = VoiceActivity(16_000)
    noise = 0.003 * torch.randn(16_000 * 4, generator=torch.Generator().manual_seed(0))
    for part in noise.split(777):
        voice.feed(part)
    quiet = voice.last_voice
    voice.feed(noise[:16_000] + 0.1 * torch.sin(torch.arange(16_000) * 0.1))
    voice.feed(noise[:16_000])
    assert quiet < 3.0 and voice.last_voice == pytest.approx(5.0, abs=0.1)


def test_rules_of_endpoints():
    rules = EndpointRules()
    assert rules.ended(5.0, 1.3, understood=True) and not rules.ended(5.0, 1.3, understood=False)
    assert rules.ended(5.0, 2.5, understood=False) and rules.ended(20.0, 0.0, understood=True)


def test_hot_words_must_be_in_the_dictionary():
    with pytest.raises(AudiogenError, match="'xyzzy' is not in the dictionary"):
        Listener(bundle(WORDS), ListenOptions(hot_words=["xyzzy"]))


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
    with pytest.raises(AudiogenError, match="head"):
        Listener(bundle(), ListenOptions(head="rnnt"))
    with pytest.raises(AudiogenError, match="label_beam of at least 2"):
        Listener(bundle(), ListenOptions(hot_words=["a"]))
    with pytest.raises(AudiogenError, match="gives no words"):
        Listener(bundle({"inventory": ENGLISH_SOUNDS.to_dict()}))
    with pytest.raises(AudiogenError, match="sample 2 is not a finite number"):
        list(Listener(bundle()).stream([np.array([0.0, 0.0, np.nan])]))
    session = Listener(bundle()).session()
    session.finish()
    with pytest.raises(AudiogenError, match="has ended"):
        session.feed(torch.zeros(3))
