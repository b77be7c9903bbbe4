"""The transformer of codes and texts: who sees whom, and that every shortcut gives what the long way gives."""

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.nn.cross_transformer import CrossTransformer, banded_attention

LAYERS = 3


@pytest.fixture(scope="module")
def network() -> CrossTransformer:
    torch.manual_seed(0)
    network = CrossTransformer(dim=32, heads=4, layers=LAYERS, feedforward=48).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@pytest.fixture
def text() -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.tensor([[True, True, True], [True, False, False]])
    return torch.randn(2, 3, 32) * mask[..., None], mask


def gradient_to_inputs(network: CrossTransformer, frame: int, **options) -> list[int]:
    """The frames of 80 on which the output of `frame` depends."""
    x = torch.randn(1, 80, 32, requires_grad=True)
    network(x, **options)[0, frame].sum().backward()
    return x.grad[0].abs().sum(1).nonzero().flatten().tolist()


def test_a_reach_of_five_frames_is_five_frames_a_layer(network: CrossTransformer) -> None:
    assert gradient_to_inputs(network, 40, reach=5) == list(range(40 - 5 * LAYERS, 40 + 5 * LAYERS + 1))
    assert gradient_to_inputs(network, 2, reach=5) == list(range(2 + 5 * LAYERS + 1))
    assert gradient_to_inputs(network, 78, reach=5) == list(range(78 - 5 * LAYERS, 80))


def test_causal_clips_see_nothing_later(network: CrossTransformer) -> None:
    assert gradient_to_inputs(network, 40, causal=True) == list(range(41))
    assert gradient_to_inputs(network, 40) == list(range(80))


@pytest.mark.parametrize("frames", [1, 5, 32, 33, 75])
def test_banded_attention_is_masked_attention(frames: int) -> None:
    queries, keys, values = torch.randn(3, 2, 4, frames, 8)
    mask = (torch.arange(frames)[:, None] - torch.arange(frames)).abs() <= 5
    expected = torch.nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    torch.testing.assert_close(banded_attention(queries, keys, values, 5), expected)


def test_banded_attention_trains_at_the_edges() -> None:
    inputs = torch.randn(3, 1, 2, 37, 8, requires_grad=True)
    banded_attention(*inputs, 5).sum().backward()
    assert bool(inputs.grad.isfinite().all())


def test_a_short_text_is_folded_and_says_the_same(network: CrossTransformer, text, monkeypatch) -> None:
    x, folded = torch.randn(2, 40, 32), network.remember(*text)
    monkeypatch.setattr(network, "_is_worth_folding", lambda text: False)
    plain = network.remember(*text)
    assert folded.folded and not plain.folded
    torch.testing.assert_close(network(x, folded), network(x, plain))
    monkeypatch.undo()
    assert not network.remember(torch.randn(2, 5, 32)).folded


def test_no_text_is_a_text_of_zeros(network: CrossTransformer) -> None:
    x, zeros = torch.randn(2, 10, 32), torch.zeros(2, 3, 32)
    torch.testing.assert_close(network(x, network.remember(zeros)), network(x))
    torch.testing.assert_close(network(x, network.remember(zeros, torch.zeros(2, 3, dtype=torch.bool))), network(x))


def test_masked_places_do_not_count_but_zeros_do(network: CrossTransformer, text) -> None:
    vectors, mask = text
    x = torch.randn(2, 10, 32)
    masked = network(x, network.remember(vectors, mask))
    torch.testing.assert_close(masked[1:], network(x[1:], network.remember(vectors[1:, :1])))
    assert not torch.allclose(masked[1], network(x, network.remember(vectors))[1], atol=1e-3)


@pytest.mark.parametrize("pieces", [[30], [1] * 30, [7, 1, 1, 13, 8]])
def test_streamed_is_whole(network: CrossTransformer, text, pieces: list[int]) -> None:
    x, memory = torch.randn(2, 30, 32), network.remember(*text)
    past, outputs = network.init_state(2, 30), []
    for piece in x.split(pieces, dim=1):
        output, past = network.step(piece, past, memory)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), network(x, memory, causal=True))


def test_rows_of_a_state_and_of_a_memory_can_be_chosen(network: CrossTransformer, text) -> None:
    x, memory = torch.randn(2, 9, 32), network.remember(*text)
    _, past = network.step(x[:, :8], network.init_state(2, 9), memory)
    alone, _ = network.step(x[1:, 8:], past.select([1]), memory.select([1]))
    together, _ = network.step(x[:, 8:], past, memory)
    torch.testing.assert_close(alone, together[1:])


def test_mistakes_are_told(network: CrossTransformer) -> None:
    with pytest.raises(AudiogenError, match="a multiple of 8"):
        CrossTransformer(dim=12, heads=4, layers=1, feedforward=8)
    with pytest.raises(AudiogenError, match="8 places cannot take place 9"):
        network.step(torch.randn(1, 9, 32), network.init_state(1, 8))
