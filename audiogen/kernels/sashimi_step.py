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
BLOCK = 4  # steps of a tier after which its states are brought up to date; the loops below are written for four
S4_NUMBERS = 4 + 4 * BLOCK  # of each pair of a channel: a, b, and what is heard of it as y and as −s
S4D_NUMBERS = 4 + 2 * BLOCK  # a, a², and what is heard of it as y
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
        index: How many samples the sessions have seen, modulo the product of the pools and `BLOCK`.
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
def _block(net, block, steps, x, x0, streams, normed, hidden):
    """A block on activations [rows, dim] at `x0`, in place, after `steps` of its tier."""
    weights, _, _, sizes = net
    rows = streams[2]
    dim, norms, m0 = block[0], block[1], block[2]
    w, inner = norms + LINE, sizes.feedforward * dim
    for row in range(rows):
        _normalize(x, x0 + row * dim, dim, normed, row * dim, weights[norms], weights[norms + 1])
    w = _filter(weights, w, sizes.s4, normed, normed, streams, m0, dim, sizes.pairs, steps % BLOCK)
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
def _stack(net, first, steps, x, x0, streams, scratch, skips0, skipping):
    """The blocks of a tier in place: each joined to its like on the way down, or all with one residual around them."""
    _, blocks, _, sizes = net
    _, skips, normed, hidden = scratch
    count, room = streams[2] * blocks[first, 0], streams[2] * net[2][-1, 1]
    if not skipping:
        _copy(x, x0, skips, skips0, count)
    for layer in range(sizes.layers):
        _block(net, blocks[first + layer], steps, x, x0, streams, normed, hidden)
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
                _block(net, blocks[tiers[level, DOWN_BLOCKS] + layer], steps, x, here, streams, normed, hidden)
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
        _stack(net, tiers[depth, UP_BLOCKS], steps, x, depth * room, streams, scratch, depth * kept, False)
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
        _stack(net, tiers[outer, UP_BLOCKS], steps, x, here, streams, scratch, outer * kept, sizes.unet)
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
def _filter(weights, w, s4, x, out, streams, m0, dim, pairs, phase):
    """Gelu of the state spaces' output; what the states give is known ahead, so only the last samples are added.

    A block remembers its states, then what it heard since they were brought up to date, then what they give to each of
    the `BLOCK` samples after that, and for S4 −s too. The last of these samples brings them up to date.
    """
    memory, stride, rows = streams
    taps, heard = w + 2 * dim, m0 + 2 * pairs * dim
    ahead = heard + BLOCK * dim
    for row in range(rows):
        for tile in range(0, dim, WIDTH):
            place, past = row * dim + tile, heard + row * stride + tile
            u = fma(load(weights, w + tile), load(x, place), load(weights, w + dim + tile))
            store(memory, past + phase * dim, u)
            y = fma(load(weights, taps + tile), u, load(memory, ahead + row * stride + phase * dim + tile))
            for i in range(phase):
                y = fma(load(weights, taps + (phase - i) * dim + tile), load(memory, past + i * dim), y)
            store(out, place, gelu(y))
    coefficients = taps + BLOCK * dim
    if s4:
        fed_taps, coefficients = coefficients, coefficients + (BLOCK - 1) * dim
        if phase == BLOCK - 1:
            _advance_s4(weights, fed_taps, coefficients, streams, m0, dim, pairs)
        return coefficients + S4_NUMBERS * pairs * dim
    if phase == BLOCK - 1:
        _advance_s4d(weights, coefficients, streams, m0, dim, pairs)
    return coefficients + S4D_NUMBERS * pairs * dim


@njit
def _advance_s4(weights, taps, at, streams, m0, dim, pairs):
    """Bring S4's states up to date; see `_filter`."""
    memory, stride, rows = streams
    for tile in range(0, dim, WIDTH):
        start = at + tile * pairs * S4_NUMBERS
        for row in range(rows):
            m = m0 + row * stride + tile * 2 * pairs
            heard = m0 + row * stride + 2 * pairs * dim + tile
            ahead = heard + BLOCK * dim
            fed = ahead + BLOCK * dim
            u0, u1 = load(memory, heard), load(memory, heard + dim)
            u2, u3 = load(memory, heard + 2 * dim), load(memory, heard + 3 * dim)
            first, second, third = (
                load(weights, taps + tile),
                load(weights, taps + dim + tile),
                load(weights, taps + 2 * dim + tile),
            )
            s0, s1 = load(memory, fed), fma(first, u0, load(memory, fed + dim))
            s2 = fma(second, u0, fma(first, u1, load(memory, fed + 2 * dim)))
            s3 = fma(third, u0, fma(second, u1, fma(first, u2, load(memory, fed + 3 * dim))))
            y0 = y1 = y2 = y3 = f0 = f1 = f2 = f3 = splat(0.0)
            w, next_row = start, _next_row(row, rows, stride, 2 * pairs * WIDTH)
            for _ in range(pairs):
                prefetch(memory, m + next_row)
                ar, ai = load(weights, w), load(weights, w + 8)
                br, bi = load(weights, w + 16), load(weights, w + 24)
                re, im = load(memory, m), load(memory, m + WIDTH)
                re, im = _turned(ar, ai, re, im, fma(br, u0, s0), bi * u0)
                re, im = _turned(ar, ai, re, im, fma(br, u1, s1), bi * u1)
                re, im = _turned(ar, ai, re, im, fma(br, u2, s2), bi * u2)
                re, im = _turned(ar, ai, re, im, fma(br, u3, s3), bi * u3)
                store(memory, m, re)
                store(memory, m + WIDTH, im)
                y0, y1 = _heard(weights, w + 32, re, im, y0), _heard(weights, w + 48, re, im, y1)
                y2, y3 = _heard(weights, w + 64, re, im, y2), _heard(weights, w + 80, re, im, y3)
                f0, f1 = _heard(weights, w + 96, re, im, f0), _heard(weights, w + 112, re, im, f1)
                f2, f3 = _heard(weights, w + 128, re, im, f2), _heard(weights, w + 144, re, im, f3)
                w, m = w + S4_NUMBERS * WIDTH, m + 2 * WIDTH
            _put_four(memory, ahead, dim, y0, y1, y2, y3)
            _put_four(memory, fed, dim, f0, f1, f2, f3)


@njit
def _advance_s4d(weights, at, streams, m0, dim, pairs):
    """Bring S4D's states up to date, two samples at a time; see `_filter`."""
    memory, stride, rows = streams
    for tile in range(0, dim, WIDTH):
        start = at + tile * pairs * S4D_NUMBERS
        for row in range(rows):
            m = m0 + row * stride + tile * 2 * pairs
            heard = m0 + row * stride + 2 * pairs * dim + tile
            u0, u1 = load(memory, heard), load(memory, heard + dim)
            u2, u3 = load(memory, heard + 2 * dim), load(memory, heard + 3 * dim)
            y0 = y1 = y2 = y3 = splat(0.0)
            w, next_row = start, _next_row(row, rows, stride, 2 * pairs * WIDTH)
            for _ in range(pairs):
                prefetch(memory, m + next_row)
                ar, ai = load(weights, w), load(weights, w + 8)
                square_r, square_i = load(weights, w + 16), load(weights, w + 24)
                re, im = load(memory, m), load(memory, m + WIDTH)
                re, im = _turned(square_r, square_i, re, im, fma(ar, u0, u1), ai * u0)
                re, im = _turned(square_r, square_i, re, im, fma(ar, u2, u3), ai * u2)
                store(memory, m, re)
                store(memory, m + WIDTH, im)
                y0, y1 = _heard(weights, w + 32, re, im, y0), _heard(weights, w + 48, re, im, y1)
                y2, y3 = _heard(weights, w + 64, re, im, y2), _heard(weights, w + 80, re, im, y3)
                w, m = w + S4D_NUMBERS * WIDTH, m + 2 * WIDTH
            _put_four(memory, heard + BLOCK * dim, dim, y0, y1, y2, y3)


@njit
def _turned(ar, ai, re, im, more_re, more_im):
    """a x + more, complex."""
    return fma(ar, re, fma(negative(ai), im, more_re)), fma(ar, im, fma(ai, re, more_im))


@njit
def _heard(weights, w, re, im, y):
    """y, and what is heard of a state through the numbers at `w`."""
    return fma(load(weights, w), re, fma(load(weights, w + WIDTH), im, y))


@njit
def _put_four(memory, place, dim, a, b, c, d):
    store(memory, place, a)
    store(memory, place + dim, b)
    store(memory, place + 2 * dim, c)
    store(memory, place + 3 * dim, d)


@njit
def _next_row(row, rows, stride, tile):
    """How far it is to the states that are due next: of the next row, or of the next tile."""
    return stride if row + 1 < rows else tile - row * stride


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
