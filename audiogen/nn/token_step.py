"""The loops of a transformer's step by one token a row, for `audiogen.nn.fused_stepper`.

Weights, norms and caches are given by their addresses, so that nothing is copied that a step only reads. A linear layer
lies in panels of 16 outputs, and its sums stay in registers: a row alone takes as long as its weights take to arrive,
and rows together share them, four at a time. Weights of 8 bits arrive in a quarter of the time and are widened there.

Numba caches what it compiled by this file's date: after a change of `nn/lanes.py`, touch this file.
"""

import numpy as np
from numba import njit

from audiogen.nn.lanes import (
    WIDTH,
    exp,
    fma,
    load,
    load_bytes,
    prefetch,
    sigmoid,
    splat,
    spread,
    store,
    total,
)

PANEL = 2 * WIDTH  # outputs of a linear layer that are summed up at once
TOGETHER = 4  # rows that share weights as they arrive
AHEAD = 8192  # how many weights of 8 bits earlier than a row alone reads them they are asked for
EPSILON = np.float32(1e-5)  # of norms

# Columns of the table of blocks, all addresses; a linear layer has three: panels, scales of the outputs, and biases.
NORM, NORM_BIAS, INPUTS, OUT, NEXT_NORM, NEXT_BIAS, EXPAND, REDUCE, KEYS, VALUES = 0, 1, 2, 5, 8, 9, 10, 13, 16, 17


@njit(cache=True, nogil=True)
def step(blocks, norm, small, shape, rows, lengths, positions, frequencies, x):
    """The next token of some rows, in place, through all blocks and the last norm.

    Args:
        blocks: Addresses [layers, 18] of each block.
        norm: Those of the last norm's gain and offset.
        small: Whether weights have 8 bits.
        shape: Heads, width of the feed-forward, and capacity of the caches.
        rows: The rows [R] that take a token.
        lengths: Tokens in the cache of every row [B].
        positions: Those of the tokens [B, axes].
        frequencies: Of an axis.
        x: The tokens [B, D].
    """
    heads, feedforward, _ = shape
    dim, count = x.shape[1], len(rows)
    tokens, normed = np.empty(count * dim, np.float32), np.empty(count * dim, np.float32)
    inputs, hidden = np.empty(3 * count * dim, np.float32), np.empty(count * feedforward, np.float32)
    scores = np.empty(shape[2], np.float32)
    for i in range(count):
        tokens[i * dim : (i + 1) * dim] = x[rows[i]]
    turns = _turns(positions, rows, frequencies)
    for block in blocks:
        _normalize(tokens, dim, block[NORM], block[NORM_BIAS], normed)
        _linear(small, block[INPUTS:], normed, dim, inputs, 3 * dim, count, False)
        for i in range(count):
            place = rows[i] * heads * shape[2] * (dim // heads)
            _attend(block, place, shape, lengths[rows[i]], inputs[i * 3 * dim :], turns[i], normed[i * dim :], scores)
        _linear(small, block[OUT:], normed, dim, tokens, dim, count, True)
        _normalize(tokens, dim, block[NEXT_NORM], block[NEXT_BIAS], normed)
        _linear(small, block[EXPAND:], normed, dim, hidden, feedforward, count, False)
        for i in range(0, len(hidden), WIDTH):
            store(hidden, i, _gelu(load(hidden, i)))
        _linear(small, block[REDUCE:], hidden, feedforward, tokens, dim, count, True)
    _normalize(tokens, dim, norm[0], norm[1], normed)
    for i in range(count):
        x[rows[i]] = normed[i * dim : (i + 1) * dim]


@njit
def _turns(positions, rows, frequencies):
    """Cosines and sines [R, 2, axes · frequencies] of the angles by which queries and keys are turned."""
    axes, each = positions.shape[1], len(frequencies)
    turns = np.empty((len(rows), 2, axes * each), np.float32)
    for i, row in enumerate(rows):
        for axis in range(axes):
            for j in range(each):
                angle = np.float32(positions[row, axis]) * frequencies[j]
                turns[i, 0, axis * each + j], turns[i, 1, axis * each + j] = np.cos(angle), np.sin(angle)
    return turns


@njit
def _normalize(x, dim, gain, offset, out):
    """Layer norm of each `dim` of x."""
    share = np.float32(1 / dim)
    for start in range(0, len(x), dim):
        even, odd = splat(0.0), splat(0.0)
        for i in range(start, start + dim, PANEL):
            even, odd = even + load(x, i), odd + load(x, i + WIDTH)
        mean = splat(total(even + odd) * share)
        even = odd = splat(0.0)
        for i in range(start, start + dim, PANEL):
            left, right = load(x, i) - mean, load(x, i + WIDTH) - mean
            even, odd = fma(left, left, even), fma(right, right, odd)
        scale = splat(np.float32(1) / np.sqrt(total(even + odd) * share + EPSILON))
        for i in range(0, dim, WIDTH):
            store(out, start + i, fma((load(x, start + i) - mean) * scale, load(gain, i), load(offset, i)))


@njit
def _gelu(x):
    """The approximation by a hyperbolic tangent, which is x σ(2 …)."""
    inner = fma(x * x * x, splat(2 * 0.7978845608 * 0.044715), splat(2 * 0.7978845608) * x)
    return x * sigmoid(inner)


@njit
def _attend(block, place, shape, length, inputs, turns, out, scores):
    """Store a token's keys and values in the caches, of which its row begins at `place`, and attend to all there."""
    heads, _, capacity = shape
    half, end = turns.shape[1], length + 1
    width, keys, values = 2 * half, block[KEYS], block[VALUES]
    scale = np.float32(1 / np.sqrt(width))
    for head in range(heads):
        query, first = head * width, place + head * capacity * width
        key, slot = query + heads * width, first + length * width
        for i in range(0, half, WIDTH):
            cos, sin = load(turns[0], i), load(turns[1], i)
            for start in (query, key):
                low, high = load(inputs, start + i), load(inputs, start + half + i)
                store(inputs, start + i, low * cos - high * sin)
                store(inputs, start + half + i, low * sin + high * cos)
        for i in range(0, width, WIDTH):
            store(keys, slot + i, load(inputs, key + i))
            store(values, slot + i, load(inputs, key + heads * width + i))
        top = _score(keys, first, inputs, query, width, end, scale, scores)
        norm = np.float32(0)
        for i in range(0, end - end % WIDTH, WIDTH):
            chances = exp(load(scores, i) - splat(top))
            store(scores, i, chances)
            norm += total(chances)
        for i in range(end - end % WIDTH, end):
            scores[i] = np.exp(scores[i] - top)
            norm += scores[i]
        _gather(values, first, scores, end, width, np.float32(1) / norm, out, query)


@njit
def _score(keys, first, inputs, query, width, end, scale, scores):
    """Scores of all slots for a query; returns the largest."""
    top = np.float32(-np.inf)
    slot = 0
    while slot + 4 <= end:
        a = b = c = d = splat(0.0)
        at = first + slot * width
        for i in range(0, width, WIDTH):
            value = load(inputs, query + i)
            a, b = fma(value, load(keys, at + i), a), fma(value, load(keys, at + width + i), b)
            c, d = fma(value, load(keys, at + 2 * width + i), c), fma(value, load(keys, at + 3 * width + i), d)
        scores[slot], scores[slot + 1] = total(a) * scale, total(b) * scale
        scores[slot + 2], scores[slot + 3] = total(c) * scale, total(d) * scale
        top = max(top, scores[slot], scores[slot + 1], scores[slot + 2], scores[slot + 3])
        slot += 4
    while slot < end:
        a = splat(0.0)
        for i in range(0, width, WIDTH):
            a = fma(load(inputs, query + i), load(keys, first + slot * width + i), a)
        scores[slot] = total(a) * scale
        top = max(top, scores[slot])
        slot += 1
    return top


@njit
def _gather(values, first, chances, end, width, share, out, to):
    """Values of all slots by their chances, times `share`."""
    for i in range(0, width, PANEL):
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = splat(0.0)
        at, slot = first + i, 0
        while slot + 4 <= end:
            c = spread(chances, slot)
            a0, b0 = fma(c, load(values, at), a0), fma(c, load(values, at + WIDTH), b0)
            c, at = spread(chances, slot + 1), at + width
            a1, b1 = fma(c, load(values, at), a1), fma(c, load(values, at + WIDTH), b1)
            c, at = spread(chances, slot + 2), at + width
            a2, b2 = fma(c, load(values, at), a2), fma(c, load(values, at + WIDTH), b2)
            c, at = spread(chances, slot + 3), at + width
            a3, b3 = fma(c, load(values, at), a3), fma(c, load(values, at + WIDTH), b3)
            slot, at = slot + 4, at + width
        while slot < end:
            c = spread(chances, slot)
            a0, b0 = fma(c, load(values, at), a0), fma(c, load(values, at + WIDTH), b0)
            slot, at = slot + 1, at + width
        store(out, to + i, ((a0 + a1) + (a2 + a3)) * splat(share))
        store(out, to + i + WIDTH, ((b0 + b1) + (b2 + b3)) * splat(share))


@njit
def _linear(small, layer, x, inputs, out, outputs, rows, added):
    """A linear layer of which panels, scales and biases lie at `layer`, in place of what is in `out` or added to it."""
    if small:
        _linear_small(layer, x, inputs, out, outputs, rows, added)
    else:
        _linear_full(layer, x, inputs, out, outputs, rows, added)


def _linear_of(read, packed):
    """A linear layer whose weights are eight that `read` finds at an address and an index, `packed` in a float32."""

    @njit
    def linear(layer, x, inputs, out, outputs, rows, added):
        weights, scales, biases = layer[0], layer[1], layer[2]
        for to in range(0, outputs, PANEL):
            start, row = to * inputs, 0
            share = TOGETHER * PANEL // rows  # of the next panel's weights, by turns asked for by the rows
            while row + 4 <= rows:
                a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = splat(0.0)
                from0 = row * inputs
                from1, from2, from3 = from0 + inputs, from0 + 2 * inputs, from0 + 3 * inputs
                coming = start + inputs * PANEL + row * inputs * PANEL // rows
                for i in range(inputs):
                    at = start + i * PANEL
                    prefetch(weights, (coming + i * share) // packed)
                    left, right = read(weights, at), read(weights, at + WIDTH)
                    value = spread(x, from0 + i)
                    a0, b0 = fma(left, value, a0), fma(right, value, b0)
                    value = spread(x, from1 + i)
                    a1, b1 = fma(left, value, a1), fma(right, value, b1)
                    value = spread(x, from2 + i)
                    a2, b2 = fma(left, value, a2), fma(right, value, b2)
                    value = spread(x, from3 + i)
                    a3, b3 = fma(left, value, a3), fma(right, value, b3)
                place = row * outputs + to
                _put(out, place, a0, b0, scales, biases, to, added)
                _put(out, place + outputs, a1, b1, scales, biases, to, added)
                _put(out, place + 2 * outputs, a2, b2, scales, biases, to, added)
                _put(out, place + 3 * outputs, a3, b3, scales, biases, to, added)
                row += 4
            while row < rows:
                # Alone, a row is summed up in four parts, as each sum has to wait for the one before.
                a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = splat(0.0)
                source = row * inputs
                for i in range(0, inputs, 4):
                    at = start + i * PANEL
                    if packed > 1:  # else memory is too slow for it to help
                        prefetch(weights, (at + AHEAD) // packed)
                    value = spread(x, source + i)
                    a0, b0 = fma(read(weights, at), value, a0), fma(read(weights, at + WIDTH), value, b0)
                    value, at = spread(x, source + i + 1), at + PANEL
                    a1, b1 = fma(read(weights, at), value, a1), fma(read(weights, at + WIDTH), value, b1)
                    value, at = spread(x, source + i + 2), at + PANEL
                    a2, b2 = fma(read(weights, at), value, a2), fma(read(weights, at + WIDTH), value, b2)
                    value, at = spread(x, source + i + 3), at + PANEL
                    a3, b3 = fma(read(weights, at), value, a3), fma(read(weights, at + WIDTH), value, b3)
                left, right = (a0 + a1) + (a2 + a3), (b0 + b1) + (b2 + b3)
                _put(out, row * outputs + to, left, right, scales, biases, to, added)
                row += 1

    return linear


_linear_full, _linear_small = _linear_of(load, 1), _linear_of(load_bytes, 4)


@njit
def _put(out, place, left, right, scales, biases, to, added):
    """Scale and write the sums of a panel."""
    left = fma(left, load(scales, to), load(biases, to))
    right = fma(right, load(scales, to + WIDTH), load(biases, to + WIDTH))
    if added:
        left, right = left + load(out, place), right + load(out, place + WIDTH)
    store(out, place, left)
    store(out, place + WIDTH, right)
