"""Mamba's scan, fused: states never leave the cache, and nothing of the size of all states in time is written.

Where PyTorch needs the decays, drives and states [T, B, E, N] of a whole sequence in memory, several times over, here
every state is kept only every `EVERY` frames, and for gradients computed anew in between. Lanes run over the N states
of a channel. The mathematics is that of `audiogen.nn.mamba`: h ← exp(Δ A) h + Δ x B, y = C · h.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from audiogen.nn.lanes import WIDTH, exp, fma, load, splat, store, total

EVERY = 32  # frames between two states that are kept


def selective_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """As `audiogen.nn.mamba.selective_scan`, of float32 on the CPU and N a multiple of 8."""
    return _SelectiveScan.apply(x, dt, a, b, c, start)


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, start: Tensor) -> tuple[Tensor, ...]:
        x, dt, a, b, c = (each.detach().contiguous() for each in (x, dt, a, b, c))
        (batch, length, channels), states = x.shape, a.shape[1]
        y, last = torch.empty_like(x), start.detach().clone(memory_format=torch.contiguous_format)
        kept = x.new_empty(batch, -(-length // EVERY), channels, states)
        sizes = (batch, length, channels, states)
        _forward(*(each.numpy().ravel() for each in (x, dt, a, b, c, last, y, kept)), sizes)
        ctx.save_for_backward(x, dt, a, b, c, kept)
        return y, last

    @staticmethod
    def backward(ctx: Any, by_y: Tensor, by_last: Tensor) -> tuple[Tensor, ...]:
        inputs = ctx.saved_tensors
        x, dt, a, b, c, _ = inputs
        by = [torch.zeros_like(each) for each in (x, dt, a, b, c)]
        passed = by_last.clone(memory_format=torch.contiguous_format)
        arrays = (*inputs, by_y.contiguous(), *by, passed)
        _backward(*(each.numpy().ravel() for each in arrays), (*x.shape, a.shape[1]))
        return *by, passed


@njit(cache=True, nogil=True)
def _forward(x, dt, a, b, c, state, y, kept, sizes):
    """Write y [B, T, E], the state before every `EVERY`th frame to `kept`, and leave the last in `state` [B, E, N]."""
    batch, length, channels, states = sizes
    wide, chunks = channels * states, -(-length // EVERY)
    for row in range(batch):
        h0 = row * wide
        for t in range(length):
            frame = row * length + t
            if t % EVERY == 0:
                _copy(state, h0, kept, (row * chunks + t // EVERY) * wide, wide)
            for e in range(channels):
                step = dt[frame * channels + e]
                delta, drive, summed = splat(step), splat(step * x[frame * channels + e]), splat(0.0)
                for n in range(0, states, WIDTH):
                    place = h0 + e * states + n
                    decay = exp(delta * load(a, e * states + n))
                    h = fma(decay, load(state, place), drive * load(b, frame * states + n))
                    store(state, place, h)
                    summed = fma(h, load(c, frame * states + n), summed)
                y[frame * channels + e] = total(summed)


@njit(cache=True, nogil=True)
def _backward(x, dt, a, b, c, kept, by_y, by_x, by_dt, by_a, by_b, by_c, passed, sizes):
    """Add up the gradients; `passed` [B, E, N] is that of the last state, and becomes that of the first."""
    batch, length, channels, states = sizes
    wide, chunks = channels * states, -(-length // EVERY)
    before, decays = np.empty((EVERY + 1) * wide, np.float32), np.empty(EVERY * wide, np.float32)
    for row in range(batch):
        for chunk in range(chunks - 1, -1, -1):
            first = chunk * EVERY
            count = min(EVERY, length - first)
            _copy(kept, (row * chunks + chunk) * wide, before, 0, wide)
            for t in range(count):
                frame = row * length + first + t
                for e in range(channels):
                    step = dt[frame * channels + e]
                    delta, drive = splat(step), splat(step * x[frame * channels + e])
                    for n in range(0, states, WIDTH):
                        place = t * wide + e * states + n
                        decay = exp(delta * load(a, e * states + n))
                        store(decays, place, decay)
                        driven = drive * load(b, frame * states + n)
                        store(before, place + wide, fma(decay, load(before, place), driven))
            for t in range(count - 1, -1, -1):
                _back(x, dt, a, b, c, by_y, by_x, by_dt, by_a, by_b, by_c, passed, before, decays, t, sizes, row, first)


@njit
def _back(x, dt, a, b, c, by_y, by_x, by_dt, by_a, by_b, by_c, passed, before, decays, t, sizes, row, first):
    """One frame of `_backward`, the t-th after `first`."""
    _, length, channels, states = sizes
    wide, frame = channels * states, row * length + first + t
    for e in range(channels):
        step, value, above = dt[frame * channels + e], x[frame * channels + e], splat(by_y[frame * channels + e])
        delta, drive, by_drive, by_step = splat(step), splat(step * value), splat(0.0), splat(0.0)
        for n in range(0, states, WIDTH):
            own, at, place = e * states + n, frame * states + n, t * wide + e * states + n
            rate, decay = load(a, own), load(decays, place)
            gradient = fma(above, load(c, at), load(passed, row * wide + own))
            store(by_c, at, fma(above, load(before, place + wide), load(by_c, at)))
            store(by_b, at, fma(gradient, drive, load(by_b, at)))
            by_drive = fma(gradient, load(b, at), by_drive)
            by_exponent = gradient * load(before, place) * decay
            by_step = fma(by_exponent, rate, by_step)
            store(by_a, own, fma(by_exponent, delta, load(by_a, own)))
            store(passed, row * wide + own, gradient * decay)
        driven = total(by_drive)
        by_x[frame * channels + e] = driven * step
        by_dt[frame * channels + e] = total(by_step) + driven * value


@njit
def _copy(x, x0, y, y0, count):
    for i in range(0, count, WIDTH):
        store(y, y0 + i, load(x, x0 + i))
