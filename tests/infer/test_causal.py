"""MusicGen's decoding: cached is whole, streamed is whole, prompts stay, and a hybrid begins for itself."""

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.infer.causal import CausalOptions, generate, stream
from audiogen.models.code_lm import CodeLMConfig
from audiogen.models.magnet import Magnet, MagnetConfig
from audiogen.models.musicgen import MusicGen, MusicGenConfig
from audiogen.nn.patterns import PATTERNS, PatternConfig
from audiogen.protocols import CodecSpec

SPEC = CodecSpec("tiny", 16_000, 320, num_codebooks=3, codebook_size=23)
SIZES = CodeLMConfig(dim=32, heads=2, layers=2, text_size=50, text_layers=1)
FRAMES, SEEDS = 14, (5, 6)
OPTIONS = CausalOptions(top_k=9, guidance=2.0)


def made(pattern: str) -> MusicGen:
    torch.manual_seed(0)
    model = MusicGen(MusicGenConfig(SPEC, SIZES, PatternConfig(pattern))).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(2)
    return model


def memory_of(model, rows=slice(None)):
    torch.manual_seed(2)
    words, mask = torch.randint(1, 50, (2, 4, 2)), torch.tensor([[True] * 4, [True, True, False, False]])
    return model.network.remember(words[rows], mask[rows])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_likeliest_codes_are_those_of_the_whole_clip(pattern: str) -> None:
    model = made(pattern)
    memory, greedy = memory_of(model), CausalOptions(temperature=0.0, guidance=2.0)
    codes = generate(model, memory, FRAMES, greedy, SEEDS)
    layout = model.config.pattern.build(3, FRAMES)
    for codebook in range(3):
        told, untold = (model.network.causal_logits(codes, given, layout, codebook) for given in (memory, None))
        assert torch.equal((untold + 2.0 * (told - untold)).argmax(-1), codes[:, codebook])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_streamed_is_whole_and_prompts_stay(pattern: str) -> None:
    model = made(pattern)
    memory = memory_of(model)
    prompt = torch.randint(23, (2, 3, 5), generator=torch.Generator().manual_seed(3))
    whole = generate(model, memory, FRAMES, OPTIONS, SEEDS, prompt)
    assert whole.shape == (2, 3, FRAMES) and int(whole.max()) < 23
    assert torch.equal(whole[:, :, :5], prompt)
    pieces = list(stream(model, memory, FRAMES, OPTIONS, SEEDS, prompt, chunk=2))
    assert torch.equal(torch.cat(pieces, 2), whole[:, :, 5:])
    assert pattern != "delay" or len(pieces) > 3


def test_a_clip_is_the_same_alone_and_among_others() -> None:
    model = made("delay")
    together = generate(model, memory_of(model), FRAMES, OPTIONS, SEEDS)
    for row in range(2):
        alone = generate(model, memory_of(model, slice(row, row + 1)), FRAMES, OPTIONS, SEEDS[row : row + 1])
        assert torch.equal(alone[0], together[row])


def test_only_a_hybrid_magnet_begins_clips() -> None:
    torch.manual_seed(0)
    hybrid = Magnet(MagnetConfig(SPEC, SIZES, hybrid=True)).eval()
    assert generate(hybrid, memory_of(hybrid), FRAMES, OPTIONS, SEEDS).shape == (2, 3, FRAMES)
    plain = Magnet(MagnetConfig(SPEC, SIZES)).eval()
    with pytest.raises(AudiogenError, match="hybrid=true"):
        generate(plain, memory_of(plain), FRAMES, OPTIONS, SEEDS)


def test_a_prompt_as_long_as_the_clip_is_refused() -> None:
    model = made("delay")
    with pytest.raises(AudiogenError, match="must be longer"):
        generate(model, None, 5, OPTIONS, SEEDS, torch.zeros(2, 3, 5, dtype=torch.long))
