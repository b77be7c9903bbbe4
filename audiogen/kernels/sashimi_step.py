"""The loops of SaShiMi's fused step: a sample through all tiers that are due, and the draw of its code.

Arrays are flat; `w` is where the weights at hand begin, and functions that read weights return where they end. Rows are
sessions: activations lie one after the other, memories `stride` apart. What is packed where, says `sashimi.py`.

Numba caches what it compiled by this file's date: after a change of `nn/lanes.py`, touch this file.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from audiogen.nn.lanes import (
    WIDTH,
    at_least,
    exp,
    fma,
    gelu,
    high_half,
    largest,
    load,
    low_half,
    maximum,
    negative,
    prefetch,
    sigmoid,
    splat,
    spread,
    store,
    total,
)

PANEL = 2 * WIDTH  # outputs of a linear layer that are summed up at once
EPSILON = 1e-5  # of the last norm
LINE = 16  # float32 in a line of the cache
HALVINGS = 30  # of the threshold for top-p: to 1e-9 of the largest chance

# Columns of the table of tiers; its last row is the centre, of which only the width and the blocks count.
POOL, DIM, DOWN, UP, PENDING, AHEAD, DOWN_BLOCKS, UP_BLOCKS = range(8)


class Sizes(NamedTuple):
    """Numbers of `SashimiConfig`, and where in the weights the head and the embedding begin."""

    layers: int
    pairs: int
    feedforward: int
    s4: bool
    glu: bool
    unet: bool
    half: bool
    levels: int
    head: int
    embedding: int


@njit(cache=True, nogil=True)
def feed(net, memory, shape, index, codes, logits):
    """Logits [B, n, V] after each of codes [B, n].

    Args:
        net: The weights, the tables of blocks (width, place of the weights, place in memory) and of tiers, and `Sizes`.
        memory: The sessions' numbers, flat.
        shape: Sessions, and numbers of each.
        index: How many samples the sessions have seen, modulo the product of the pools.
        codes: What they see now.
        logits: To be written, flat.
    """
    count, levels = codes.shape[1], net[3].levels
    streams, scratch = (memory, shape[1], shape[0]), _scratch(net, shape[0])
    for t in range(count):
        _sample(net, streams, index + t, codes, t, scratch, logits, t * levels, count * levels)


@njit(cache=True, nogil=True)
def draw(net, memory, shape, index, uniforms, temperature, top_p, guidance, codes, likelihood):
    """Codes [B, 1 + n], of which the first are given, and the log-likelihood [B] of the others; see `feed`.

    There are B sessions, or 2 B of which the second half is leaned away from by `guidance` and hears the same codes.
    """
    rows, levels, drawn = shape[0], net[3].levels, len(likelihood)
    streams, scratch = (memory, shape[1], rows), _scratch(net, rows)
    logits, chances = np.empty(rows * levels, np.float32), np.empty(levels, np.float32)
    for t in range(uniforms.shape[1]):
        _sample(net, streams, index + t, codes, t, scratch, logits, 0, levels)
        for row in range(drawn):
            if rows > drawn:
                _lean(logits, row * levels, (drawn + row) * levels, levels, guidance)
            code, logarithm = _choose(logits, row * levels, levels, uniforms[row, t], temperature, top_p, chances)
            likelihood[row] += logarithm
            for session in range(row, rows, drawn):
                codes[session, t + 1] = code


@njit
def _lean(logits, place, other, levels, guidance):
    """From the `other` logits so far towards, or beyond, those at `place`."""
    factor = splat(np.float32(guidance))
    for i in range(0, levels, WIDTH):
        base = load(logits, other + i)
        store(logits, place + i, fma(factor, load(logits, place + i) - base, base))


@njit
def _block(net, block, x, x0, streams, normed, hidden):
    """A block on activations [rows, dim] at `x0`, in place."""
    weights, _, _, sizes = net
    memory, stride, rows = streams
    dim, norms, m0 = block[0], block[1], block[2]
    w, inner = norms + LINE, sizes.feedforward * dim
    for row in range(rows):
        _normalize(x, x0 + row * dim, dim, normed, row * dim, weights[norms], weights[norms + 1])
    if sizes.s4:
        w = _s4(weights, w, normed, normed, memory, m0, stride, rows, dim, sizes.pairs)
    else:
        w = _s4d(weights, w, normed, normed, memory, m0, stride, rows, dim, sizes.pairs)
    if sizes.glu:
        w = _linear(sizes.half, weights, w, normed, 0, dim, dim, hidden, 0, 2 * dim, 2 * dim, rows, False)
        for row in range(rows):
            for i in range(0, dim, WIDTH):
                value, gate = load(hidden, 2 * row * dim + i), load(hidden, (2 * row + 1) * dim + i)
                place = x0 + row * dim + i
                store(x, place, fma(value, sigmoid(gate), load(x, place)))
    else:
        w = _linear(sizes.half, weights, w, normed, 0, dim, dim, x, x0, dim, dim, rows, True)
    for row in range(rows):
        _normalize(x, x0 + row * dim, dim, normed, row * dim, weights[norms + 2], weights[norms + 3])
    w = _linear(sizes.half, weights, w, normed, 0, dim, dim, hidden, 0, inner, inner, rows, False)
    for i in range(0, rows * inner, WIDTH):
        store(hidden, i, gelu(load(hidden, i)))
    _linear(sizes.half, weights, w, hidden, 0, inner, inner, x, x0, dim, dim, rows, True)


@njit
def _stack(net, first, x, x0, streams, scratch, skips0, skipping):
    """The blocks of a tier in place: each joined to its like on the way down, or all with one residual around them."""
    _, blocks, _, sizes = net
    _, skips, normed, hidden = scratch
    count, room = streams[2] * blocks[first, 0], streams[2] * net[2][-1, 1]
    if not skipping:
        _copy(x, x0, skips, skips0, count)
    for layer in range(sizes.layers):
        _block(net, blocks[first + layer], x, x0, streams, normed, hidden)
        if skipping:
            _add(x, x0, skips, skips0 + (sizes.layers - 1 - layer) * room, count)
    if not skipping:
        _add(x, x0, skips, skips0, count)


@njit
def _sample(net, streams, index, codes, t, scratch, logits, to, to_stride):
    """Logits of each row at `to` and every `to_stride` after, from codes[:, t]; `index` counts the samples."""
    weights, blocks, tiers, sizes = net
    memory, stride, rows = streams
    x, skips, normed, hidden = scratch
    depth, room, width = len(tiers) - 1, rows * tiers[-1, DIM], tiers[0, DIM]
    kept = (sizes.layers + 1) * room  # of a tier, in `skips`
    for row in range(rows):
        for i in range(0, width, WIDTH):
            embedded = load(weights, sizes.embedding + codes[row, t] * width + i)
            store(x, row * width + i, embedded + load(memory, row * stride + i))
    # Down, as far as frames are full.
    level, steps = 0, index
    while level < depth:
        pool, dim, here, inner = tiers[level, POOL], tiers[level, DIM], level * room, tiers[level + 1, DIM]
        _copy(x, here, skips, level * kept, rows * dim)
        if sizes.unet:
            for layer in range(sizes.layers):
                _block(net, blocks[tiers[level, DOWN_BLOCKS] + layer], x, here, streams, normed, hidden)
                _copy(x, here, skips, level * kept + (layer + 1) * room, rows * dim)
        phase, pending = steps % pool, tiers[level, PENDING]
        for row in range(rows):
            _copy(x, here + row * dim, memory, row * stride + pending + phase * dim, dim)
        if phase < pool - 1:
            break
        place = tiers[level, DOWN]
        frames, wide = here + room, pool * dim
        _linear(sizes.half, weights, place, memory, pending, stride, wide, x, frames, inner, inner, rows, False)
        level, steps = level + 1, steps // pool
    if level == depth:
        _stack(net, tiers[depth, UP_BLOCKS], x, depth * room, streams, scratch, depth * kept, False)
    # Up from there: first what the last frame sent, then make room for what this one sends.
    for outer in range(min(level, depth - 1), -1, -1):
        pool, dim, here, inner = tiers[outer, POOL], tiers[outer, DIM], outer * room, tiers[outer + 1, DIM]
        place, ahead, steps = tiers[outer, UP], tiers[outer, AHEAD], index
        for above in range(outer):
            steps //= tiers[above, POOL]
        for row in range(rows):
            _copy(memory, row * stride + ahead + steps % pool * dim, x, here + row * dim, dim)
        if outer < level:
            frames, wide = here + room, pool * dim
            _linear(sizes.half, weights, place, x, frames, inner, inner, memory, ahead, stride, wide, rows, False)
        _add(x, here, skips, outer * kept + (sizes.layers * room if sizes.unet else 0), rows * dim)
        _stack(net, tiers[outer, UP_BLOCKS], x, here, streams, scratch, outer * kept, sizes.unet)
    for row in range(rows):
        _normalize(x, row * width, width, normed, row * width, np.float32(0), np.float32(EPSILON))
    _linear(sizes.half, weights, sizes.head, normed, 0, width, width, logits, to, to_stride, sizes.levels, rows, False)


@njit
def _copy(x, x0, y, y0, count):
    for i in range(0, count, WIDTH):
        store(y, y0 + i, load(x, x0 + i))


@njit
def _add(x, x0, y, y0, count):
    for i in range(0, count, WIDTH):
        store(x, x0 + i, load(x, x0 + i) + load(y, y0 + i))


@njit
def _scratch(net, rows):
    """Room for activations of every tier, for those on the way down, and within a block."""
    tiers, sizes = net[2], net[3]
    room = rows * tiers[-1, DIM]
    return (
        np.empty(len(tiers) * room, np.float32),
        np.empty(len(tiers) * (sizes.layers + 1) * room, np.float32),
        np.empty(room, np.float32),
        np.empty(max(2, sizes.feedforward) * room, np.float32),
    )


@njit
def _normalize(x, x0, dim, out, out0, shift, eps):
    """Zero mean, then `shift`, and unit variance; two sums at a time, as each has to wait for the one before."""
    share, even, odd = np.float32(1 / dim), splat(0.0), splat(0.0)
    for i in range(0, dim, 2 * WIDTH):
        even, odd = even + load(x, x0 + i), odd + load(x, x0 + i + WIDTH)
    mean = splat(total(even + odd) * share)
    even = odd = splat(0.0)
    for i in range(0, dim, 2 * WIDTH):
        left, right = load(x, x0 + i) - mean, load(x, x0 + i + WIDTH) - mean
        even, odd = fma(left, left, even), fma(right, right, odd)
    scale = splat(np.float32(1) / np.sqrt(total(even + odd) * share + eps))
    mean = mean - splat(shift)
    for i in range(0, dim, WIDTH):
        store(out, out0 + i, (load(x, x0 + i) - mean) * scale)


@njit
def _linear(half, weights, w, x, x0, x_stride, inputs, out, out0, out_stride, outputs, rows, added):
    """A linear layer, in place of what is in `out` or added to it; its weights are bfloat16 if `half`."""
    if half:
        return _linear_half(weights, w, x, x0, x_stride, inputs, out, out0, out_stride, outputs, rows, added)
    return _linear_full(weights, w, x, x0, x_stride, inputs, out, out0, out_stride, outputs, rows, added)


def _linear_of(left, right, wide):
    """A linear layer whose weights of an input and a panel are `wide` numbers, of which `left` and `right` make 16."""

    @njit
    def linear(weights, w, x, x0, x_stride, inputs, out, out0, out_stride, outputs, rows, added):
        panels, end = w + outputs, w + outputs + inputs * outputs // PANEL * wide
        for panel in range(outputs // PANEL):
            start, low, high = panels + panel * inputs * wide, w + panel * PANEL, w + panel * PANEL + WIDTH
            place = out0 + panel * PANEL
            row = 0
            while row + 4 <= rows:
                a0 = a1 = a2 = a3 = load(weights, low)
                b0 = b1 = b2 = b3 = load(weights, high)
                from0 = x0 + row * x_stride
                from1, from2, from3 = from0 + x_stride, from0 + 2 * x_stride, from0 + 3 * x_stride
                for i in range(inputs):
                    prefetch(weights, start + (inputs + i) * wide)  # of the next panel
                    first, second = left(weights, start + i * wide), right(weights, start + i * wide)
                    value = spread(x, from0 + i)
                    a0, b0 = fma(first, value, a0), fma(second, value, b0)
                    value = spread(x, from1 + i)
                    a1, b1 = fma(first, value, a1), fma(second, value, b1)
                    value = spread(x, from2 + i)
                    a2, b2 = fma(first, value, a2), fma(second, value, b2)
                    value = spread(x, from3 + i)
                    a3, b3 = fma(first, value, a3), fma(second, value, b3)
                to = place + row * out_stride
                _put(out, to, a0, b0, added)
                _put(out, to + out_stride, a1, b1, added)
                _put(out, to + 2 * out_stride, a2, b2, added)
                _put(out, to + 3 * out_stride, a3, b3, added)
                row += 4
            while row < rows:
                # Alone, a row is summed up in four parts, as each sum has to wait for the one before.
                a0, b0 = load(weights, low), load(weights, high)
                a1 = a2 = a3 = b1 = b2 = b3 = splat(0.0)
                source = x0 + row * x_stride
                for i in range(0, inputs, 4):
                    at = start + i * wide
                    value = spread(x, source + i)
                    a0, b0 = fma(left(weights, at), value, a0), fma(right(weights, at), value, b0)
                    value = spread(x, source + i + 1)
                    at += wide
                    a1, b1 = fma(left(weights, at), value, a1), fma(right(weights, at), value, b1)
                    value = spread(x, source + i + 2)
                    at += wide
                    a2, b2 = fma(left(weights, at), value, a2), fma(right(weights, at), value, b2)
                    value = spread(x, source + i + 3)
                    at += wide
                    a3, b3 = fma(left(weights, at), value, a3), fma(right(weights, at), value, b3)
                _put(out, place + row * out_stride, (a0 + a1) + (a2 + a3), (b0 + b1) + (b2 + b3), added)
                row += 1
        return end

    return linear


_linear_full = _linear_of(njit(lambda w, at: load(w, at)), njit(lambda w, at: load(w, at + WIDTH)), PANEL)
_linear_half = _linear_of(njit(lambda w, at: low_half(load(w, at))), njit(lambda w, at: high_half(load(w, at))), WIDTH)


@njit
def _put(out, place, left, right, added):
    """Write the sums of a panel."""
    if added:
        left, right = left + load(out, place), right + load(out, place + WIDTH)
    store(out, place, left)
    store(out, place + WIDTH, right)


@njit
def _s4(weights, w, x, out, memory, m0, stride, rows, dim, pairs):
    """Gelu of S4's output, eight channels and, where there are, two rows at a time; −s follows the states."""
    coefficients, fed = w + 3 * dim, m0 + 2 * pairs * dim
    for tile in range(0, dim, WIDTH):
        gain, bias, skip = load(weights, w + tile), load(weights, w + dim + tile), load(weights, w + 2 * dim + tile)
        start, states = coefficients + tile * pairs * 8, m0 + tile * 2 * pairs
        for row in range(0, rows - 1, 2):
            here, there = row * dim + tile, (row + 1) * dim + tile
            u, t = fma(gain, load(x, here), bias), fma(gain, load(x, there), bias)
            s, r = load(memory, fed + row * stride + tile), load(memory, fed + (row + 1) * stride + tile)
            y, f, z, g = skip * u, splat(0.0), skip * t, splat(0.0)
            at, m, n = start, states + row * stride, states + (row + 1) * stride
            ahead = _next_rows(row, rows, stride, 2 * pairs * WIDTH)
            for _ in range(pairs):
                prefetch(memory, m + ahead)
                prefetch(memory, n + ahead)
                # Loaded where needed: there are sixteen registers, and a sum that has to leave them costs a third.
                ar, ai = load(weights, at), load(weights, at + 8)
                br, bi = load(weights, at + 16), load(weights, at + 24)
                real, imaginary = load(memory, m), load(memory, m + WIDTH)
                after = fma(ar, real, fma(negative(ai), imaginary, fma(br, u, s)))
                imaginary = fma(ar, imaginary, fma(ai, real, bi * u))
                store(memory, m, after)
                store(memory, m + WIDTH, imaginary)
                real, other = load(memory, n), load(memory, n + WIDTH)
                later = fma(ar, real, fma(negative(ai), other, fma(br, t, r)))
                other = fma(ar, other, fma(ai, real, bi * t))
                store(memory, n, later)
                store(memory, n + WIDTH, other)
                c, v = load(weights, at + 32), load(weights, at + 48)
                y, z, f, g = fma(c, after, y), fma(c, later, z), fma(v, after, f), fma(v, later, g)
                c, v = negative(load(weights, at + 40)), negative(load(weights, at + 56))
                y, z, f, g = fma(c, imaginary, y), fma(c, other, z), fma(v, imaginary, f), fma(v, other, g)
                at, m, n = at + 8 * WIDTH, m + 2 * WIDTH, n + 2 * WIDTH
            store(memory, fed + row * stride + tile, f)
            store(memory, fed + (row + 1) * stride + tile, g)
            store(out, here, gelu(y))
            store(out, there, gelu(z))
        if rows % 2:
            row = rows - 1
            u, s = fma(gain, load(x, row * dim + tile), bias), load(memory, fed + row * stride + tile)
            y, z, f, g = skip * u, splat(0.0), splat(0.0), splat(0.0)
            at, m = start, states + row * stride
            for _ in range(pairs):
                ar, ai = load(weights, at), load(weights, at + 8)
                br, bi = load(weights, at + 16), load(weights, at + 24)
                real, imaginary = load(memory, m), load(memory, m + WIDTH)
                after = fma(ar, real, fma(negative(ai), imaginary, fma(br, u, s)))
                imaginary = fma(ar, imaginary, fma(ai, real, bi * u))
                store(memory, m, after)
                store(memory, m + WIDTH, imaginary)
                y, z = fma(load(weights, at + 32), after, y), fma(load(weights, at + 40), imaginary, z)
                f, g = fma(load(weights, at + 48), after, f), fma(load(weights, at + 56), imaginary, g)
                at, m = at + 8 * WIDTH, m + 2 * WIDTH
            store(memory, fed + row * stride + tile, f - g)
            store(out, row * dim + tile, gelu(y - z))
    return coefficients + 8 * pairs * dim


@njit
def _next_rows(row, rows, stride, tile):
    """How far it is to the states that are due after those of two rows: of the next two, or of the next tile."""
    return 2 * stride if row + 3 < rows else tile - row * stride


@njit
def _s4d(weights, w, x, out, memory, m0, stride, rows, dim, pairs):
    """Gelu of S4D's output, eight channels and, where there are, two rows at a time."""
    coefficients = w + 3 * dim
    for tile in range(0, dim, WIDTH):
        gain, bias, skip = load(weights, w + tile), load(weights, w + dim + tile), load(weights, w + 2 * dim + tile)
        start, states = coefficients + tile * pairs * 4, m0 + tile * 2 * pairs
        for row in range(0, rows - 1, 2):
            here, there = row * dim + tile, (row + 1) * dim + tile
            u, t = fma(gain, load(x, here), bias), fma(gain, load(x, there), bias)
            y, z = skip * u, skip * t
            at, m, n = start, states + row * stride, states + (row + 1) * stride
            ahead = _next_rows(row, rows, stride, 2 * pairs * WIDTH)
            for _ in range(pairs):
                prefetch(memory, m + ahead)
                prefetch(memory, n + ahead)
                ar, ai = load(weights, at), load(weights, at + 8)
                cr, ci = load(weights, at + 16), load(weights, at + 24)
                real, imaginary = load(memory, m), load(memory, m + WIDTH)
                after = fma(ar, real, fma(negative(ai), imaginary, u))
                imaginary = fma(ar, imaginary, ai * real)
                store(memory, m, after)
                store(memory, m + WIDTH, imaginary)
                y = y + fma(negative(ci), imaginary, cr * after)
                real, imaginary = load(memory, n), load(memory, n + WIDTH)
                after = fma(ar, real, fma(negative(ai), imaginary, t))
                imaginary = fma(ar, imaginary, ai * real)
                store(memory, n, after)
                store(memory, n + WIDTH, imaginary)
                z = z + fma(negative(ci), imaginary, cr * after)
                at, m, n = at + 4 * WIDTH, m + 2 * WIDTH, n + 2 * WIDTH
            store(out, here, gelu(y))
            store(out, there, gelu(z))
        if rows % 2:
            row = rows - 1
            u = fma(gain, load(x, row * dim + tile), bias)
            y = skip * u
            at, m = start, states + row * stride
            for _ in range(pairs):
                ar, ai = load(weights, at), load(weights, at + 8)
                cr, ci = load(weights, at + 16), load(weights, at + 24)
                real, imaginary = load(memory, m), load(memory, m + WIDTH)
                after = fma(ar, real, fma(negative(ai), imaginary, u))
                imaginary = fma(ar, imaginary, ai * real)
                store(memory, m, after)
                store(memory, m + WIDTH, imaginary)
                y = y + fma(negative(ci), imaginary, cr * after)
                at, m = at + 4 * WIDTH, m + 2 * WIDTH
            store(out, row * dim + tile, gelu(y))
    return coefficients + 4 * pairs * dim


@njit
def _choose(logits, start, levels, uniform, temperature, top_p, chances):
    """The code whose share of the distribution `uniform` falls into, and its log-likelihood at temperature 1."""
    top = _largest(logits, start, levels)
    norm = _exponentials(logits, start, levels, top, 1.0, chances)
    if temperature > 0:
        mass = norm
        if temperature != 1:
            mass = _exponentials(logits, start, levels, top, 1 / temperature, chances)
        if top_p < 1:
            mass = _cut(chances, top_p * mass)
        code = _fall(chances, np.float32(uniform * mass))
    else:
        code = 0
        while logits[start + code] != top:
            code += 1
    return code, logits[start + code] - top - np.log(norm)


@njit
def _largest(x, start, count):
    """The largest of `count` numbers."""
    lanes = load(x, start)
    for i in range(WIDTH, count, WIDTH):
        lanes = maximum(lanes, load(x, start + i))
    return largest(lanes)


@njit
def _fall(chances, rest):
    """The first place at which the chances up to there exceed `rest`."""
    code, last = 0, len(chances) - 1
    part = total(load(chances, 0))
    while rest >= part and code + WIDTH < last:
        rest -= part
        code += WIDTH
        part = total(load(chances, code))
    while code < last and rest >= chances[code]:
        rest -= chances[code]
        code += 1
    while chances[code] == 0:  # rounding may have led past the last that is possible
        code -= 1
    return code


@njit
def _exponentials(logits, start, levels, largest, factor, out):
    """e to the scaled distance from the largest, and the sum."""
    summed, top, scale = splat(0.0), splat(largest), splat(np.float32(factor))
    for i in range(0, levels, WIDTH):
        chance = exp((load(logits, start + i) - top) * scale)
        store(out, i, chance)
        summed = summed + chance
    return total(summed)


@njit
def _cut(chances, wanted):
    """Zero all but the largest that together reach `wanted`, the least found by bisection; returns their sum."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _above(chances, middle, False) >= wanted:
            low = middle
        else:
            high = middle
    return _above(chances, low, True)


@njit
def _above(chances, least, erasing):
    """The sum of the chances that are not below `least`; the others are zeroed if `erasing`."""
    summed, least = splat(0.0), splat(np.float32(least))
    for i in range(0, len(chances), WIDTH):
        kept = at_least(load(chances, i), least)
        summed = summed + kept
        if erasing:
            store(chances, i, kept)
    return total(summed)
