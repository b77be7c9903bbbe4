"""State spaces: the kernel is the dense system's, a stream is the convolution, and S4 cannot diverge."""

import pytest
import torch

from audiogen.nn.ssm import S4, S4D, circular, convolve, impulse_response, legs, reciprocal


def perturbed(cls, channels=4, state_size=16, **options):
    torch.manual_seed(0)
    ssm = cls(channels, state_size, **options)
    with torch.no_grad():
        for parameter in ssm.parameters():
            parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
    return ssm


def dense(ssm, length):
    """The impulse response [H, length] from full matrices over both of each conjugate pair, in complex128."""
    responses = []
    for h in range(len(ssm.log_dt)):
        row = h if len(ssm.b) > 1 else 0
        both = lambda x: torch.cat([x, x.conj()])  # noqa: E731
        a = torch.diag(both(torch.complex(-ssm.log_decay[row].double().exp(), ssm.frequency[row].double())))
        b, c = (both(torch.view_as_complex(x.double())) for x in (ssm.b[row], ssm.c[h]))
        dt, one = ssm.log_dt[h].double().exp(), torch.eye(len(a), dtype=a.dtype)
        if isinstance(ssm, S4):
            p = both(torch.view_as_complex(ssm.p[row].double()))
            a = a - torch.outer(p, p.conj())
            inverse = torch.linalg.inv(one - dt / 2 * a)
            a, b = inverse @ (one + dt / 2 * a), inverse @ (dt * b)
        else:
            exponential = torch.linalg.matrix_exp(dt * a)
            a, b = exponential, torch.linalg.solve(a, (exponential - one) @ b)
        outputs = []
        for _ in range(length):
            outputs.append((c @ b).real)
            b = a @ b
        responses.append(torch.stack(outputs))
    return torch.stack(responses)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("cls", [S4D, S4])
@torch.no_grad()
def test_the_kernel_is_the_dense_systems(cls, tied):
    ssm = perturbed(cls, tied=tied)
    torch.testing.assert_close(impulse_response(ssm.discretize(), 500), dense(ssm, 500), atol=1e-10, rtol=0)


@pytest.mark.parametrize("cls", [S4D, S4])
@torch.no_grad()
def test_a_stream_in_any_pieces_is_the_whole(cls):
    ssm = perturbed(cls, state_size=64)
    u = torch.randn(2, 1000, 4)
    whole, _ = ssm(u)
    state, parts = ssm.init_state(2), []
    for part in u.split([1, 0, 15, 300, 2, 682], dim=1):
        y, state = ssm(part, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cls", [S4D, S4])
def test_nothing_flows_back_from_the_future(cls):
    u = torch.randn(1, 60, 4, requires_grad=True)
    y, _ = perturbed(cls)(u)
    y[:, 20].sum().backward()
    assert u.grad[:, :21].abs().sum() > 0
    assert u.grad[:, 21:].abs().max() < 1e-6 * u.grad.abs().max()


@pytest.mark.parametrize("cls", [S4D, S4])
def test_every_parameter_learns(cls):
    ssm = perturbed(cls)
    ssm(torch.randn(1, 50, 4))[0].square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in ssm.parameters())


@torch.no_grad()
def test_coefficients_follow_the_parameters():
    ssm = perturbed(S4)
    before = ssm.coefficients().a
    assert ssm.coefficients().a is before
    ssm.log_dt.add_(0.1)
    assert not torch.equal(ssm.coefficients().a, before)


@pytest.mark.parametrize("sign", [-1, 1])
@torch.no_grad()
def test_the_hurwitz_form_stays_within_the_unit_circle_whatever_the_parameters(sign):
    """With Λ + P P* (sign 1), as S4 had it, the same parameters diverge (Goel et al. 2022, §4.1)."""
    ssm = perturbed(S4)
    for parameter in (ssm.p, ssm.b, ssm.frequency, ssm.log_decay):
        parameter.copy_(3 * torch.randn_like(parameter))
    poles = torch.complex(-ssm.log_decay[0].double().exp(), ssm.frequency[0].double())
    p = torch.view_as_complex(ssm.p[0].double())
    a = torch.diag(torch.cat([poles, poles.conj()]))
    p = torch.cat([p, p.conj()])
    a = a + sign * torch.outer(p, p.conj())
    dt, one = 0.05, torch.eye(len(a))
    largest = torch.linalg.eigvals(torch.linalg.solve(one - dt / 2 * a, one + dt / 2 * a)).abs().max()
    assert (largest < 1) == (sign < 0)


def test_legs_is_the_hippo_matrix_rotated():
    n = torch.arange(8, dtype=torch.float64)
    root = (2 * n + 1).sqrt()
    hippo = -(torch.outer(root, root).tril(-1) + torch.diag(n + 1))
    poles, _, p = legs(8)
    p = torch.cat([p, p.conj()])
    rebuilt = torch.diag(torch.cat([poles, poles.conj()])) - torch.outer(p, p.conj())
    expected, got = torch.linalg.eigvals(hippo), torch.linalg.eigvals(rebuilt)
    torch.testing.assert_close(got.real.sort().values, expected.real.sort().values, atol=1e-6, rtol=0)


def test_the_reciprocal_of_a_series():
    series = torch.cat([torch.ones(3, 1), torch.randn(3, 36) / 10], dim=1).double()
    product = torch.nn.functional.conv1d(
        torch.nn.functional.pad(reciprocal(series), (36, 0))[None], series.flip(-1)[:, None], groups=3
    )[0]
    torch.testing.assert_close(product, torch.eye(37, dtype=torch.float64)[:1].expand(3, -1), atol=1e-12, rtol=0)


def test_a_convolution_has_the_gradients_of_its_sums():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(3, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    by_hand = torch.stack([(x[..., : t + 1] * kernel[..., : t + 1].flip(-1)).sum(-1) for t in range(7)], -1)
    torch.testing.assert_close(convolve(x, kernel), by_hand)
    assert torch.autograd.gradcheck(convolve, (x, kernel))
    assert torch.autograd.gradcheck(lambda x, kernel: circular(x, kernel, 9), (x, kernel))
