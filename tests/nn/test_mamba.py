"""Mamba: the scan is the loop and its gradient right, a stream is the whole, and constant projections make it LTI."""

import torch

from audiogen.nn.mamba import Mamba, scan


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_scan_is_the_loop_with_its_gradients():
    inputs = [random(7, 2, 3), random(7, 2, 3, seed=1), random(2, 3, seed=2)]
    for tensor in inputs:
        tensor.requires_grad_()
    decay, drive, h = inputs
    states = []
    for a, b in zip(decay, drive, strict=True):
        h = a * h + b
        states.append(h)
    torch.testing.assert_close(scan(*inputs), torch.stack(states))
    assert torch.autograd.gradcheck(scan, inputs)


@torch.no_grad()
def test_a_stream_in_any_pieces_is_the_whole():
    torch.manual_seed(0)
    mamba, x = Mamba(8, 4), torch.randn(2, 60, 8)
    whole, none = mamba(x)
    assert none is None
    state, parts = mamba.init_state(2), []
    for part in x.split([1, 0, 30, 2, 27], dim=1):
        y, state = mamba(part, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


def test_nothing_flows_back_from_the_future():
    torch.manual_seed(0)
    x = torch.randn(1, 20, 8, requires_grad=True)
    Mamba(8, 4)(x)[0][:, 9].sum().backward()
    assert x.grad[:, :10].abs().amax(-1).min() > 0 and not x.grad[:, 10:].any()


@torch.no_grad()
def test_with_constant_projections_it_is_a_convolution():
    torch.manual_seed(0)
    mamba, length = Mamba(4, 3).double(), 30
    mamba.x_proj.weight.zero_()
    x = torch.randn(1, length, 4).double()
    silent, _ = mamba(x)  # B = C = 0 leaves the direct path only
    inside = torch.nn.functional.silu(mamba.conv1d(mamba.in_proj(x)[..., :8].mT)[0].mT)
    gate = torch.nn.functional.silu(mamba.in_proj(x)[..., 8:])
    torch.testing.assert_close(silent, mamba.out_proj(inside * gate))
    dt, c, b = torch.nn.functional.softplus(mamba.dt_proj.bias), random(3), random(3, seed=1)
    powers = (-mamba.A_log.exp()[..., None] * dt[:, None, None] * torch.arange(length)).exp()
    kernel = dt[:, None] * torch.einsum("n,n,enl->el", b, c, powers)
    filtered = torch.nn.functional.conv1d(
        torch.nn.functional.pad(inside.mT, (length - 1, 0)), kernel.flip(-1)[:, None], groups=8
    ).mT
    decay = (dt[:, None] * -mamba.A_log.exp()).exp().expand(length, 1, -1, -1)
    states = scan(decay, (dt * inside[0])[:, None, :, None] * b, torch.zeros(1, 8, 3).double())
    torch.testing.assert_close((states * c).sum(-1)[:, 0], filtered[0])
