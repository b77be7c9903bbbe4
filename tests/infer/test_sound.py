"""Sound from captions: any length, streamed as whole, going on, in between, and what is refused."""

from dataclasses import replace

import pytest
import torch

from audiogen import registry
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer.causal import CausalOptions
from audiogen.infer.masked import MaskedOptions
from audiogen.infer.sound import SoundGenerator, SoundOptions

CODEC = {"encoder_dim": 16, "encoder_depth": 1, "decoder_dim": 16, "decoder_depth": 1, "latent_dim": 8}
CODEC |= {"codebook_size": 32, "num_codebooks": 4}
NETWORK = {"dim": 32, "heads": 2, "layers": 2, "text_size": 64, "text_layers": 1}
OPTIONS = SoundOptions(MaskedOptions((4, 2)), CausalOptions(top_k=8))
WINDOW = 45  # 0.6 s at 75 frames a second


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    return registry.build("codec", "magnitude_rvq", CODEC).eval().requires_grad_(False)


def generator(codec, name: str, codebooks: int = 3, **options) -> SoundGenerator:
    torch.manual_seed(1)
    spec = replace(codec.spec, num_codebooks=codebooks).to_dict()
    config = {"codec": spec, "network": NETWORK, "window": WINDOW, **options}
    model = registry.build("sound", name, config).eval().requires_grad_(False)
    described = {"spec": spec, "codes_sha256": codec.codes_digest()}
    assets = {"captions": {"name": "words", "rows": 64}, "options": {"steps": [3, 2], "guidance": 4.0}}
    return SoundGenerator(Bundle("sound", name, config, assets=assets, codec=described, model=model), codec)


@pytest.fixture(scope="module")
def magnet(codec) -> SoundGenerator:
    return generator(codec, "magnet")


@pytest.fixture(scope="module")
def musicgen(codec) -> SoundGenerator:
    return generator(codec, "musicgen")


@pytest.mark.parametrize("name", ["magnet", "musicgen"])
def test_streamed_is_whole_and_as_long_as_asked_for(codec, name: str) -> None:
    maker = generator(codec, name)
    whole = maker.generate("a dog barks", 1.5, OPTIONS, seed=3)
    assert whole.shape == (1, 1, 36_000)
    pieces = list(maker.stream("a dog barks", 1.5, OPTIONS, seed=3))
    assert len(pieces) > 2
    torch.testing.assert_close(torch.cat(pieces, 1), whole[0], atol=1e-5, rtol=0)


def test_each_clip_is_that_of_its_own_seed(magnet: SoundGenerator) -> None:
    both = magnet.generate(["rain", "a dog barks twice"], 0.4, seed=7)
    assert both.shape == (2, 1, 9600) and not torch.equal(both[0], both[1])
    torch.testing.assert_close(magnet.generate("a dog barks twice", 0.4, seed=8)[0], both[1], atol=1e-5, rtol=0)


def test_the_bundle_says_how_to_draw(magnet: SoundGenerator) -> None:
    assert magnet.options.masked.steps == (3, 2) and magnet.options.masked.guidance == 4.0


@pytest.mark.parametrize("name", ["magnet", "musicgen"])
def test_a_prompt_is_gone_on_from(codec, name: str) -> None:
    maker, prompt = generator(codec, name), 0.1 * torch.randn(1, 8000)
    first, second = (maker.generate("rain", 1.0, OPTIONS, seed, prompt) for seed in (1, 2))
    assert first.shape == (1, 1, 24_000)
    torch.testing.assert_close(first[..., :7000], second[..., :7000])
    assert not torch.allclose(first[..., 12_000:], second[..., 12_000:])


def test_what_lies_between_is_filled_in(magnet: SoundGenerator) -> None:
    before, after = 0.1 * torch.randn(1, 3200), 0.1 * torch.randn(1, 3200)
    made = magnet.infill("rain", before, 0.2, after, OPTIONS)
    other = magnet.infill("rain", before, 0.2, after, OPTIONS, seed=1)
    assert made.shape == (1, 3200 + 4800 + 3200)
    torch.testing.assert_close(made[:, :2500], other[:, :2500])
    assert not torch.allclose(made, other)


def test_an_end_is_led_to(magnet: SoundGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    after = 0.1 * torch.randn(1, 3300)
    assert magnet.infill("rain", None, 0.2, after, OPTIONS).shape == (1, 4800 + 3300)
    decoded: list[torch.Tensor] = []
    monkeypatch.setattr(magnet, "_decode", lambda codes: decoded.append(codes) or torch.zeros(1, 1, 9600))
    for seed in (1, 2):
        magnet.infill("rain", None, 0.2, after, OPTIONS, seed)
    first, second = decoded
    assert first.shape[2] == 15 + 11 and torch.equal(first[:, :, 15:], second[:, :, 15:])
    assert not torch.equal(first, second)


def test_a_companion_rescores_and_begins(codec, musicgen: SoundGenerator) -> None:
    alone, led = generator(codec, "magnet"), generator(codec, "magnet")
    led.take_along(musicgen)
    without = replace(OPTIONS, masked=replace(OPTIONS.masked, rescorer_weight=0.0))
    plain = alone.generate("rain", 0.4, OPTIONS)
    torch.testing.assert_close(led.generate("rain", 0.4, without), plain)
    assert not torch.allclose(led.generate("rain", 0.4, OPTIONS), plain)
    begun = led.generate("rain", 0.4, replace(without, begin_seconds=0.2))
    causal = musicgen.generate("rain", 0.2, OPTIONS)
    torch.testing.assert_close(begun[..., :3500], causal[..., :3500])


def test_eight_bits_come_close(codec) -> None:
    maker, x = generator(codec, "magnet"), torch.randn(1, 30, 32)
    exact = maker.model.network.transformer(x)
    maker.to_int8()
    rounded = maker.model.network.transformer(x)
    assert 0 < float((rounded - exact).abs().mean()) < 0.05 * float(exact.std())
    assert maker.generate("rain", 0.4, OPTIONS).shape == (1, 1, 9600)


def test_a_hybrid_begins_for_itself(codec, magnet: SoundGenerator) -> None:
    options = replace(OPTIONS, begin_seconds=0.2)
    assert generator(codec, "magnet", hybrid=True).generate("rain", 0.4, options).shape == (1, 1, 9600)
    with pytest.raises(AudiogenError, match="hybrid=true"):
        magnet.generate("rain", 0.4, options)


@pytest.mark.parametrize(
    ("caption", "seconds", "message"),
    [
        ("", 1.0, "no words"),
        ("word " * 10_000, 1.0, "10,000 words"),
        ("rain", 0.0, "more than 0"),
        ("rain", 3600.0, "at most 600"),
        ("rain", float("nan"), "more than 0"),
    ],
)
def test_bad_requests_are_told(magnet: SoundGenerator, caption: str, seconds: float, message: str) -> None:
    with pytest.raises(AudiogenError, match=message):
        magnet.generate(caption, seconds)


def test_what_does_not_go_together_is_told(codec, magnet: SoundGenerator, musicgen: SoundGenerator) -> None:
    sound = torch.zeros(1, 4800)
    with pytest.raises(AudiogenError, match="ask for more seconds"):
        magnet.generate("rain", 0.1, prompt=sound)
    with pytest.raises(AudiogenError, match="only a MAGNeT leads"):
        musicgen.infill("rain", sound, 0.1, sound)
    with pytest.raises(AudiogenError, match=r"longer than 0\.6 s"):
        magnet.infill("rain", sound, 0.4, sound)
    with pytest.raises(AudiogenError, match="only by a MusicGen"):
        generator(codec, "magnet").take_along(magnet)
    torch.manual_seed(9)
    other = generator(registry.build("codec", "magnitude_rvq", CODEC).eval(), "musicgen")
    with pytest.raises(AudiogenError, match=r"says 5 codebooks of 32, .* the codec has 4 codebooks"):
        generator(codec, "magnet", codebooks=5)
    with pytest.raises(AudiogenError, match="no caption"):
        magnet.generate([], 0.1)
    with pytest.raises(AudiogenError, match="different codecs"):
        generator(codec, "magnet").take_along(other)
