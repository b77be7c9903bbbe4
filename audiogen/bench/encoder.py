"""What it spares to remember keys and values: `audiogen bench encoder`.

The reference implementation of cache-aware streaming remembers what goes into attention, and projects the keys and
values of all that a frame sees anew at every step. Ours remembers them as they are. Both give the same frames.
"""

import copy
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiogen import api
from audiogen.metrics import timing
from audiogen.metrics.tables import Row, Table
from audiogen.nn.conformer import AttentionState, Conformer, Geometry, RelativeAttention

SECONDS = 4.0
PAIRS = 7
LARGE = {"dim": 512, "num_heads": 8, "ffn_multiplier": 4, "kernel_size": 9, "left_context": 70, "max_lookahead": 13}
LARGE_DEPTH, LARGE_LOOKAHEADS, STREAMS = 4, (0, 1, 6, 13), (1, 8)
FRAME_RATE = 12.5


def bench_encoder(model: str = "recognizer-en", threads: int = 1, pairs: int = PAIRS) -> Table:
    """Time of an encoder's streaming steps for each of its look-aheads, ours and the reference's way.

    Beside the model's own encoder stand some layers of the published large one, with random weights: the larger the
    layers, the more of the time is arithmetic.

    Args:
        model: Name or folder of a recogniser's bundle.
        threads: Of torch.
        pairs: Alternated measurements of each.
    """
    recognizer = api.load(model, "recognizer").model
    large = Conformer(depth=LARGE_DEPTH, dropout=0.0, **LARGE).eval()
    with timing.threads(threads), torch.inference_mode():
        rows = _rows(model, recognizer.encoder, recognizer.config.lookaheads, 1, pairs)
        for streams in STREAMS:
            rows += _rows(f"{LARGE_DEPTH} large layers, {streams} at once", large, LARGE_LOOKAHEADS, streams, pairs)
    units = {"ours": "RTF", "keys projected anew": "RTF", **dict.fromkeys(timing.ratio_columns("times ours"), "")}
    note = (
        f"{SECONDS:g} s of sound through the encoder alone, chunk by chunk of look-ahead + 1 frames, with a left "
        f"context of {recognizer.config.left_context} and {LARGE['left_context']} frames; streams at once together. "
        f"{pairs} alternated pairs."
    )
    return Table("Streaming encoders", rows, units, f"{note} {timing.machine(threads)}")


def _rows(name: str, encoder: Conformer, lookaheads: Iterable[int], streams: int, pairs: int) -> list[Row]:
    """A row for each look-ahead: ours, the reference's way, and by how much they differ."""
    other, dim, rows = _forgetful(encoder), encoder.blocks[0].norm.normalized_shape[0], []
    frames = torch.randn(streams, round(SECONDS * FRAME_RATE), dim, generator=torch.Generator().manual_seed(0))
    for lookahead in sorted(lookaheads):
        ways = [partial(_streamed, one, frames, lookahead) for one in (encoder, other)]
        compared = timing.compare(*ways, pairs)
        rows.append(
            {
                "name": f"{name}, look-ahead {lookahead}",
                "ours": compared.first / SECONDS,
                "keys projected anew": compared.second / SECONDS,
                **compared.figures("times ours"),
                "largest difference": float((ways[0]() - ways[1]()).abs().max()),
            }
        )
    return rows


class ForgetfulAttention(RelativeAttention):
    """Remembers what goes in, as `keys` [B, 1, C, D], and projects it at every step."""

    def init_state(self, batch_size: int, left_context: int) -> AttentionState:
        """Empty slots."""
        inputs = self.position_keys.new_zeros(batch_size, 1, left_context, self.num_heads * self.head_dim)
        return AttentionState(inputs, inputs[:, :, :0])

    def forward(self, x: Tensor, geometry: Geometry, state: AttentionState) -> tuple[Tensor, AttentionState]:
        """x [B, T, D] to the same shape."""
        inputs = torch.cat([state.keys[:, 0], self.norm(x)], dim=1)
        dim = inputs.shape[2]
        weight, bias = self.query_key_value.weight, self.query_key_value.bias
        query = F.linear(inputs[:, inputs.shape[1] - x.shape[1] :], weight[:dim], bias[:dim])
        key, value = F.linear(inputs, weight[dim:], bias[dim:]).chunk(2, dim=-1)
        heads = [part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in (query, key, value)]
        kept = inputs[:, None, inputs.shape[1] - state.keys.shape[2] :]
        return self.attend(*heads, geometry), AttentionState(kept, state.values)


def _forgetful(encoder: Conformer) -> Conformer:
    """The same encoder with attention as the reference has it."""
    other = copy.deepcopy(encoder)
    for block in other.blocks:
        block.attention = _like(block.attention)
    return other


def _like(attention: RelativeAttention) -> nn.Module:
    dim, table_size = attention.num_heads * attention.head_dim, attention.position_keys.shape[1]
    other = ForgetfulAttention(dim, attention.num_heads, table_size).eval()
    other.load_state_dict(attention.state_dict())
    return other


def _streamed(encoder: Conformer, frames: Tensor, lookahead: int) -> Tensor:
    """The encoder's frames, chunk by chunk."""
    state, parts = encoder.init_state(len(frames)), []
    for chunk in frames.split(lookahead + 1, dim=1):
        part, state = encoder(chunk, lookahead, state)
        parts.append(part)
    return torch.cat(parts, dim=1)
