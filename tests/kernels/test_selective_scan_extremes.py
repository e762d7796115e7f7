"""The selective scan at the ends of what float32 holds: results stay finite and right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kernel_comparison import assert_agree, assert_all_agree, values_and_gradients
from torch import Tensor

from dgno.kernels import selective_scan_c
from dgno.kernels.selective_scan import selective_scan_loop

Scan = Callable[..., Tensor]


def ones(b: int, length: int, d: int, n: int) -> dict[str, Tensor]:
    """Inputs of a scan, all 1 but A = -1 and D = 0."""
    tokens, states = torch.ones(b, length, d), torch.ones(b, length, n)
    return {"u": tokens, "delta": tokens, "A": -torch.ones(d, n), "B": states, "C": states, "D": torch.zeros(d)}


@pytest.mark.parametrize("step", [1e2, 1e3, 1e6, 1.5e7, 2e7, 1e10, 1e30, 1e38])
def test_a_huge_step_forgets_everything(fast_scan: Scan, step: float) -> None:
    """exp(-step) = 0: the state is what the token itself brings, so with B = 1 / step, y = u summed over states."""
    inputs = ones(1, 40, 17, 8)
    u = torch.linspace(-1, 1, 40)[:, None].expand(1, 40, 17)
    inputs |= {"u": u, "delta": inputs["delta"] * step, "B": inputs["B"] / step}
    assert_agree(fast_scan(**inputs), 8 * u)


@pytest.mark.parametrize("step", [1e3, 1.5e7, 1e10])
def test_a_huge_step_has_finite_gradients(fast_scan: Scan, step: float) -> None:
    """With exp(-step) = 0, all gradients are finite and those of the loop in float64."""
    inputs = ones(1, 40, 17, 8)
    inputs |= {"delta": inputs["delta"] * step, "B": inputs["B"] / step}
    results = values_and_gradients(fast_scan, list(inputs.values()))
    references = values_and_gradients(selective_scan_loop, list(inputs.values()), torch.float64)
    assert_all_agree(results, references)


def test_powers_of_two_are_exact_to_two_units_or_so(compiled_scan: Scan) -> None:
    """2^x is within 2.2 units in the last place over the normal numbers, 0 below float32, infinite above."""
    x = torch.cat([torch.linspace(-125.5, 127.4, 100_000), torch.zeros(1), torch.tensor([-160.0, -1e30, 200.0, 1e30])])
    x = torch.nn.functional.pad(x, (0, -x.numel() % 16))
    y = torch.empty_like(x)
    selective_scan_c.load().exponentials(x, y)
    exact = x[:100_000].double().exp2()
    spacing = torch.exp2(exact.log2().floor() - 23)
    assert ((y[:100_000] - exact).abs() / spacing).max() <= 2.2
    assert y[100_000:100_005].tolist() == [1.0, 0.0, 0.0, float("inf"), float("inf")]


def test_a_zero_step_keeps_the_state(fast_scan: Scan) -> None:
    """delta = 0 after the first token: the state stays as it is, and so does C . h."""
    inputs = ones(1, 100, 17, 8)
    inputs["delta"] = inputs["delta"].clone()
    inputs["delta"][:, 1:] = 0
    assert torch.equal(fast_scan(**inputs), torch.full((1, 100, 17), 8.0))


def test_steps_of_every_size_agree(fast_scan: Scan) -> None:
    """Steps from 1e-30 to 1e8, mixed in one sequence, give the loop's float64 result."""
    random = torch.Generator().manual_seed(0)
    u, delta, A, B, C, D = ones(2, 200, 17, 5).values()
    delta = 10 ** torch.empty_like(delta).uniform_(-30, 8, generator=random)
    u, A = torch.randn(u.shape, generator=random), A * torch.rand(A.shape, generator=random)
    inputs = (u / delta.clamp_min(1), delta, A, B, C, D)
    assert_agree(fast_scan(*inputs), selective_scan_loop(*(t.double() for t in inputs)))


def test_a_growing_state_agrees(fast_scan: Scan) -> None:
    """A > 0 (a growing state) gives the loop's result as long as that is finite."""
    inputs = ones(1, 60, 17, 8)
    inputs["A"] = -inputs["A"]
    assert_agree(fast_scan(**inputs), selective_scan_loop(*(t.double() for t in inputs.values())), 1e-4)


def test_denormal_numbers_survive(fast_scan: Scan) -> None:
    """Inputs below the smallest normal number give denormal results, not 0: nothing switched them off."""
    inputs = ones(1, 40, 17, 8)
    inputs["u"] = inputs["u"] * 1e-40
    y = fast_scan(**inputs)
    reference = selective_scan_loop(*(t.double() for t in inputs.values()))
    assert (y > 0).all()
    assert (y - reference).abs().max() < 1e-43  # a hundred steps of the denormal grid


def test_long_sequences_reach_the_limit_of_the_geometric_sum(fast_scan: Scan) -> None:
    """Constant input over 100,000 tokens: h_t = (1 - r^(t+1)) / (1 - r) with r = exp(-0.01), to 1e-4."""
    length = 100_000
    inputs = ones(1, length, 1, 1)
    inputs |= {"A": torch.full((1, 1), -0.01)}
    decay = torch.tensor(0.01, dtype=torch.float64)
    t = torch.arange(1, length + 1, dtype=torch.float64)
    expected = torch.expm1(-decay * t) / torch.expm1(-decay)
    assert_agree(fast_scan(**inputs), expected[None, :, None], 1e-4)


def test_nan_is_not_hidden(fast_scan: Scan) -> None:
    """A NaN in u or delta shows in every later token of its channel, and in no other channel."""
    for name in ("u", "delta"):
        inputs = ones(1, 40, 17, 8)
        inputs[name] = inputs[name].clone()
        inputs[name][0, 20, 3] = torch.nan
        y = fast_scan(**inputs)
        assert y[0, 20:, 3].isnan().all()
        assert y[:, :, [c for c in range(17) if c != 3]].isfinite().all()
