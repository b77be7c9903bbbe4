"""8-bit layers: close to the layers they were made from, and the stepper takes them as they are."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from audiogen.errors import AudiogenError
from audiogen.nn.int8 import Int8Linear, to_int8
from audiogen.nn.stepper import Stepper, stepper
from audiogen.nn.transformer import Transformer, TransformerConfig

pytestmark = pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines, reason="this torch has no 8-bit kernels"
)


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_close_to_its_original(bias):
    torch.manual_seed(0)
    linear, x = nn.Linear(96, 40, bias=bias), torch.randn(2, 7, 96)
    expected, found = linear(x), Int8Linear(linear)(x)
    assert found.shape == expected.shape
    assert (found - expected).norm() / expected.norm() < 0.02


@torch.no_grad()
def test_a_transformer_of_8_bits_steps_as_it_runs_whole():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(dim=32, heads=2, layers=2, feedforward=48)).eval()
    to_int8(model)
    assert not any(isinstance(module, nn.Linear) for module in model.modules())
    x, positions = torch.randn(1, 1, 32), torch.zeros(1, 1, 2)
    whole, _ = model(x, positions, state=model.init_state(1, 3))
    stepped = Stepper(model, model.init_state(1, 3))(x[:, 0], positions[:, 0])
    torch.testing.assert_close(stepped, whole[:, 0])


@torch.no_grad()
@pytest.mark.parametrize("rows", [1, 6])
def test_fused_steps_of_8_bits_are_those_of_the_rounded_weights(rows):
    fused = pytest.importorskip("audiogen.nn.fused_stepper", exc_type=ImportError)
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(dim=64, heads=4, layers=2, feedforward=96)).eval()
    rounded, tokens, at = deepcopy(model), torch.randn(5, rows, 64), torch.randint(50, (5, rows, 2))
    for linear in rounded.modules():
        if isinstance(linear, nn.Linear):
            weight, scales, _ = Int8Linear(linear).unpacked()
            linear.weight.copy_(weight * scales[:, None])
    to_int8(model)
    run, state = fused.FusedStepper(model, model.init_state(rows, 5)), rounded.init_state(rows, 5)
    for token, where in zip(tokens, at, strict=True):
        expected, state = rounded(token[:, None], where[:, None], state=state)
        torch.testing.assert_close(run(token, where), expected[:, 0], atol=1e-4, rtol=0)


def test_a_layer_elsewhere_than_on_the_cpu_is_refused():
    with pytest.raises(AudiogenError, match="int8"):
        Int8Linear(nn.Linear(4, 4, device="meta"))


@torch.no_grad()
def test_a_fused_stepper_sees_that_norms_have_moved():
    pytest.importorskip("numba")
    model = Transformer(TransformerConfig(dim=32, heads=2, layers=1, feedforward=48)).eval()
    to_int8(model)
    assert not isinstance(stepper(model, model.init_state(1, 3)), Stepper)
    model.double()  # the 8-bit layers stay what they are
    assert isinstance(stepper(model, model.init_state(1, 3)), Stepper)
