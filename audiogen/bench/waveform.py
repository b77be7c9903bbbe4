"""How fast waveforms are made, sample by sample: `audiogen bench sashimi`."""

import math
from typing import Any

import torch

from audiogen.bench import limits
from audiogen.extras import require
from audiogen.infer.waveform import PlainStepper, stepper
from audiogen.metrics import timing
from audiogen.metrics.tables import Table
from audiogen.models.sashimi import Sashimi, SashimiConfig
from audiogen.protocols import CodecSpec

MODELS = {"S4": {}, "S4D": {"ssm": "s4d"}, "S4, GLU": {"glu": True}}
PRECISIONS = {"": False, ", bf16 weights": True}
BATCHES = (1, 16)


def bench_sashimi(threads: int = 1, dim: int = 64) -> Table:
    """Samples a second of SaShiMi at the paper's size: fused in either precision, plain, and at most.

    The most a core could do is set by the arithmetic, at the speed of a matrix product, or by reading the weights and
    states, at the speed at which the core reads as many bytes, whichever takes longer.

    Args:
        threads: Of torch; the fused step always takes one.
        dim: Width of the outer tier, 64 in the paper.
    """
    require("numba", "fast")
    spec, rows = CodecSpec("pcm", 16_000, 1, num_codebooks=1, codebook_size=256), []
    with timing.threads(threads), torch.inference_mode():
        speed = limits.matrix_speed()
        for name, options in MODELS.items():
            config = SashimiConfig(spec, dim=dim, **options)
            model = Sashimi(config).eval()
            bandwidth = limits.read_speed(sum(4 * parameter.numel() for parameter in model.parameters()))
            for batch in BATCHES:
                plain = _samples_per_second(PlainStepper(model), batch, config)
                for precision, half in PRECISIONS.items():
                    flops, traffic = _sashimi_work(config, batch, half)
                    limit = 1 / max(flops / speed, traffic / bandwidth)
                    fused = _samples_per_second(stepper(model, half), batch, config)
                    rows.append(
                        {
                            "name": f"{name}, batch {batch}{precision}",
                            "fused": fused,
                            "plain": plain,
                            "arithmetic": flops / 1e6,
                            "traffic": traffic / 1e6,
                            "limit": limit,
                            "share of the limit": 100 * fused / limit,
                        }
                    )
    rate = "samples/s"
    units = {"fused": rate, "plain": rate, "arithmetic": "MFLOP", "traffic": "MB", "limit": rate}
    note = (
        f"Best of pieces of one period of the pools, {limits.SECONDS:g} s each. Limit: {speed / 1e9:.0f} GFLOP/s in a"
        f" product of {limits.SIDE} × {limits.SIDE} matrices, or {bandwidth / 1e9:.0f} GB/s in reading as much as the"
        " weights."
    )
    return Table("SaShiMi", rows, {**units, "share of the limit": "%"}, f"{note} {timing.machine(threads)}")


def _samples_per_second(steps: Any, batch: int, config: SashimiConfig) -> float:
    """Of all streams together, over a period of the pools, without what other work on the machine takes."""
    period = math.prod(config.pools)
    last, uniforms, state = torch.full((batch,), config.start), torch.rand(batch, period), steps.init_state(batch)
    steps.draw(last, uniforms, state)
    return batch * period / limits.best_seconds(lambda: steps.draw(last, uniforms, state))[0]


def _sashimi_work(config: SashimiConfig, batch: int, half: bool) -> tuple[float, float]:
    """Floating-point operations, and bytes of weights and states that pass, a sample of one of `batch` streams."""
    from audiogen.kernels.sashimi_step import BLOCK, S4_NUMBERS, S4D_NUMBERS

    pairs, s4, size = config.state_size // 2, config.ssm == "s4", 2 if half else 4
    flops, traffic, rate = 2.0 * config.dim * config.codec.codebook_size, 0.0, 1
    weights = size * config.dim * config.codec.codebook_size
    for tier, dim in enumerate(config.dims):
        matrices = dim * dim * (1 + config.glu + 2 * config.feedforward)
        between = 2 * dim * config.expand * dim * config.pools[tier] if tier < len(config.pools) else 0
        layers = config.layers * (2 if config.unet and between else 1)
        # By `kernels.sashimi_step`: a state is turned and heard in blocks of steps, then read and written.
        flops += layers * (2 * matrices + (76 if s4 else 38) / BLOCK * pairs * dim) / rate
        weights += layers * (size * matrices + 4 * (S4_NUMBERS if s4 else S4D_NUMBERS) / BLOCK * pairs * dim) / rate
        traffic += 4 * layers * 2 * 2 * pairs / BLOCK * dim / rate
        if between:
            rate *= config.pools[tier]
            flops += 2 * between / rate
            weights += size * between / rate
    return flops, traffic + weights / batch
