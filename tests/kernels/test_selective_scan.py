"""Laws of the selective scan: S1 (all versions agree), S2 (a cumulative sum without decay), S3 (causal)."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from kernel_comparison import assert_agree, assert_all_agree, scan_inputs, values_and_gradients
from torch import Tensor

from dgno.kernels.selective_scan import selective_scan_chunked, selective_scan_loop

Scan = Callable[..., Tensor]

# (b, l, d, n): around the segments (32 tokens), vectors (4, 8, 16 channels), chunks (64 channels) and the two numbers
# of states (8, 16) for which the compiled scan has code of its own
SHAPES = [
    (1, 1, 1, 1),
    (1, 2, 3, 5),
    (3, 7, 16, 8),
    (1, 31, 17, 16),
    (3, 32, 70, 8),
    (1, 33, 129, 64),
    (1, 1000, 3, 16),
    (2, 65, 33, 1),
    (1, 100, 64, 8),
    (1, 1, 129, 8),
    (3, 2, 70, 64),
]


@functools.cache
def reference(b: int, length: int, d: int, n: int) -> list[Tensor]:
    return values_and_gradients(selective_scan_loop, scan_inputs(b, length, d, n), torch.float64)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_those_of_the_loop(fast_scan: Scan, shape: tuple[int, ...]) -> None:
    """S1: every version gives what the loop gives in float64, values and all six gradients, at odd sizes."""
    assert_all_agree(values_and_gradients(fast_scan, scan_inputs(*shape)), reference(*shape))


@pytest.mark.parametrize("chunk", [1, 2, 5, 31, 33, 100])
def test_the_size_of_chunks_changes_nothing(chunk: int) -> None:
    """S1: chunks of one token, of odd sizes, and longer than the sequence give the loop's result."""
    inputs = scan_inputs(1, 33, 129, 64)
    result = values_and_gradients(lambda *tensors: selective_scan_chunked(*tensors, chunk=chunk), inputs)
    assert_all_agree(result, reference(1, 33, 129, 64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_the_plain_versions_keep_the_dtype(dtype: torch.dtype) -> None:
    """The loop and the chunked scan compute in the dtype they are given, float64 to 1e-12."""
    inputs = [t.to(dtype) for t in scan_inputs(1, 33, 5, 4)]
    loop, chunked = selective_scan_loop(*inputs), selective_scan_chunked(*inputs)
    assert loop.dtype == chunked.dtype == dtype
    assert_agree(chunked, loop, {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.1}[dtype])


@pytest.mark.parametrize("decay", [0.0, -1e-12])
def test_without_decay_it_is_a_cumulative_sum(fast_scan: Scan, decay: float) -> None:
    """S2: with A -> 0 and D = 0, y_t = C_t . (sum over s <= t of delta_s B_s u_s)."""
    u, delta, A, B, C, D = scan_inputs(2, 100, 17, 8)
    y = fast_scan(u, delta, torch.full_like(A, decay), B, C, torch.zeros_like(D))
    states = (delta.double() * u)[..., None] * B.double()[:, :, None, :]
    assert_agree(y, (states.cumsum(1) * C[:, :, None, :]).sum(-1))


def test_without_input_projection_it_is_the_direct_path(fast_scan: Scan) -> None:
    """B = 0 or C = 0 leaves y = D u."""
    u, delta, A, B, C, D = scan_inputs(1, 33, 17, 8)
    assert_agree(fast_scan(u, delta, A, torch.zeros_like(B), C, D), D * u)
    assert_agree(fast_scan(u, delta, A, B, torch.zeros_like(C), D), D * u)


@pytest.mark.parametrize("t", [0, 1, 31, 32, 50, 63])
def test_it_is_causal(fast_scan: Scan, t: int) -> None:
    """S3: a change of token t changes y from t on, and nothing before, not in one bit."""
    u, delta, A, B, C, D = scan_inputs(1, 64, 17, 8)
    changed = u.clone()
    changed[:, t] += 1
    before, after = fast_scan(u, delta, A, B, C, D), fast_scan(changed, delta, A, B, C, D)
    assert torch.equal(before[:, :t], after[:, :t])
    assert (before[:, t] != after[:, t]).all()


def test_sequences_are_independent(fast_scan: Scan) -> None:
    """A sequence gives bit by bit the same alone and among others."""
    inputs = scan_inputs(3, 33, 17, 8)
    together = fast_scan(*inputs)
    for i in range(3):
        alone = fast_scan(*(t[i : i + 1] if t.ndim == 3 else t for t in inputs))
        assert torch.equal(alone[0], together[i])


def test_it_is_linear_in_u(fast_scan: Scan) -> None:
    """scan(2 u + v) = 2 scan(u) + scan(v) for given steps and projections."""
    u, *rest = scan_inputs(1, 65, 17, 8)
    v = u.flip(1)
    assert_agree(fast_scan(2 * u + v, *rest), 2 * fast_scan(u, *rest) + fast_scan(v, *rest))


def test_memory_layout_does_not_matter(fast_scan: Scan) -> None:
    """Views that are not contiguous (parts of one projection, transposed tensors) give bit by bit the same."""
    inputs = scan_inputs(2, 33, 17, 8)
    u, delta, A, B, C, D = inputs
    parts = torch.cat([B, C], -1).split(8, -1)
    views = (u.mT.contiguous().mT, delta.mT.contiguous().mT, A.T.contiguous().T, *parts, D)
    results, plain = values_and_gradients(fast_scan, views), values_and_gradients(fast_scan, inputs)
    assert all(torch.equal(a, b) for a, b in zip(results, plain, strict=True))


@pytest.mark.parametrize("shape", [(0, 5, 3, 4), (2, 0, 3, 4)], ids=["no sequence", "no token"])
def test_nothing_in_gives_nothing_out(fast_scan: Scan, shape: tuple[int, ...]) -> None:
    """No sequences, or sequences without tokens: an empty result."""
    assert fast_scan(*scan_inputs(*shape)).shape == shape[:3]
