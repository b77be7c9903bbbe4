"""How fast a codec language model takes a step: `audiogen bench lm`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.bench.growing import GrowingLM, Past
from audiogen.bench.limits import SIDE, best_seconds, matrix_speed, read_speed
from audiogen.errors import AudiogenError
from audiogen.metrics import timing
from audiogen.metrics.tables import Row, Table
from audiogen.nn.int8 import to_int8
from audiogen.nn.stepper import Stepper, stepper
from audiogen.nn.transformer import Transformer, TransformerConfig, TransformerState

CODEBOOKS, CODES, HEAD_WIDTH = 4, 1024, 64
BATCHES = (1, 16)
STEPS = 8  # timed together
TOLERANCE = 1e-4


class CodecLM(nn.Module):
    """All codebooks' codes in, their logits out, on the transformer and with the steps of our voices."""

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.table = nn.Embedding(CODEBOOKS * CODES, dim)  # of all codebooks, one after the other
        config = TransformerConfig(dim, max(1, dim // HEAD_WIDTH), layers, 4 * dim, axes=1)
        self.transformer = Transformer(config)
        self.head = nn.Linear(dim, CODEBOOKS * CODES)

    def embed(self, codes: Tensor) -> Tensor:
        """Codes [B, K, …] to the sums of their vectors [B, …, D]."""
        first = CODES * torch.arange(CODEBOOKS).view(-1, *[1] * (codes.dim() - 2))
        return self.table(codes + first).sum(1)

    def whole(self, codes: Tensor) -> Tensor:
        """Logits [B, T, K · V] after each of the codes [B, K, T], without a cache."""
        time = torch.arange(codes.shape[2])
        causal = (time <= time[:, None]).expand(len(codes), -1, -1)
        hidden, _ = self.transformer(self.embed(codes), time[None, :, None].expand(len(codes), -1, 1), causal)
        return self.head(hidden)

    def steps(self, codes: Tensor, state: TransformerState, kind: Callable[..., Stepper] = stepper) -> Tensor:
        """The same logits, code by code, going on from `state`, whose rows are equally long."""
        run, start = kind(self.transformer, state), int(state.length[0])
        place = torch.empty(len(codes), 1, dtype=torch.long)
        logits = []
        for time, token in enumerate(codes.unbind(2), start):
            logits.append(self.head(run(self.embed(token), place.fill_(time))))
        return torch.stack(logits, 1)


@dataclass(frozen=True)
class _Limits:
    """The most the machine could do: the arithmetic, or reading weights and cache, whichever takes longer."""

    model: CodecLM
    past: int
    flops: float  # a second
    weights: int

    def step_seconds(self, batch: int, weight_bytes: int, bandwidth: float) -> float:
        """Of a step of all rows."""
        config = self.model.transformer.config
        cached = config.layers * 2 * self.past * config.dim * batch
        arithmetic = 2 * batch * self.weights + 2 * cached
        return max(arithmetic / self.flops, (weight_bytes * self.weights + 4 * cached) / bandwidth)


@torch.inference_mode()
def bench_lm(threads: int = 1, dim: int = 512, layers: int = 8, past: int = 125) -> Table:
    """Steps a second of a model of random weights, full and of 8 bits, alone and for many sessions.

    That steps give the logits of the whole, uncached, is checked first.

    Args:
        threads: Of torch, among which the fused step shares out many rows.
        dim: Width.
        layers: Blocks.
        past: Tokens in the cache; by default half of five seconds at 50 frames a second.

    Raises:
        AudiogenError: If the logits are not equal.
    """
    torch.manual_seed(0)
    model = CodecLM(dim, layers).eval()
    reference = GrowingLM(dim, max(1, dim // HEAD_WIDTH), layers, CODEBOOKS, CODES).eval()
    count = sum(each.weight.numel() for each in model.modules() if isinstance(each, nn.Linear))
    with timing.threads(threads):
        difference = _largest_difference(model)
        limits = _Limits(model, past, matrix_speed(), count)
        rows = _rows(model, reference, limits, "float32", 4)
        to_int8(model)
        rows += _rows(model, reference, limits, "8-bit weights", 1)
    note = (
        f"{dim} x {layers} layers, {count / 1e6:.1f} M weights a step, {CODEBOOKS} codebooks of {CODES:,} codes, {past}"
        f" tokens in the cache; best of {STEPS} steps, in turn with the reference, which is the public code's way in"
        f" float32. Limit: {limits.flops / 1e9:.0f} GFLOP/s in a product of {SIDE} x {SIDE} matrices, or reading"
        f" weights and cache as fast as so many numbers are. Logits differ from the uncached whole's by at most"
        f" {difference:.0e}."
    )
    rate = "tokens/s"
    units = {"ours": rate, "in PyTorch": rate, "reference": rate, "times the reference": "", "times alone": ""}
    return Table(
        "Codec language model",
        rows,
        {**units, "limit": rate, "share of the limit": "%"},
        f"{note} {timing.machine(threads)}",
    )


def _largest_difference(model: CodecLM) -> float:
    """Between logits of steps and of the whole."""
    codes = torch.randint(CODES, (2, CODEBOOKS, STEPS))
    stepped = model.steps(codes, model.transformer.init_state(2, STEPS))
    difference = float((stepped - model.whole(codes)).abs().max())
    if difference > TOLERANCE:
        raise AudiogenError(f"logits of steps differ from those of the whole by {difference:.1e}")
    return difference


def _rows(model: CodecLM, reference: GrowingLM, limits: _Limits, name: str, weight_bytes: int) -> list[Row]:
    """The rows of one precision, which is that of the model."""
    bandwidth, rows = read_speed(weight_bytes * limits.weights), []
    for batch in BATCHES:
        codes = torch.randint(CODES, (batch, CODEBOOKS, STEPS))
        state = model.transformer.init_state(batch, limits.past + STEPS)
        for buffer in (*state.keys, *state.values):
            buffer.normal_()
        state.length += limits.past
        before = reference.begin(batch, limits.past)

        def grow(codes: Tensor = codes, past: Past = before) -> None:
            for token in codes.split(1, 2):
                _, past = reference(token, past)

        ways = (
            lambda codes=codes, state=state: model.steps(codes, state),
            lambda codes=codes, state=state: model.steps(codes, state, Stepper),
            grow,
        )
        ours, plain, grown = (batch * STEPS / seconds for seconds in best_seconds(*ways))
        limit = batch / limits.step_seconds(batch, weight_bytes, bandwidth)
        rows.append(
            {
                "name": f"{name}, batch {batch}",
                "ours": ours,
                "in PyTorch": plain,
                "reference": grown,
                "times the reference": ours / grown,
                "times alone": ours / rows[0]["ours"] if rows else None,
                "limit": limit,
                "share of the limit": 100 * ours / limit,
            }
        )
    return rows
