"""The transformer: cached equals uncached, ragged rows equal single rows, masks let through what they should."""

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.nn.stepper import Stepper, stepper
from audiogen.nn.transformer import Transformer, TransformerConfig, TransformerState, chunk_mask, prefix_mask


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(TransformerConfig(dim=32, heads=2, layers=2, feedforward=48)).eval()


def positions(batch: int, size: int) -> torch.Tensor:
    time = torch.arange(size)
    return torch.stack([time, time // 3], -1).expand(batch, -1, -1)


@torch.no_grad()
@pytest.mark.parametrize("sizes", [[9, 1, 1, 1], [1] * 12, [5, 4, 3]])
def test_a_stream_equals_the_whole(model, sizes):
    x, where = torch.randn(2, 12, 32), positions(2, 12)
    causal = torch.ones(12, 12, dtype=torch.bool).tril().expand(2, -1, -1)
    whole, _ = model(x, where, causal)
    state, parts, begin = model.init_state(2, 12), [], 0
    for size in sizes:
        part, state = model(x[:, begin : begin + size], where[:, begin : begin + size], state=state)
        parts.append(part)
        begin += size
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_ragged_rows_equal_single_rows(model):
    x, where, lengths = torch.randn(2, 7, 32), positions(2, 7), torch.tensor([7, 4])
    after, after_where = torch.randn(2, 2, 32), positions(2, 2)
    mask = prefix_mask(lengths, lengths, 7)
    _, state = model(x, where, mask, model.init_state(2, 9), lengths=lengths)
    batch, _ = model(after, after_where, state=state)
    for row, length in enumerate(lengths.tolist()):
        one = slice(row, row + 1)
        full = torch.ones(1, length, length, dtype=torch.bool)
        _, state = model(x[one, :length], where[one, :length], full, model.init_state(1, 9))
        single, _ = model(after[one], after_where[one], state=state)
        torch.testing.assert_close(batch[one], single, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("kind", [Stepper, stepper], ids=["plain", "fastest"])
@pytest.mark.parametrize("lengths", [[5], [5, 5], [5, 2, 4, 5, 1, 3]], ids=["one", "equal", "ragged"])
def test_a_stepper_does_what_the_transformer_does(model, lengths, kind):
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    batch, before = len(lengths), torch.tensor(lengths)
    x, where = torch.randn(batch, 5, 32), positions(batch, 5)
    _, state = model(x, where, state=model.init_state(batch, 9), lengths=before)
    expected, stepper = state.copy(9), kind(model, state)
    for token in torch.randn(4, batch, 32):
        at = torch.randint(50, (batch, 2))
        output, expected = model(token[:, None], at[:, None], state=expected)
        torch.testing.assert_close(stepper(token, at), output[:, 0], atol=1e-5, rtol=0)
    assert torch.equal(stepper.state.length, before + 4)
    for mine, other in zip(stepper.state.keys + stepper.state.values, expected.keys + expected.values, strict=True):
        for row, length in enumerate(lengths):
            torch.testing.assert_close(mine[row, :, : length + 4], other[row, :, : length + 4], atol=1e-5, rtol=0)
    with pytest.raises(AudiogenError, match="a stream of 9 tokens cannot take token 10"):
        stepper(token, at)


@torch.no_grad()
@pytest.mark.parametrize("kind", [Stepper, stepper], ids=["plain", "fastest"])
def test_rows_on_hold_stay_as_they_are(model, kind):
    x, where, token = torch.randn(3, 5, 32), positions(3, 5), torch.randn(3, 32)
    _, state = model(x, where, state=model.init_state(3, 6))
    run, keys = kind(model, state), state.keys[0][1, :, :5].clone()
    run.hold(torch.tensor([False, True, False]))
    outputs = run(token, where[:, 4])
    _, alone = model(x, where, state=model.init_state(3, 6))
    expected = model(token[:, None], where[:, 4:], state=alone)[0][:, 0]
    torch.testing.assert_close(outputs[[0, 2]], expected[[0, 2]], atol=1e-5, rtol=0)
    assert run.state.length.tolist() == [6, 5, 6] and torch.equal(state.keys[0][1, :, :5], keys)


@torch.no_grad()
def test_a_fused_stepper_sees_that_weights_have_changed(model):
    token, at = torch.randn(1, 32), torch.zeros(1, 2, dtype=torch.long)
    for _ in range(2):
        output = stepper(model, model.init_state(1, 1))(token, at)
        expected, _ = model(token[:, None], at[:, None])
        torch.testing.assert_close(output, expected[:, 0], atol=1e-5, rtol=0)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.3)


@torch.no_grad()
def test_more_tokens_than_streams_are_refused(model):
    pytest.importorskip("numba")
    run = stepper(model, model.init_state(2, 3))
    with pytest.raises(AudiogenError, match="3 tokens at 3 positions cannot go on 2 streams"):
        run(torch.randn(3, 32), torch.zeros(3, 2, dtype=torch.long))


@torch.no_grad()
def test_what_cannot_be_fused_steps_plainly():
    narrow = Transformer(TransformerConfig(dim=24, heads=2, layers=1, feedforward=48, axes=1)).eval()
    assert isinstance(stepper(narrow, narrow.init_state(1, 2)), Stepper)
    double = Transformer(TransformerConfig(dim=32, heads=2, layers=1, feedforward=48)).eval().double()
    assert isinstance(stepper(double, double.init_state(1, 2)), Stepper)


@torch.no_grad()
def test_only_differences_of_positions_matter(model):
    x, where = torch.randn(1, 6, 32), positions(1, 6)
    torch.testing.assert_close(model(x, where)[0], model(x, where + 500)[0], atol=1e-4, rtol=0)


@torch.no_grad()
def test_dropped_tokens_are_forgotten(model):
    x, where = torch.randn(1, 8, 32), positions(1, 8)
    _, state = model(x[:, :6], where[:, :6], torch.eye(6, dtype=torch.bool)[None], model.init_state(1, 8))
    kept = [0, 1, 4, 5]
    _, short = model(x[:, kept], where[:, kept], torch.eye(4, dtype=torch.bool)[None], model.init_state(1, 8))
    dropped = state.drop(torch.tensor([2]), torch.tensor([2])).copy(10)
    expected, _ = model(x[:, 6:], where[:, 6:], state=short)
    torch.testing.assert_close(model(x[:, 6:], where[:, 6:], state=dropped)[0], expected)


@torch.no_grad()
def test_sessions_are_joined_and_selected(model):
    x, where = torch.randn(2, 5, 32), positions(2, 5)
    _, state = model(x, where, state=model.init_state(2, 6))
    rows = [model(x[i : i + 1], where[:1], state=model.init_state(1, 6)) for i in range(2)]
    joined = TransformerState.cat([state for _, state in rows])
    token, at = torch.randn(2, 1, 32), positions(2, 1)
    torch.testing.assert_close(model(token, at, state=joined)[0], model(token, at, state=state)[0])
    one = TransformerState.cat([state for _, state in rows]).select([1])
    torch.testing.assert_close(model(token[1:], at[1:], state=one)[0], model(token, at, state=state.copy(6))[0][1:])


def test_a_full_stream_says_so(model):
    with pytest.raises(AudiogenError, match="a stream of 3 tokens"):
        model(torch.randn(1, 4, 32), positions(1, 4), state=model.init_state(1, 3))


def test_masks():
    prefix = prefix_mask(torch.tensor([2, 1]), torch.tensor([4, 2]), 4)
    assert prefix[0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert prefix[1].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    places = torch.arange(7)[None]
    chunks = chunk_mask(torch.tensor([1]), torch.tensor([7]), places, places, chunk=2, context=1)[0].int().tolist()
    assert chunks[0] == [1, 0, 0, 0, 0, 0, 0]
    assert chunks[1] == chunks[2] == [1, 1, 1, 0, 0, 0, 0]
    assert chunks[3] == [1, 1, 1, 1, 1, 0, 0]
    assert chunks[5] == [1, 0, 0, 1, 1, 1, 1]


def test_a_width_that_does_not_suit_the_heads_is_refused():
    with pytest.raises(AudiogenError, match="multiple of 16"):
        TransformerConfig(dim=24, heads=4)
