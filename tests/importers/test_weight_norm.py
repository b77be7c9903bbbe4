"""Weight norm of published checkpoints, folded."""

import pytest
import torch
from torch.nn.utils.parametrizations import weight_norm

from audiogen.errors import AudiogenError
from audiogen.importers.weight_norm import fold_weight_norm


def test_the_weight_is_what_the_layer_uses():
    layer = weight_norm(torch.nn.Conv1d(3, 4, 5))
    gain, direction = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    tensors = {"a.weight_g": gain * 2, "a.weight_v": direction, "a.bias": layer.bias}
    folded = fold_weight_norm(tensors, "it")
    assert folded.keys() == {"a.weight", "a.bias"}
    assert torch.allclose(folded["a.weight"], layer.weight * 2)


def test_a_direction_without_its_gain_is_named():
    with pytest.raises(AudiogenError, match=r"it lacks a\.weight_g, which goes with a\.weight_v"):
        fold_weight_norm({"a.weight_v": torch.ones(2, 2)}, "it")
