"""Features, subsampling and Conformer blocks: streamed equals whole, no future is seen, sessions do not mix."""

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.nn.conformer import Conformer, ConformerState
from audiogen.nn.features import LogMel
from audiogen.nn.subsampling import DepthwiseStriding


def test_features_stream_in_any_chunks():
    features, wave = LogMel(), torch.randn(2, 4000)
    whole, _ = features(wave)
    state, parts, position = features.init_state(2), [], 0
    for size in [1, 1, 158, 1, 0, 999, 160, 3000]:
        part, state = features(wave[:, position : position + size], state)
        parts.append(part)
        position += size
    assert whole.shape == (2, 25, 80)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-6, rtol=0)


def test_features_find_a_tone():
    time = torch.arange(16_000) / 16_000
    mel, _ = LogMel()(torch.sin(2 * torch.pi * 1000 * time)[None])
    mel_of_1000_hz = 2595 * torch.log10(torch.tensor(1 + 1000 / 700))
    mel_of_8000_hz = 2595 * torch.log10(torch.tensor(1 + 8000 / 700))
    assert abs(int(mel[0, 50].argmax()) - float(mel_of_1000_hz / mel_of_8000_hz) * 81 + 1) <= 1


def test_subsampling_streams_in_any_chunks():
    layer, x = DepthwiseStriding(20, 4, 6), torch.randn(2, 48, 20)
    whole, _ = layer(x)
    state, parts, position = layer.init_state(2), [], 0
    for size in [1, 2, 1, 0, 7, 5, 32]:
        part, state = layer(x[:, position : position + size], state)
        parts.append(part)
        position += size
    assert whole.shape == (2, 6, 6)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-6, rtol=0)


def test_subsampling_sees_seven_frames_around():
    layer = DepthwiseStriding(20, 4, 6)
    x = torch.randn(1, 48, 20, requires_grad=True)
    layer(x)[0][0, 3].sum().backward()
    seen = x.grad.abs().sum((0, 2)).nonzero().flatten()
    assert seen.min() >= 8 * 3 - 7 and seen.max() == 8 * 3 + 7


def conformer() -> Conformer:
    torch.manual_seed(0)
    model = Conformer(8, 3, 2, 2, 3, left_context=4, max_lookahead=3, dropout=0.0).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("lookahead", [0, 1, 3])
def test_conformer_streamed_equals_whole(lookahead):
    model, x = conformer(), torch.randn(2, 21, 8, dtype=torch.float64)
    whole, _ = model(x, lookahead)
    state, parts, position = model.init_state(2), [], 0
    for chunks in [1, 2, 1, 21]:
        part, state = model(x[:, position : position + chunks * (lookahead + 1)], lookahead, state)
        parts.append(part)
        position += chunks * (lookahead + 1)
        if position >= 21:
            break
    torch.testing.assert_close(torch.cat(parts, 1)[:, :21], whole[:, :position], atol=1e-10, rtol=0)


@pytest.mark.parametrize("lookahead", [0, 1, 3])
def test_conformer_looks_ahead_to_the_end_of_the_chunk_only(lookahead):
    model = conformer()
    x = torch.randn(1, 12, 8, dtype=torch.float64, requires_grad=True)
    model(x, lookahead)[0][0, 4].sum().backward()
    seen = x.grad.abs().sum((0, 2)).nonzero().flatten()
    assert int(seen.max()) == 4 // (lookahead + 1) * (lookahead + 1) + lookahead


def test_conformer_ragged_rows_equal_single_rows():
    model, x = conformer(), torch.randn(2, 9, 8, dtype=torch.float64)
    padded, _ = model(x, 1, lengths=torch.tensor([9, 6]))
    alone, _ = model(x[1:, :6], 1)
    torch.testing.assert_close(padded[1:, :6], alone, atol=1e-10, rtol=0)


def test_fresh_and_running_sessions_share_a_batch():
    model, x = conformer(), torch.randn(2, 12, 8, dtype=torch.float64)
    _, running = model(x[:1, :4], 1, model.init_state(1))
    joined = ConformerState.cat([running, model.init_state(1)])
    both, after = model(x[:, 4:8], 1, joined)
    torch.testing.assert_close(both[:1], model(x[:1], 1)[0][:, 4:8], atol=1e-10, rtol=0)
    torch.testing.assert_close(both[1:], model(x[1:, 4:8], 1)[0], atol=1e-10, rtol=0)
    later, _ = model(x[1:, 8:], 1, after.select([1]))
    torch.testing.assert_close(later, model(x[1:, 4:], 1)[0][:, 4:], atol=1e-10, rtol=0)


def test_conformer_refuses_a_lookahead_that_does_not_fit():
    with pytest.raises(AudiogenError, match="lookahead=2"):
        conformer()(torch.zeros(1, 3, 8, dtype=torch.float64), 2)
