"""MAGNeT's and MusicGen's losses: what they learn from, what they leave out, and that they learn."""

from dataclasses import replace

import pytest
import torch

from audiogen.data.sound import SoundBatch
from audiogen.errors import AudiogenError
from audiogen.models.code_lm import CodeLM, CodeLMConfig
from audiogen.models.magnet import Magnet, MagnetConfig
from audiogen.models.musicgen import MusicGen, MusicGenConfig
from audiogen.nn.patterns import PatternConfig
from audiogen.protocols import CodecSpec

SPEC = CodecSpec("tiny", 16_000, 320, num_codebooks=3, codebook_size=11)
SIZES = CodeLMConfig(dim=32, heads=2, layers=2, text_size=50, text_layers=1)
MODELS = {
    "magnet": lambda: Magnet(MagnetConfig(SPEC, SIZES)),
    "hybrid": lambda: Magnet(MagnetConfig(SPEC, SIZES, hybrid=True)),
    "musicgen": lambda: MusicGen(MusicGenConfig(SPEC, SIZES)),
    "unrolled": lambda: MusicGen(MusicGenConfig(SPEC, SIZES, PatternConfig("unroll"))),
}


def batch(frames: int = 40) -> SoundBatch:
    torch.manual_seed(1)
    words = torch.randint(1, 50, (4, 3, 2))
    mask = torch.tensor([[True] * 3, [True] * 3, [True, True, False], [True, False, False]])
    return SoundBatch(torch.randint(11, (4, 3, frames)), words, mask)


@pytest.mark.parametrize("name", MODELS)
def test_loss_starts_at_chance_and_falls(name: str) -> None:
    torch.manual_seed(0)
    model, clips = MODELS[name](), batch()
    clips.codes[:] = clips.codes[:1]  # one clip to know by heart
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss, _ = model.loss(clips)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    chance = torch.tensor(11.0).log() * (2 if name == "hybrid" else 1)
    assert abs(losses[0] - chance) < 0.3 * chance
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_hidden_codes_and_later_codebooks_are_not_seen() -> None:
    torch.manual_seed(0)
    model, clips = MODELS["magnet"]().eval(), batch()
    hidden = torch.zeros(4, 40, dtype=torch.bool)
    hidden[:, 10:16] = True
    memory = model.network.remember(clips.text, clips.text_mask)

    def predicted(codes: torch.Tensor) -> torch.Tensor:
        return model.masked_loss(codes, memory, 1, hidden)

    before = predicted(clips.codes)
    changed = clips.codes.clone()
    changed[:, 2] = 0
    assert torch.equal(predicted(changed), before)
    changed[:, 0, 12] = (changed[:, 0, 12] + 1) % 11
    assert not torch.equal(predicted(changed), before)
    far = clips.codes.clone()
    far[:, 0, 30:] = 0  # two layers reach ten frames
    assert torch.equal(predicted(far), before)


def test_validation_draws_the_same_masks_each_time() -> None:
    model, clips = MODELS["hybrid"]().eval(), batch()
    first, figures = model.loss(clips)
    torch.rand(3)
    assert model.loss(clips)[0] == first and {"masked", "codebook_3", "causal"} <= figures.keys()


def test_a_clip_without_words_is_a_clip_without_caption() -> None:
    model, clips = MODELS["magnet"]().eval(), batch()
    x = torch.randn(4, 40, 32)
    nothing = model.network.remember(clips.text, torch.zeros_like(clips.text_mask))
    torch.testing.assert_close(model.network.transformer(x, nothing), model.network.transformer(x))


@pytest.mark.parametrize("padding", ["masked", "zero_keys"])
def test_padding_counts_only_as_zero_keys(padding: str) -> None:
    torch.manual_seed(0)
    network, clips = CodeLM(replace(SIZES, text_padding=padding), SPEC).eval(), batch()
    x = torch.randn(4, 40, 32)
    together = network.transformer(x, network.remember(clips.text, clips.text_mask))[3]
    alone = network.transformer(x[3:], network.remember(clips.text[3:, :1], clips.text_mask[3:, :1]))[0]
    assert torch.allclose(together, alone, atol=1e-5) == (padding == "masked")


def test_causal_predictions_know_only_what_was_said() -> None:
    torch.manual_seed(0)
    model, clips = MODELS["musicgen"]().eval(), batch(12)
    pattern = model.config.pattern.build(3, 12)
    changed = clips.codes.clone()
    changed[:, 1, 6:] = (changed[:, 1, 6:] + 1) % 11  # said from step 8 on
    for codebook, same in ((0, 8), (1, 7), (2, 6)):
        one, other = (model.network.causal_logits(codes, None, pattern, codebook) for codes in (clips.codes, changed))
        assert torch.equal(one[:, :same], other[:, :same]) and not torch.equal(one[:, same], other[:, same])


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_beginnings_have_a_finite_loss(frames: int) -> None:
    model, clips = MODELS["musicgen"](), batch(frames)
    assert bool(model.loss(clips)[0].isfinite())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CodeLMConfig(text="word"), "did you mean 'words'"),
        (lambda: CodeLMConfig(text_padding="zeros"), "text_padding"),
        (lambda: CodeLMConfig(text_dropout=1.0), "below 1"),
        (lambda: MagnetConfig(SPEC, span=0), "span is 0"),
        (lambda: MagnetConfig(SPEC, reach=-1), "reach is -1"),
        (lambda: MusicGenConfig(SPEC, pattern=PatternConfig("delay", [0, 1])), "3 codebooks need 3"),
        (lambda: Magnet(MagnetConfig(CodecSpec("latents", 16_000, 320, latent_dim=4))), "no codebooks"),
    ],
)
def test_mistakes_are_told(make, message: str) -> None:
    with pytest.raises(AudiogenError, match=message):
        make()
