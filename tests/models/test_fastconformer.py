"""The recogniser: streamed equals whole, ragged rows equal single rows, sessions can join, and it learns."""

from dataclasses import dataclass

import pytest
import torch

from audiogen import registry
from audiogen.errors import AudiogenError
from audiogen.models.fastconformer import FastConformerConfig, FastConformerCTC, RecognizerState
from audiogen.models.fastconformer_hybrid import FastConformerHybrid, FastConformerHybridConfig

TINY = {
    "vocab_size": 5,
    "dim": 16,
    "depth": 2,
    "num_heads": 2,
    "subsampling_channels": 4,
    "left_context": 4,
    "head_frames": 2,
}


@dataclass
class Batch:
    wave: torch.Tensor
    lengths: torch.Tensor
    labels: torch.Tensor
    label_lengths: torch.Tensor
    frame_labels: torch.Tensor | None = None


def tiny(**changes) -> FastConformerCTC:
    torch.manual_seed(0)
    return FastConformerCTC(FastConformerConfig(**{**TINY, "lookaheads": [1, 0, 3], **changes})).eval()


@pytest.mark.parametrize("lookahead", [0, 1, 3])
@pytest.mark.parametrize("sizes", [[1] * 40 + [20_000], [1280] * 20, [7, 5000, 0, 1, 11_000, 1279], [0]])
def test_streamed_equals_whole(lookahead, sizes):
    model, total = tiny(), sum(sizes)
    wave = 0.1 * torch.randn(2, total)
    state, parts, position = model.init_state(2, lookahead), [], 0
    for size in sizes:
        part, state = model.step(wave[:, position : position + size], state)
        parts.append(part)
        position += size
    parts.append(model.step(wave[:, :0], state, final=True)[0])
    streamed = torch.cat(parts, 1)
    whole, lengths = model.log_probs(wave, lookahead=lookahead) if total else (streamed, torch.zeros(2))
    assert streamed.shape[1] == lengths[0] == 2 * -(-total // 1280)
    torch.testing.assert_close(streamed, whole, atol=1e-5, rtol=0)


def ragged_case(model: FastConformerCTC, lookahead: int, generator: torch.Generator) -> None:
    """One stream of random length, cut at random, many of the parts a sample or two long."""

    def draw(most: int) -> int:
        return int(torch.randint(1, most + 1, (), generator=generator))

    total = draw(9000)
    wave, sizes = 0.1 * torch.randn(1, total, generator=generator), []
    while sum(sizes) < total:
        sizes.append(min(total - sum(sizes), draw((2, 160, 4000)[draw(3) - 1])))
    state, parts = model.init_state(1, lookahead), []
    for piece in wave.split(sizes, dim=1):
        part, state = model.step(piece, state)
        parts.append(part)
    parts.append(model.step(wave[:, :0], state, final=True)[0])
    whole, lengths = model.log_probs(wave, lookahead=lookahead)
    streamed = torch.cat(parts, 1)
    assert streamed.shape[1] == int(lengths) == whole.shape[1]
    torch.testing.assert_close(streamed, whole, atol=1e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("framing", ["causal", "centred"])
@pytest.mark.parametrize("count", [10, pytest.param(500, marks=pytest.mark.slow)])
def test_ragged_streams_equal_the_whole(framing, count):
    model, generator = tiny(framing=framing, depth=1, num_mels=16), torch.Generator().manual_seed(0)
    for case in range(count):
        ragged_case(model, model.config.lookaheads[case % 3], generator)


@pytest.mark.slow
@torch.inference_mode()
def test_an_hour_drifts_nowhere_and_takes_no_more_memory_than_a_minute():
    model = tiny(depth=1, num_mels=16)
    minute = 0.1 * torch.randn(1, 188 * model.chunk_length(3))
    first, state = model.step(minute, model.init_state(1, 3))
    size = state.shapes()
    for _ in range(60):
        again, state = model.step(minute, state)
        torch.testing.assert_close(again[:, 64:], first[:, 64:], atol=1e-5, rtol=0)
        assert state.shapes() == size


def test_what_a_centred_model_hears_ahead():
    """The first frame is settled after 25 ms and what is left of its chunk; nothing after it changes it."""
    model, wave = tiny(framing="centred"), 0.1 * torch.randn(1, 9000)
    needed = model.missing(model.init_state(1, 1))
    assert needed == 2 * 1280 - 1080
    changed = wave.clone()
    changed[:, needed:] = 0
    whole = model.log_probs(wave, lookahead=1)[0]
    torch.testing.assert_close(model.log_probs(changed, lookahead=1)[0][:, :4], whole[:, :4], atol=1e-6, rtol=0)
    changed[:, needed - 50 : needed] += 1
    assert not torch.allclose(model.log_probs(changed, lookahead=1)[0][:, :4], whole[:, :4], atol=1e-6)


def test_ragged_rows_equal_single_rows():
    model, wave = tiny(), 0.1 * torch.randn(3, 9000)
    lengths = torch.tensor([9000, 4001, 1])
    padded, label_lengths = model.log_probs(wave, lengths)
    for row, (length, count) in enumerate(zip(lengths, label_lengths, strict=True)):
        alone, _ = model.log_probs(wave[row : row + 1, :length])
        torch.testing.assert_close(padded[row : row + 1, :count], alone, atol=1e-5, rtol=0)


def test_sessions_join_and_leave_at_chunk_boundaries():
    model, wave = tiny(), 0.1 * torch.randn(2, 12_800)
    chunk = model.chunk_length(1)
    _, running = model.step(wave[:1, : 2 * chunk], model.init_state(1))
    both = RecognizerState.cat([running, model.init_state(1)])
    log_probs, both = model.step(wave[:, 2 * chunk : 4 * chunk], both)
    torch.testing.assert_close(log_probs[:1], model.log_probs(wave[:1])[0][:, 8:16], atol=1e-5, rtol=0)
    rest, _ = model.step(wave[1:, 4 * chunk :], both.select([1]), final=True)
    alone = model.log_probs(wave[1:, 2 * chunk :])[0]
    torch.testing.assert_close(torch.cat([log_probs[1:], rest], 1), alone, atol=1e-5, rtol=0)
    fresh = both.reset(torch.tensor([False, True])).select([1])
    again, _ = model.step(wave[1:, : 2 * chunk], fresh)
    torch.testing.assert_close(again, model.log_probs(wave[1:])[0][:, :8], atol=1e-5, rtol=0)


@pytest.mark.parametrize("framing", ["causal", "centred"])
def test_ragged_rows_of_both_framings(framing):
    model, wave = tiny(framing=framing), 0.1 * torch.randn(2, 5000)
    padded, counts = model.log_probs(wave, torch.tensor([5000, 2222]))
    alone, count = model.log_probs(wave[1:, :2222])
    assert counts[1] == count
    torch.testing.assert_close(padded[1:, : int(count)], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("timed", [True, False, "transducer"])
def test_learns_a_batch(timed):
    torch.manual_seed(0)
    quiet = {"dropout": 0.0, "time_masks": 0, "frequency_mask": 0, "head_frames": 4, "lookaheads": [1]}
    model = tiny(**quiet).train()
    if timed == "transducer":
        timed, small = True, {"predictor_dim": 8, "joint_dim": 16, "predictor_dropout": 0.0, "frame_loss_weight": 0.3}
        model = FastConformerHybrid(FastConformerHybridConfig(**{**TINY, **quiet}, **small)).train()
    wave = torch.cat([torch.sin(torch.arange(2560) * f) for f in (0.05, 0.3, 0.9)])[None].repeat(2, 1)
    labels, lengths = torch.tensor([[0, 1, 2], [0, 1, 0]]), torch.tensor([3, 2])
    frames = torch.arange(3).repeat_interleave(8)[None].repeat(2, 1)
    frames[1, 16:] = -1
    batch = Batch(wave, torch.tensor([7680, 5120]), labels, lengths, frames if timed else None)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    first = None
    for _ in range(50):
        loss, _ = model.loss(batch)
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2 * first


def test_config_errors_name_what_is_wrong():
    with pytest.raises(AudiogenError, match="left_context=4"):
        registry.build("recognizer", "fastconformer_ctc", {**TINY, "lookaheads": [2]})
    with pytest.raises(AudiogenError, match="did you mean 'centred'"):
        registry.build("recognizer", "fastconformer_ctc", {**TINY, "lookaheads": [1], "framing": "centered"})
    with pytest.raises(AudiogenError, match="left_context=0"):
        registry.build("recognizer", "fastconformer_ctc", {**TINY, "left_context": 0})
    with pytest.raises(AudiogenError, match="ctc_weight=1"):
        registry.build("recognizer", "fastconformer_hybrid", {**TINY, "lookaheads": [1], "ctc_weight": 1.0})
    with pytest.raises(AudiogenError, match="dim"):
        registry.build("recognizer", "fastconformer_ctc", {**TINY, "dims": 3})
