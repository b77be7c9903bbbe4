"""The compiled scan is the plain one, with its gradients, whatever the length is beside the distance of kept states."""

import pytest
import torch

from audiogen.nn import mamba

kernel = pytest.importorskip("audiogen.nn.selective_scan", reason="numba is not installed", exc_type=ImportError)


@pytest.mark.parametrize("length", [1, kernel.EVERY, 2 * kernel.EVERY + 5])
def test_it_is_the_plain_scan_with_its_gradients(length):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    batch, channels, states = 2, 3, 16
    x, b, c = (normal(batch, length, size) for size in (channels, states, states))
    dt, a, start = 0.1 * normal(batch, length, channels).exp(), -normal(channels, states).exp(), normal(batch, 3, 16)
    inputs = [each.requires_grad_() for each in (x, dt, a, b, c, start)]
    weights, results = normal(batch, length, channels), []
    for run in (kernel.selective_scan, mamba.selective_scan):
        y, last = run(*inputs)
        gradients = torch.autograd.grad((weights * y).sum() + last.square().sum(), inputs)
        results.append((y, last, *gradients))
    for compiled, plain in zip(*results, strict=True):
        torch.testing.assert_close(compiled, plain, atol=2e-5, rtol=2e-5)


@torch.no_grad()
def test_a_network_runs_compiled_where_it_can_and_plain_where_not(monkeypatch):
    torch.manual_seed(0)
    net, x = mamba.Mamba(16, 8), torch.randn(2, 40, 16)
    compiled, _ = net(x)
    monkeypatch.setattr(mamba, "_compiled", lambda: None)
    plain, _ = net(x)
    torch.testing.assert_close(compiled, plain, atol=1e-5, rtol=1e-5)
