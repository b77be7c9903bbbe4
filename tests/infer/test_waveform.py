"""Waveforms: streamed equals whole, fused equals plain, a prompt goes on, and unlikely clips are left out."""

import pytest
import torch

from audiogen import api, registry
from audiogen.checkpoint import Bundle, save_bundle
from audiogen.errors import AudiogenError
from audiogen.infer import waveform
from audiogen.infer.ending import Ending
from audiogen.infer.waveform import Generated, PlainStepper, WaveformGenerator

PCM = {"sample_rate": 1000, "levels": 256, "law": "mu"}
LABELS = ["zero", "one"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    spec = registry.build("codec", "pcm", PCM).spec.to_dict()
    config = {"codec": spec, "dim": 16, "layers": 1, "state_size": 8, "classes": 2}
    model = registry.build("waveform", "sashimi", config)
    folder = tmp_path_factory.mktemp("waveform") / "tiny"
    assets = {"pcm": PCM, "labels": LABELS}
    save_bundle(folder, Bundle("waveform", "sashimi", config, assets=assets, licence="CC0-1.0", model=model))
    return folder


@pytest.fixture(params=["fused", "plain"])
def generator(request, folder, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(waveform, "stepper", PlainStepper)
    else:
        pytest.importorskip("numba")
    return api.load(folder, "waveform")


def test_streamed_equals_whole(generator, monkeypatch):
    whole = generator.generate(0.15, label="one", seed=3).wave
    for seconds in (0.001, 0.04):
        monkeypatch.setattr(waveform, "CHUNK_SECONDS", seconds)
        pieces = list(generator.stream(0.15, label="one", seed=3))
        assert pieces[0].shape == (1, round(1000 * seconds))
        torch.testing.assert_close(torch.cat(pieces, -1)[None], whole, atol=0, rtol=0)


def test_fused_and_plain_make_the_same(folder, monkeypatch):
    pytest.importorskip("numba")
    settings = {"seconds": 0.1, "count": 3, "label": "zero", "prompt": torch.rand(1, 37) - 0.5}
    for options in ({}, {"temperature": 0.7}, {"top_p": 0.8}, {"guidance": 2.5}):
        clips = []
        for plain in (False, True):
            generator = api.load(folder)
            if plain:
                generator._stepper = PlainStepper(generator.model)
            clips.append(generator.generate(**settings, **options))
        assert torch.equal(clips[0].wave, clips[1].wave)
        torch.testing.assert_close(clips[0].log_likelihood, clips[1].log_likelihood, atol=1e-5, rtol=0)


def test_a_prompt_counts_as_heard(generator):
    wave = generator.generate(0.1, label="one").wave[0]
    resumed = generator.generate(0.05, label="one", prompt=wave)
    codes = generator.codec.encode(torch.cat([wave, resumed.wave[0]], -1)[None]).codes[:, 0]
    with torch.no_grad():
        chances = generator.model(codes, torch.tensor([1])).log_softmax(-1).gather(2, codes[..., None])[:, 100:]
    torch.testing.assert_close(resumed.log_likelihood.float(), chances.mean((1, 2)), atol=1e-5, rtol=0)


def test_guidance_leans_on_the_line_from_any_class_to_the_one(generator):
    wave = generator.generate(0.1, label="one", guidance=3).wave
    codes = generator.codec.encode(wave).codes[:, 0]
    with torch.no_grad():
        own, others = (generator.model(codes, torch.tensor([label])) for label in (1, 2))
    chances = (others + 3 * (own - others)).log_softmax(-1).gather(2, codes[..., None]).mean((1, 2))
    made = generator.generate(0.1, label="one", guidance=3)
    torch.testing.assert_close(made.log_likelihood.float(), chances, atol=1e-5, rtol=0)
    plain = generator.generate(0.1, label="one")
    torch.testing.assert_close(generator.generate(0.1, label="one", guidance=1).wave, plain.wave, atol=0, rtol=0)
    generator.guidance = 3.0
    assert torch.equal(generator.generate(0.1, label="one").wave, wave)


def test_impossible_guidance_is_refused(generator):
    with pytest.raises(AudiogenError, match="guidance is 11; it must be between 0 and 10"):
        generator.generate(0.1, label="one", guidance=11)


def test_a_seed_repeats_itself_and_classes_differ(generator):
    first, again, other = (generator.generate(0.1, label="one", seed=seed).wave for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first, generator.generate(0.1, label="zero", seed=1).wave)


def test_the_least_and_the_most_likely_clips_are_left_out():
    likelihood = torch.tensor([5.0, 1, 4, 2, 3, 9, 8, 7, 6, 0])
    clips = Generated(torch.arange(10.0).view(10, 1, 1), torch.ones(10, dtype=torch.long), likelihood)
    kept = clips.likeliest_but(low=0.4, high=0.1)
    assert kept.log_likelihood.tolist() == [8, 7, 6, 5, 4]
    assert kept.wave.flatten().tolist() == [6, 7, 8, 0, 2]


def test_rejection_makes_more_and_keeps_the_clearest_of_a_class(generator):
    kept = generator.generate(0.05, 5, "one", seed=4, reject=True)
    every = generator.generate(0.05, 10, "one", seed=4)
    found = generator.lead(every, "one")
    assert torch.equal(kept.wave, every.wave[found.argsort(descending=True)[:5]])
    codes = generator.codec.encode(every.wave).codes[:, 0]
    with torch.no_grad():
        own, of_any = (generator.model(codes, torch.full((10,), label)).log_softmax(-1) for label in (1, 2))
    lead = (own - of_any).gather(2, codes[..., None]).sum((1, 2))
    torch.testing.assert_close(found, lead, atol=1e-4, rtol=0)


def test_without_classes_rejection_keeps_the_likelier():
    torch.manual_seed(0)
    config = {"codec": registry.build("codec", "pcm", PCM).spec.to_dict(), "dim": 16, "layers": 1, "state_size": 8}
    model = registry.build("waveform", "sashimi", config)
    generator = WaveformGenerator(Bundle("waveform", "sashimi", config, assets={"pcm": PCM}, model=model))
    kept, every = generator.generate(0.05, 5, seed=4, reject=True), generator.generate(0.05, 10, seed=4)
    assert kept.log_likelihood.tolist() == every.likeliest_but().first(5).log_likelihood.tolist()
    with pytest.raises(AudiogenError, match="no classes to lean towards"):
        generator.generate(0.05, guidance=2)


def test_a_clip_ends_at_the_silence_it_learnt_to_end_with(folder, monkeypatch):
    loud, quiet = [7, 130, 9], [128] * 4
    rows = torch.tensor([[*quiet, *loud, *quiet, 5, 5, 5], [*loud, 128, *loud, 128, 128, *quiet, 6]])
    for size in (1, 3, 14):
        ending, pieces = Ending(2, silence=128, tail=4), []
        for piece in rows.split(size, dim=1):
            pieces.append(ending(piece)[0])
            if ending.all:
                break
        whole = torch.cat(pieces, 1)
        assert ending.all and ending.lengths.tolist() == [11, 11] and whole.shape[1] == 11
        assert torch.equal(whole, rows[:, :11])
    endless = Ending(2, silence=128, tail=0)
    assert torch.equal(endless(rows)[0], rows) and not endless.all


def test_streams_end_with_their_clips(folder, monkeypatch):
    generator = api.load(folder)
    generator._tail = 1  # the first silent sample of random weights
    whole = generator.generate(2.0, label="one", count=1, seed=5)
    assert 0 < whole.lengths[0] < 2000 and whole.wave.shape[-1] == whole.lengths[0]
    monkeypatch.setattr(waveform, "CHUNK_SECONDS", 0.01)
    streamed = torch.cat(list(generator.stream(2.0, label="one", seed=5)), -1)
    assert torch.equal(streamed, whole.clips()[0])
    several = generator.generate(2.0, label="one", count=3, seed=5)
    for clip, wave in zip(several.clips(), several.wave, strict=True):
        assert clip[0, -1] == 0 and not wave[0, clip.shape[1] :].any()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"label": "two"}, "unknown class"),
        ({"seconds": 0}, "above 0"),
        ({"count": 0}, "above 0"),
        ({"top_p": 0}, "top_p"),
        ({}, "which class"),
    ],
)
def test_mistakes_are_told(folder, wrong, told):
    with pytest.raises(AudiogenError, match=told):
        api.load(folder).generate(**{"seconds": 0.1, **wrong})


def test_without_numba_it_steps_plainly(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "audiogen.kernels.sashimi", None)
    assert isinstance(api.load(folder)._stepper, PlainStepper)
