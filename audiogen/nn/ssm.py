"""Linear state spaces along time, S4 and S4D: a convolution for whole sequences, a recurrence for streams.

Per channel x' = A x + B u, y = 2 Re(C x) + D u, discretised with the channel's step Δ. Only one of each conjugate pair
of states is kept. S4D (Gu et al. 2022) has a diagonal A; S4 (Gu, Goel and Ré 2021) has A = Λ − P P*, tied and with
Re Λ < 0, the Hurwitz form of Goel et al. 2022, §4.1, which cannot diverge.

Both become, per sample, a diagonal recurrence, for S4 with one real scalar s fed back:

    x ← a ∘ x + b · u − g · s,    y = 2 Re Σ c x,    s ← 2 Re Σ v x

so everything follows from diagonal systems, whose responses 2 Re Σ w aˡ are small matrix products: the feedback is
undone by dividing power series. No length is fixed and the C that is trained is the C that is run.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from audiogen.nn.state import State

DT_RANGE = (1e-3, 1e-1)
RECURRENT_BELOW = 16  # frames: shorter pieces of a stream are quicker one by one


@dataclass
class SSMState(State):
    """The states [B, H, N / 2] of all channels, complex."""

    x: Tensor


@dataclass(frozen=True)
class Discrete:
    """A discretised system, each field complex [H, N / 2]; without `g` and `v` nothing is fed back."""

    a: Tensor
    b: Tensor
    c: Tensor
    g: Tensor | None = None
    v: Tensor | None = None

    def to(self, dtype: torch.dtype) -> "Discrete":
        """The same in another precision."""
        return Discrete(*(None if field is None else field.to(dtype) for field in vars(self).values()))


class S4D(nn.Module):
    """A diagonal state space for each of H channels, discretised by zero-order hold (Gu et al. 2022, §3).

    Its `dynamics`, Δ, A and B, are what training moves with care: see `audiogen.train.loop.adamw`.
    """

    dynamics = ("log_dt", "log_decay", "frequency", "b")

    def __init__(self, channels: int, state_size: int = 64, tied: bool = True) -> None:
        """Start from HiPPO-LegS.

        Args:
            channels: H.
            state_size: N, counting both of each conjugate pair.
            tied: Whether the channels share A and B.
        """
        super().__init__()
        eigenvalues, b, p = legs(state_size)
        systems = 1 if tied else channels
        low, high = map(math.log, DT_RANGE)
        self.log_dt = nn.Parameter(low + (high - low) * torch.rand(channels))
        self.log_decay = nn.Parameter((-eigenvalues.real).log().float().repeat(systems, 1))
        self.frequency = nn.Parameter(eigenvalues.imag.float().repeat(systems, 1))
        self.b = nn.Parameter(torch.view_as_real(b).float().repeat(systems, 1, 1))
        self.c = nn.Parameter(torch.randn(channels, state_size // 2, 2) * math.sqrt(0.5))
        self.d = nn.Parameter(torch.randn(channels))
        self._init_more(p, systems)
        self._memo: tuple[tuple[int, ...], Discrete] | None = None

    def _init_more(self, p: Tensor, systems: int) -> None:
        """Parameters that a subclass adds."""

    def discretize(self) -> Discrete:
        """The system per sample, in double precision."""
        dt, poles, b, c = self._continuous()
        a = (dt * poles).exp()
        return Discrete(a, (a - 1) / poles * b, c)

    def _continuous(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Δ [H, 1], Λ and B [1 or H, N / 2], C [H, N / 2]."""
        poles = torch.complex(-self.log_decay.double().exp(), self.frequency.double())
        return self.log_dt.double().exp()[:, None], poles, _complex(self.b), _complex(self.c)

    def init_state(self, batch_size: int) -> SSMState:
        """Rest."""
        return SSMState(torch.zeros(batch_size, *self.c.shape[:2], dtype=torch.complex64, device=self.c.device))

    def forward(self, u: Tensor, state: SSMState | None = None) -> tuple[Tensor, SSMState | None]:
        """Filter every channel.

        Args:
            u: [B, T, H].
            state: The stream so far, or None for whole sequences.

        Returns:
            y [B, T, H] and, in a stream, the state after it.
        """
        if state is None:
            y = convolve(u.transpose(1, 2), self.kernel(u.shape[1]).to(u.dtype)).transpose(1, 2)
        elif u.shape[1] < RECURRENT_BELOW:
            y, state = self._recur(u, state)
        else:
            y, state = self._scan(u, state)
        return self.d * u + y, state  # in this order the sum lies in memory as u does, not as y

    def kernel(self, length: int) -> Tensor:
        """The impulse response [H, length] of the recurrence, without D, in double precision."""
        return impulse_response(self.coefficients().to(torch.complex128), length)

    def coefficients(self) -> Discrete:
        """The system in single precision, as it runs; without gradients, remembered until a parameter changes."""
        if torch.is_grad_enabled() or self.d.is_inference():  # the latter do not count their changes
            return self.discretize().to(torch.complex64)
        version = tuple(number for p in self.parameters() for number in (p.data_ptr(), p._version))
        if self._memo is None or self._memo[0] != version:
            self._memo = (version, self.discretize().to(torch.complex64))
        return self._memo[1]

    def _recur(self, u: Tensor, state: SSMState) -> tuple[Tensor, SSMState]:
        """Sample by sample."""
        system, x, outputs = self.coefficients(), state.x, []
        for sample in u.unbind(1):
            after = system.a * x + system.b * sample[..., None]
            if system.g is not None:
                after = after - system.g * (2 * (system.v * x).real.sum(-1, keepdim=True))
            x = after
            outputs.append(2 * (system.c * x).real.sum(-1))
        return torch.stack(outputs, dim=1) if outputs else u, SSMState(x)

    def _scan(self, u: Tensor, state: SSMState) -> tuple[Tensor, SSMState]:
        """Many samples at once, from a state to a state."""
        system, length = self.coefficients().to(torch.complex128), u.shape[1]
        u, x = u.double().transpose(1, 2), state.x.to(torch.complex128)
        y = response(system.c * system.a * x, system.a, length)
        y = y + convolve(u, response(system.c * system.b, system.a, length))
        after = final_state(system.a, system.b, u, x)
        if system.g is not None:
            heard = convolve(u, response(system.v * system.b, system.a, length))
            heard = response(system.v * x, system.a, length) + _delayed(heard)
            fed = convolve(heard, _closed(system, length))
            y = y - convolve(fed, response(system.c * system.g, system.a, length))
            after = after - final_state(system.a, system.g, fed, torch.zeros_like(x))
        return y.transpose(1, 2).to(self.d.dtype), SSMState(after.to(state.x.dtype))


class S4(S4D):
    """A state space with A = Λ − P P*, discretised by the bilinear rule."""

    dynamics = (*S4D.dynamics, "p")

    def _init_more(self, p: Tensor, systems: int) -> None:
        self.p = nn.Parameter(torch.view_as_real(p).float().repeat(systems, 1, 1))

    def discretize(self) -> Discrete:
        """The system per sample, in double precision.

        Ā = (2/Δ − A)⁻¹ (2/Δ + A) and B̄ = 2 (2/Δ − A)⁻¹ B. The inverse of diagonal plus rank one is again such
        (Woodbury), and so is the product.
        """
        dt, poles, b, c = self._continuous()
        p = _complex(self.p)
        inverse, forward = 1 / (2 / dt - poles), 2 / dt + poles
        q = p.conj()
        r = q * inverse / (1 + _pair_sum(q * inverse * p))
        v = q * (1 - _pair_sum(r * p)) + r * forward
        return Discrete(inverse * forward, 2 * inverse * (b - p * _pair_sum(r * b)), c, inverse * p, v)


class TwoSided(nn.Module):
    """State spaces in both directions of time, for sound that is there as a whole (Goel et al. 2022, §4.2).

    Their two impulse responses make one kernel: what lies ahead is filtered like what has been, not its sample itself.
    """

    def __init__(self, ssm: type[S4D], channels: int, state_size: int = 64, tied: bool = True) -> None:
        super().__init__()
        self.forwards = ssm(channels, state_size, tied)
        self.backwards = ssm(channels, state_size, tied)
        self.backwards.d.requires_grad_(False)  # a sample passes by the forward one

    def forward(self, u: Tensor) -> Tensor:
        """Filter u [B, T, H] to the same shape."""
        length = u.shape[1]
        past, ahead = (ssm.kernel(length).to(u.dtype) for ssm in (self.forwards, self.backwards))
        kernel = torch.cat([past, ahead.flip(-1)], dim=-1)  # of 2 T samples, circular: the last is one sample ahead
        return self.forwards.d * u + circular(u.transpose(1, 2), kernel, 2 * length).transpose(1, 2)


def legs(state_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """HiPPO-LegS as normal plus low rank, in its eigenbasis: eigenvalues, B and P, each complex128 [N / 2].

    A + P Pᵀ is −½ I plus a skew matrix, whose eigenvectors are orthogonal (Gu, Goel and Ré 2021, appendix C).
    """
    n = torch.arange(state_size, dtype=torch.float64)
    p, b = (n + 0.5).sqrt(), (2 * n + 1).sqrt()
    skew = 0.5 * b[:, None] * b
    skew = skew.triu(1) - skew.tril(-1)
    frequencies, basis = torch.linalg.eigh(-1j * skew.to(torch.complex128))
    kept = slice(None, state_size // 2)  # ascending, so the negative ones
    basis = basis[:, kept].conj().T
    return (
        torch.complex(torch.full_like(frequencies[kept], -0.5), frequencies[kept]),
        basis @ (b + 0j),
        basis @ (p + 0j),
    )


def impulse_response(system: Discrete, length: int) -> Tensor:
    """What y becomes of an impulse in u, [H, length]."""
    direct = response(system.c * system.b, system.a, length)
    if system.g is None:
        return direct
    heard = convolve(response(system.v * system.b, system.a, length), _closed(system, length))
    return direct - _delayed(convolve(response(system.c * system.g, system.a, length), heard))


def response(weights: Tensor, a: Tensor, length: int) -> Tensor:
    """2 Re Σₙ wₙ aₙˡ for l < length, [..., H, length], of weights [..., H, n] and a [H, n].

    With l = i J + j the sum is a matrix product of w a^(iJ) and a^j, so only √length powers are taken.
    """
    inner = max(1, math.isqrt(length))
    outer = -(-length // inner)
    log_a = a.log()
    coarse = weights[..., None, :] * _powers(inner * log_a, outer).mT  # [..., H, I, n]
    fine = _powers(log_a, inner)  # [H, n, J]
    # The real part of a complex product, as one real product.
    left = torch.cat([coarse.real, -coarse.imag], dim=-1)
    right = torch.cat([fine.real, fine.imag], dim=-2)
    return 2 * (left @ right).flatten(-2)[..., :length]


def final_state(a: Tensor, b: Tensor, u: Tensor, x: Tensor) -> Tensor:
    """The state [B, H, n] after real inputs u [B, H, T], from x: aᵀ x + Σₗ a^(T−1−l) b uₗ."""
    length = u.shape[-1]
    inner = max(1, math.isqrt(length))
    log_a = a.log()
    u = nn.functional.pad(u, (-length % inner, 0)).unflatten(-1, (-1, inner))  # [B, H, I, J]
    fine = _powers(log_a, inner).flip(-1).mT  # [H, J, n]
    parts = torch.complex(u @ fine.real, u @ fine.imag)
    coarse = _powers(inner * log_a, u.shape[-2]).flip(-1).mT  # [H, I, n]
    return (length * log_a).exp() * x + b * (parts * coarse).sum(-2)


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """The first T samples of x [..., T] convolved with kernel [..., T], through the Fourier transform."""
    least = 2 * x.shape[-1] - 1
    return circular(x, kernel, min(odd << max(0, ((least - 1) // odd).bit_length()) for odd in (1, 3, 5)))


def circular(x: Tensor, kernel: Tensor, size: int) -> Tensor:
    """The first T samples of x [..., T] convolved with kernel [..., K], both with zeros up to a circle of `size`."""
    return _Convolution.apply(x, kernel, size) if x.shape[-1] else x


class _Convolution(torch.autograd.Function):
    """A convolution whose gradients are correlations: half the transforms that differentiating each one would take."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, kernel: Tensor, size: int) -> Tensor:
        spectra = torch.fft.rfft(x, size), torch.fft.rfft(kernel, size)
        ctx.save_for_backward(*spectra)
        ctx.size, ctx.lengths = size, (x.shape[-1], kernel.shape[-1])
        return torch.fft.irfft(spectra[0] * spectra[1], size)[..., : x.shape[-1]]

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        (x, kernel), spectrum = ctx.saved_tensors, torch.fft.rfft(gradient, ctx.size)
        by = (spectrum * kernel.conj()).sum_to_size(x.shape), (spectrum * x.conj()).sum_to_size(kernel.shape)
        by_x, by_kernel = (torch.fft.irfft(each, ctx.size) for each in by)
        return by_x[..., : ctx.lengths[0]], by_kernel[..., : ctx.lengths[1]], None


def reciprocal(series: Tensor) -> Tensor:
    """The power series 1 / f, as long as f [..., L] with f₀ = 1, by Newton's iteration g ← g (2 − f g)."""
    inverse, length = torch.ones_like(series[..., :1]), series.shape[-1]
    while inverse.shape[-1] < length:
        size = min(2 * inverse.shape[-1], length)
        inverse = nn.functional.pad(inverse, (0, size - inverse.shape[-1]))
        inverse = 2 * inverse - convolve(convolve(series[..., :size], inverse), inverse)
    return inverse


def _closed(system: Discrete, length: int) -> Tensor:
    """What becomes of an impulse in s once it is fed back: 1 / (1 + z Σ 2 Re v aˡ g)."""
    loop = _delayed(response(system.v * system.g, system.a, length))
    return reciprocal(torch.cat([torch.ones_like(loop[..., :1]), loop[..., 1:]], dim=-1))


def _delayed(x: Tensor) -> Tensor:
    return nn.functional.pad(x, (1, 0))[..., :-1]


def _powers(log_a: Tensor, count: int) -> Tensor:
    """aᵏ for k < count, [..., n, count]."""
    return (log_a[..., None] * torch.arange(count, device=log_a.device, dtype=log_a.real.dtype)).exp()


def _pair_sum(x: Tensor) -> Tensor:
    """Σ over both of each conjugate pair, [H, 1], which is real."""
    return 2 * x.real.sum(-1, keepdim=True)


def _complex(parameter: Tensor) -> Tensor:
    return torch.view_as_complex(parameter.double())
