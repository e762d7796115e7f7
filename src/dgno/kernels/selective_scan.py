"""The selective scan, twice in plain PyTorch: as a specification and as a chunked form that trains.

For every channel d and state n, along the scan order t:

    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t          h_{-1} = 0
    y_t = C_t . h_t + D u_t                                  (sum over the states)

Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", arXiv:2312.00752, Eq. 2-4
with the simplified discretisation of B. The symbols `u, delta, A, B, C, D` are the paper's.

Tokens are major and channels contiguous, `(b, l, d)`: that is the layout in which the rest of the network works.
The compiled version with the same signature is in `selective_scan_c.py`; `backends.py` chooses.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def selective_scan_loop(
    u: Float[Tensor, "b l d"],
    delta: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l n"],
    C: Float[Tensor, "b l n"],
    D: Float[Tensor, " d"],
) -> Float[Tensor, "b l d"]:
    """Scan one token after the other: the definition, written down. Slow; other versions are compared with it.

    u : (b, l, d) input sequences
    delta : (b, l, d) step sizes, positive (after the softplus)
    A : (d, n) negative for a decaying state
    B, C : (b, l, n) input and output projections of the state, different for every token
    D : (d,) direct path
    Returns y : (b, l, d), in the dtype of the inputs.
    """
    h = u.new_zeros(u.shape[0], u.shape[2], A.shape[1])  # (b, d, n)
    outputs = []
    for t in range(u.shape[1]):
        decay = torch.exp(delta[:, t, :, None] * A)
        h = decay * h + delta[:, t, :, None] * B[:, t, None, :] * u[:, t, :, None]
        outputs.append((h * C[:, t, None, :]).sum(-1))
    y = torch.stack(outputs, dim=1) if outputs else torch.zeros_like(u)
    return y + D * u


def selective_scan_chunked(
    u: Float[Tensor, "b l d"],
    delta: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l n"],
    C: Float[Tensor, "b l n"],
    D: Float[Tensor, " d"],
    chunk: int | None = None,
) -> Float[Tensor, "b l d"]:
    """Scan all chunks side by side, then hand the state from chunk to chunk: about 2 sqrt(l) steps instead of l.

    Shapes as in `selective_scan_loop`; differentiable by autograd. `chunk` is the number of tokens of a chunk,
    sqrt(l) when not given. The decay from the start of a chunk is kept as a running sum of `delta` times A and never
    divided by, so nothing overflows.
    """
    b, length, d = u.shape
    if length == 0:
        return torch.zeros_like(u)
    chunk = chunk or max(1, round(length**0.5))
    padding = -length % chunk
    u_, delta_, B_, C_ = (torch.nn.functional.pad(t, (0, 0, 0, padding)) for t in (u, delta, B, C))

    def chunked(t: Tensor) -> Tensor:  # (b, l, k) -> (chunk, b, chunks, k): one token of every chunk at a time
        return t.unflatten(1, (-1, chunk)).movedim(2, 0)

    u_, delta_, B_, C_ = map(chunked, (u_, delta_, B_, C_))

    # Pass 1: every chunk from a zero state.
    h = u.new_zeros(b, u_.shape[2], d, A.shape[1])
    states = []
    for t in range(chunk):
        h = torch.exp(delta_[t, ..., None] * A) * h + (delta_[t] * u_[t])[..., None] * B_[t, ..., None, :]
        states.append(h)

    # Pass 2: the state that enters each chunk.
    decay = torch.exp(delta_.sum(0)[..., None] * A)  # over a whole chunk: (b, chunks, d, n)
    carry = torch.zeros_like(h[:, 0])
    entering = []
    for i in range(h.shape[1]):
        entering.append(carry)
        carry = decay[:, i] * carry + h[:, i]
    entered = torch.stack(entering, dim=1)

    elapsed = delta_.cumsum(0)
    y = [
        torch.einsum("bcdn,bcn->bcd", states[t] + torch.exp(elapsed[t][..., None] * A) * entered, C_[t])
        for t in range(chunk)
    ]
    return torch.stack(y, dim=2).flatten(1, 2)[:, :length] + D * u
