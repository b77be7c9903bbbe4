"""Mamba: a state space whose step and projections depend on the input (Gu and Dao 2023, §3).

Per channel h ← exp(Δ A) h + Δ B x and y = C h + D x, where Δ, B and C are linear in x: the recurrence cannot be a
convolution, so it is run as it stands, forwards and for the gradients backwards. On a processor with numba that is one
compiled loop (`audiogen.nn.selective_scan`), elsewhere one vector operation a frame.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.nn.conv import CausalConv1d, ConvState
from audiogen.nn.state import State

EXPANSION = 2
KERNEL = 4
DT_RANGE = (1e-3, 1e-1)
DT_LEAST = 1e-4


@dataclass
class MambaState(State):
    """The past of the convolution and the states h [B, E, N]."""

    conv: ConvState
    h: Tensor


class Mamba(nn.Module):
    """The selective state space between its gates; parameters are named as in the reference implementation."""

    dynamics = ("A_log",)

    def __init__(self, dim: int, state_size: int = 16) -> None:
        """Start as the paper does (§3.6 and appendix E.1).

        Args:
            dim: Width outside; inside it is twice that, E.
            state_size: States a channel, N.
        """
        super().__init__()
        inner, self.rank, self.state_size = EXPANSION * dim, -(-dim // 16), state_size
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.conv1d = CausalConv1d(inner, inner, KERNEL, groups=inner)
        self.x_proj = nn.Linear(inner, self.rank + 2 * state_size, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.A_log = nn.Parameter(torch.arange(1, state_size + 1).float().log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, dim, bias=False)
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
        low, high = map(math.log, DT_RANGE)
        dt = (low + (high - low) * torch.rand(inner)).exp().clamp(min=DT_LEAST)
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt.expm1().log())  # the inverse of softplus

    def init_state(self, batch_size: int) -> MambaState:
        """Rest."""
        return MambaState(self.conv1d.init_state(batch_size), self.D.new_zeros(batch_size, *self.A_log.shape))

    def forward(self, x: Tensor, state: MambaState | None = None) -> tuple[Tensor, MambaState | None]:
        """x [B, T, D] to the same shape, with the state after it in a stream."""
        if x.shape[1] == 0:
            return x, state
        before = state or self.init_state(len(x))
        inside, gate = self.in_proj(x).chunk(2, dim=-1)
        inside, conv = self.conv1d(inside.transpose(1, 2), before.conv)
        inside = F.silu(inside.transpose(1, 2))
        dt, b, c = self.x_proj(inside).split([self.rank, self.state_size, self.state_size], dim=-1)
        run = _compiled() if _is_for_compiled(inside, self.state_size) else selective_scan
        y, h = run(inside, F.softplus(self.dt_proj(dt)), -self.A_log.exp(), b, c, before.h)
        return self.out_proj((y + self.D * inside) * F.silu(gate)), MambaState(conv, h) if state else None


def selective_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Run the state space on any device and in any precision.

    Args:
        x: Input [B, T, E].
        dt: Steps Δ [B, T, E].
        a: A [E, N].
        b: B [B, T, N].
        c: C [B, T, N].
        start: The state before [B, E, N].

    Returns:
        y [B, T, E] without D x, and the last state [B, E, N].
    """
    x, dt, b = (each.transpose(0, 1) for each in (x, dt, b))  # time first, as the scan runs along it
    h = scan((dt[..., None] * a).exp(), (dt * x)[..., None] * b[:, :, None], start)
    return torch.einsum("tben,btn->bte", h, c), h[-1]


def _is_for_compiled(x: Tensor, states: int) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu" and states % 8 == 0 and _compiled() is not None


@cache
def _compiled() -> Callable[..., tuple[Tensor, Tensor]] | None:
    """The same as one compiled loop, where there is numba."""
    try:
        from audiogen.nn.selective_scan import selective_scan as compiled
    except ModuleNotFoundError:
        return None
    return compiled


def scan(decay: Tensor, drive: Tensor, start: Tensor) -> Tensor:
    """All states hₜ = decayₜ hₜ₋₁ + driveₜ, [T, …], from decay and drive [T, …] and h₋₁ `start` […]."""
    return _Scan.apply(decay, drive, start)


class _Scan(torch.autograd.Function):
    """The gradient of a scan is a scan backwards, so that autograd need not remember a graph of T operations."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, drive: Tensor, start: Tensor) -> Tensor:
        states = torch.empty_like(drive)
        before = start
        for a, b, h in zip(decay.unbind(), drive.unbind(), states.unbind(), strict=True):
            before = torch.addcmul(b, a, before, out=h)
        ctx.save_for_backward(decay, states, start)
        return states

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        decay, states, start = ctx.saved_tensors
        drives, passed = torch.empty_like(gradient), torch.zeros_like(start)  # passed: from hₜ₊₁ to hₜ
        rows = zip(decay.unbind(), gradient.unbind(), drives.unbind(), strict=True)
        for a, g, d in reversed(list(rows)):
            torch.add(g, passed, out=d)
            passed = a * d
        return drives * torch.cat([start[None], states])[: len(states)], drives, passed
