"""Mamba's scan as one compiled loop beside the same in PyTorch operations: `audiogen bench mamba`."""

from collections.abc import Callable

import torch
from torch import Tensor

from audiogen.extras import require
from audiogen.metrics import timing
from audiogen.metrics.tables import Row, Table
from audiogen.nn import mamba

BATCH, CHANNELS, STATES = 4, 64, 16  # of the outer tier of a small SaShiMi
SECONDS, RATE = 0.5, 8_000
PAIRS = 5


def bench_mamba(threads: int = 1, seconds: float = SECONDS, pairs: int = PAIRS) -> Table:
    """Samples a second through one scan, of whole sequences: as in listening, and as in training with all gradients.

    Args:
        threads: Of torch; the compiled loop always takes one.
        seconds: Length of the sequences, at 8 kHz.
        pairs: Alternated measurements of each.
    """
    require("numba", "fast")
    from audiogen.nn.selective_scan import selective_scan as compiled

    inputs = _inputs(round(seconds * RATE))

    def heard(scan: Callable[..., tuple[Tensor, Tensor]]) -> Callable[[], object]:
        return torch.no_grad()(lambda: scan(*inputs))

    def trained(scan: Callable[..., tuple[Tensor, Tensor]]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(scan(*inputs)[0].sum(), inputs[:-1])

    def row(name: str, kind: Callable[..., Callable[[], object]]) -> Row:
        compared, samples = timing.compare(kind(compiled), kind(mamba.selective_scan), pairs), BATCH * seconds * RATE
        rates = {"compiled": samples / compared.first, "plain": samples / compared.second}
        return {"name": name, **rates, **compared.figures("times as fast")}

    with timing.threads(threads):
        rows = [row("whole sequences", heard), row("with gradients", trained)]
    units = {"compiled": "samples/s", "plain": "samples/s", **dict.fromkeys(timing.ratio_columns("times as fast"), "")}
    note = f"{BATCH} sequences of {seconds:g} s, {CHANNELS} channels, {STATES} states each. {pairs} alternated pairs."
    return Table("Mamba's scan", rows, units, f"{note} {timing.machine(threads)}")


def _inputs(length: int) -> list[Tensor]:
    """Random x, Δ, A, B, C and first state; see `audiogen.nn.mamba.selective_scan`."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    x, b, c = (normal(BATCH, length, size) for size in (CHANNELS, STATES, STATES))
    dt, a = 0.02 * normal(BATCH, length, CHANNELS).exp(), -normal(CHANNELS, STATES).exp()
    return [each.requires_grad_() for each in (x, dt, a, b, c, torch.zeros(BATCH, CHANNELS, STATES))]
