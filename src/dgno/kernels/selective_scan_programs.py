"""The programs of `selective_scan_triton.py`, each for one chunk of one sequence and D channels.

Tiles are (N, D): states, and channels side by side in memory. Where a sequence ends inside a chunk, the tokens beyond
have delta = u = 0, which leaves the state as it is, and their results are not stored. Matrices of chunks are
(b, chunks, n, d); `order` as in `selective_scan_triton`.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _row(order, position, is_token):
    """Where the token at this position of the scan lies."""
    return position if order is None else tl.load(order + position, is_token, 0)


@triton.jit
@no_type_check
def _read(rows, row, lane, size, is_token):
    """One row of a (rows, size) tensor; 0 beyond its end, and where there is no token."""
    return tl.load(rows + row * size + lane, lane < tl.where(is_token, size, 0), 0.0).to(tl.float32)


@triton.jit
@no_type_check
def _matrix(index, state, channel, n, d):
    """Offsets into matrix `index` of a (..., n, d) tensor, and which of them exist."""
    return (index * n + state[:, None]) * d + channel[None, :], (state < n)[:, None] & (channel < d)[None, :]


@triton.jit
@no_type_check
def chunk_states(
    u, delta, A, B, order, states, decays, length, chunk, chunks, d, n,
    SEGMENT: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Pass 1. One program: one chunk of one sequence, D channels."""
    walk = tl.program_id(0).to(tl.int64)  # sequence * chunks + chunk
    channel, state = tl.program_id(1) * D + tl.arange(0, D), tl.arange(0, N)
    at, exists = _matrix(0, state, channel, n, d)
    A_ = tl.load(A + at, exists, 0.0)

    start, first = walk // chunks * length, walk % chunks * chunk
    last = tl.minimum(first + chunk, length)
    h, decay = tl.zeros([N, D], tl.float32), tl.full([N, D], 1.0, tl.float32)
    for segment in range(first, last, SEGMENT):
        for i in tl.static_range(SEGMENT):
            t = segment + i
            row = _row(order, start + t, t < last)
            u_t, delta_t = _read(u, row, channel, d, t < last), _read(delta, row, channel, d, t < last)
            B_t = _read(B, row, state, n, t < last)
            a = tl.exp(delta_t[None, :] * A_)  # 1 where there is no token
            h = a * h + (delta_t * u_t)[None, :] * B_t[:, None]
            decay = a * decay

    at, exists = _matrix(walk, state, channel, n, d)
    tl.store(states + at, h, exists)
    tl.store(decays + at, decay, exists)


@triton.jit
@no_type_check
def carried_states(
    states, decays, entering, chunks, size, REVERSED: tl.constexpr, TILE: tl.constexpr, SIZE: tl.constexpr
):
    """Pass 2. One program: SIZE numbers of the state of one sequence, (b, chunks, size) each. TILE chunks are read
    before the state goes through them, since reading takes longer than that."""
    start = tl.program_id(0).to(tl.int64) * chunks
    number = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    h = tl.zeros([SIZE], tl.float32)
    for first in range(0, chunks, TILE):
        decay, last = (), ()
        for i in tl.static_range(TILE):
            chunk = chunks - 1 - (first + i) if REVERSED else first + i
            at, exists = (start + chunk) * size + number, number < tl.where(first + i < chunks, size, 0)
            decay += (tl.load(decays + at, exists, 1.0),)
            last += (tl.load(states + at, exists, 0.0),)
        for i in tl.static_range(TILE):
            chunk = chunks - 1 - (first + i) if REVERSED else first + i
            at, exists = (start + chunk) * size + number, number < tl.where(first + i < chunks, size, 0)
            tl.store(entering + at, h, exists)
            h = decay[i] * h + last[i]


@triton.jit
@no_type_check
def outputs(
    u, delta, A, B, C, skip, order, entering, y, length, chunk, chunks, d, n,
    SEGMENT: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Pass 3. One program: one chunk of one sequence, D channels. `skip` is the D of the equations."""
    walk = tl.program_id(0).to(tl.int64)
    channel, state = tl.program_id(1) * D + tl.arange(0, D), tl.arange(0, N)
    at, exists = _matrix(0, state, channel, n, d)
    A_ = tl.load(A + at, exists, 0.0)
    skip_ = _read(skip, 0, channel, d, True)
    at, exists = _matrix(walk, state, channel, n, d)
    h = tl.load(entering + at, exists, 0.0)

    start, first = walk // chunks * length, walk % chunks * chunk
    last = tl.minimum(first + chunk, length)
    for segment in range(first, last, SEGMENT):
        ys = ()  # stored after all reading, which can then be done at once
        for i in tl.static_range(SEGMENT):
            t = segment + i
            row = _row(order, start + t, t < last)
            u_t, delta_t = _read(u, row, channel, d, t < last), _read(delta, row, channel, d, t < last)
            B_t, C_t = _read(B, row, state, n, t < last), _read(C, row, state, n, t < last)
            h = tl.exp(delta_t[None, :] * A_) * h + (delta_t * u_t)[None, :] * B_t[:, None]
            ys += (tl.sum(C_t[:, None] * h, 0) + skip_ * u_t,)
        for i in tl.static_range(SEGMENT):
            t = segment + i
            row = _row(order, start + t, t < last)
            tl.store(y + row * d + channel, ys[i], channel < tl.where(t < last, d, 0))


@triton.jit
@no_type_check
def prepare_gradients(
    u, delta, A, B, C, gy, order, entering, starts, gstates, length, chunk, chunks, d, n,
    SEGMENT: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Pass 1 of the gradient: forwards, the states before every SEGMENT-th token (b, chunks, chunk / SEGMENT, n, d);
    backwards, what every chunk alone hands to the one before it."""
    walk = tl.program_id(0).to(tl.int64)
    channel, state = tl.program_id(1) * D + tl.arange(0, D), tl.arange(0, N)
    at, exists = _matrix(0, state, channel, n, d)
    A_ = tl.load(A + at, exists, 0.0)
    at, exists = _matrix(walk, state, channel, n, d)
    h = tl.load(entering + at, exists, 0.0)

    start, first = walk // chunks * length, walk % chunks * chunk
    last = tl.minimum(first + chunk, length)
    for segment in range(first, last, SEGMENT):
        at, exists = _matrix(walk * (chunk // SEGMENT) + (segment - first) // SEGMENT, state, channel, n, d)
        tl.store(starts + at, h, exists)
        for i in tl.static_range(SEGMENT):
            t = segment + i
            row = _row(order, start + t, t < last)
            u_t, delta_t = _read(u, row, channel, d, t < last), _read(delta, row, channel, d, t < last)
            B_t = _read(B, row, state, n, t < last)
            h = tl.exp(delta_t[None, :] * A_) * h + (delta_t * u_t)[None, :] * B_t[:, None]

    g = tl.zeros([N, D], tl.float32)
    for done in range(0, last - first, SEGMENT):
        for i in tl.static_range(SEGMENT):
            t = last - 1 - done - i
            row = _row(order, start + t, t >= first)
            gy_t, delta_t = _read(gy, row, channel, d, t >= first), _read(delta, row, channel, d, t >= first)
            C_t = _read(C, row, state, n, t >= first)
            g = tl.exp(delta_t[None, :] * A_) * (g + gy_t[None, :] * C_t[:, None])
    at, exists = _matrix(walk, state, channel, n, d)
    tl.store(gstates + at, g, exists)


@triton.jit
@no_type_check
def gradients(
    u, delta, A, B, C, skip, gy, order, starts, gentering, gu, gdelta, gA, gB, gC, gD,
    length, chunk, chunks, rows, d, n,
    SEGMENT: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Pass 3 of the gradient. gA and gD are one for each chunk, gB and gC one for each block of D channels."""
    walk, block = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    channel, state = tl.program_id(1) * D + tl.arange(0, D), tl.arange(0, N)
    at, exists = _matrix(0, state, channel, n, d)
    A_ = tl.load(A + at, exists, 0.0)
    skip_ = _read(skip, 0, channel, d, True)
    at, exists = _matrix(walk, state, channel, n, d)
    g = tl.load(gentering + at, exists, 0.0)  # from the tokens after, decayed to this one
    gA_, gD_ = tl.zeros([N, D], tl.float32), tl.zeros([D], tl.float32)

    start, first = walk // chunks * length, walk % chunks * chunk
    last = tl.minimum(first + chunk, length)
    segments = tl.cdiv(last - first, SEGMENT)
    for done in range(0, segments):
        segment = segments - 1 - done
        at, exists = _matrix(walk * (chunk // SEGMENT) + segment, state, channel, n, d)
        h = tl.load(starts + at, exists, 0.0)
        before = ()
        for i in tl.static_range(SEGMENT):
            before += (h,)
            t = first + segment * SEGMENT + i
            row = _row(order, start + t, t < last)
            u_t, delta_t = _read(u, row, channel, d, t < last), _read(delta, row, channel, d, t < last)
            B_t = _read(B, row, state, n, t < last)
            h = tl.exp(delta_t[None, :] * A_) * h + (delta_t * u_t)[None, :] * B_t[:, None]
        for i in tl.static_range(SEGMENT - 1, -1, -1):
            t = first + segment * SEGMENT + i
            row = _row(order, start + t, t < last)
            u_t, delta_t = _read(u, row, channel, d, t < last), _read(delta, row, channel, d, t < last)
            B_t, C_t = _read(B, row, state, n, t < last), _read(C, row, state, n, t < last)
            gy_t = _read(gy, row, channel, d, t < last)

            a = tl.exp(delta_t[None, :] * A_)
            carried = a * before[i]  # exp(delta_t A) h_{t-1}
            brought = (delta_t * u_t)[None, :] * B_t[:, None]
            g += gy_t[None, :] * C_t[:, None]  # the gradient at h_t
            gexponent = g * carried  # at delta_t A
            gdu = tl.sum(g * B_t[:, None], 0)  # at delta_t u_t
            gA_ += gexponent * delta_t[None, :]
            gD_ += gy_t * u_t
            is_channel, is_state = channel < tl.where(t < last, d, 0), state < tl.where(t < last, n, 0)
            tl.store(gu + row * d + channel, gdu * delta_t + skip_ * gy_t, is_channel)
            tl.store(gdelta + row * d + channel, gdu * u_t + tl.sum(gexponent * A_, 0), is_channel)
            tl.store(gB + (block * rows + row) * n + state, tl.sum(g * (delta_t * u_t)[None, :], 1), is_state)
            tl.store(gC + (block * rows + row) * n + state, tl.sum(gy_t[None, :] * (carried + brought), 1), is_state)
            g = a * g

    at, exists = _matrix(walk, state, channel, n, d)
    tl.store(gA + at, gA_, exists)
    tl.store(gD + walk * d + channel, gD_, channel < d)
