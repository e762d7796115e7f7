"""Triton's kernels: on the CPU by its interpreter, which `tests/conftest.py` switches on, and compiled for a GPU."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_comparison import (
    assert_agree,
    assert_all_agree,
    assert_not_differentiated_twice,
    random_tensors,
    scan_inputs,
    values_and_gradients,
)
from torch import Tensor

from dgno.kernels.dg_operator import apply, integrate
from dgno.kernels.selective_scan import selective_scan_loop

triton = pytest.importorskip("triton")

from dgno.kernels import selective_scan_triton as selective_scan_triton_module  # noqa: E402 - after the skip
from dgno.kernels import triton_runtime  # noqa: E402
from dgno.kernels.dg_operator_triton import apply_triton, integrate_triton  # noqa: E402
from dgno.kernels.selective_scan_triton import selective_scan_triton  # noqa: E402

# The interpreter is slow: sizes are the smallest that have all cases.
# (b, l, d, n): one and two chunks (of 32 tokens); less and more than a segment of 8 tokens; powers of two and others
SCANS = [(1, 1, 1, 1), (2, 7, 16, 8), (1, 33, 70, 5)]
# channels of a head, height and width of an element, sides: one and more tiles of 16 tokens; powers of two and others
ELEMENTS = [(3, (8, 8), False), (3, (4, 5), True), (4, (2, 5), True), (5, (1, 3), True), (12, (3, 6), False)]
BFLOAT16 = 2**-7  # of the largest value: one step, since the interpreter cuts off where a GPU rounds
GRID = {"batch": 2, "rows": 1, "columns": 2, "heads": 3}


def integrate_inputs(d: int, element: tuple[int, int]) -> list[Tensor]:
    (b, rows, columns, heads), (ph, pw) = GRID.values(), element
    kv, *norms = random_tensors((b, 2 * heads * d, rows * ph, columns * pw), (2, heads, d), (2, heads, d))
    return [3 * kv + 1, *norms]


def apply_inputs(d: int, element: tuple[int, int]) -> list[Tensor]:
    (b, rows, columns, heads), (ph, pw) = GRID.values(), element
    return random_tensors((b, heads * d, rows * ph, columns * pw), (b, rows, columns, heads, d, d))


def test_kernels_are_interpreted() -> None:
    """Otherwise nothing here would run without a GPU; Triton decides when the kernels are imported."""
    assert triton_runtime.INTERPRETED or torch.cuda.is_available()
    assert triton_runtime.why_not("cpu" if triton_runtime.INTERPRETED else "cuda") == ""


@pytest.mark.parametrize("shape", SCANS, ids=str)
def test_the_scan_is_that_of_the_loop(shape: tuple[int, ...]) -> None:
    """S1: what the loop gives in float64, values and all six gradients, at odd sizes."""
    inputs = scan_inputs(*shape)
    results, references = (
        values_and_gradients(scan, inputs, dtype)
        for scan, dtype in [(selective_scan_triton, torch.float32), (selective_scan_loop, torch.float64)]
    )
    assert_all_agree(results, references)


def test_the_size_of_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """S1: many chunks, more than are read at a time, give the loop's result."""
    monkeypatch.setattr(selective_scan_triton_module, "SHORTEST", 8)
    inputs = scan_inputs(1, 67, 3, 2)
    references = values_and_gradients(selective_scan_loop, inputs, torch.float64)
    assert_all_agree(values_and_gradients(selective_scan_triton, inputs), references)


def test_the_order_of_a_scan_is_a_gather_and_a_scatter() -> None:
    """Rows found by `order` give what sorted rows give, put back: values and all six gradients."""
    inputs = scan_inputs(2, 17, 5, 3)
    order = torch.randperm(34, generator=torch.Generator().manual_seed(0))

    def ordered(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        return selective_scan_triton(u, delta, A, B, C, D, order)

    def gathered(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        def of(t: Tensor) -> Tensor:
            return t.flatten(0, 1)[order].unflatten(0, (2, 17))

        y = selective_scan_loop(of(u), of(delta), A, of(B), of(C), D).flatten(0, 1)
        return torch.zeros_like(y).index_copy(0, order, y).unflatten(0, (2, 17))

    assert_all_agree(values_and_gradients(ordered, inputs), values_and_gradients(gathered, inputs, torch.float64))


def test_a_scan_of_half_numbers_has_whole_states() -> None:
    """bfloat16 inputs give bfloat16 results and gradients, as near as these can be: sums are float32."""
    inputs = [t.bfloat16() if t.ndim == 3 else t for t in scan_inputs(1, 33, 6, 4)]
    leaves = [t.detach().requires_grad_() for t in inputs]
    y = selective_scan_triton(*leaves)
    gradients = torch.autograd.grad(y.float().sum(), leaves)
    exact = [t.detach().double().requires_grad_() for t in inputs]
    reference = selective_scan_loop(*exact)
    assert [t.dtype for t in (y, *gradients)] == [torch.bfloat16, *(t.dtype for t in inputs)]
    assert_all_agree([y, *gradients], [reference, *torch.autograd.grad(reference.sum(), exact)], BFLOAT16)


@pytest.mark.parametrize("step", [1e2, 1e38])
def test_a_huge_step_forgets_everything(step: float) -> None:
    """exp(-step) = 0 across chunks too: with B = 1 / step, y = u summed over states, and no NaN."""
    u, ones = torch.linspace(-1, 1, 40)[None, :, None].expand(1, 40, 3), torch.ones(1, 40, 2)
    y = selective_scan_triton(u, torch.full_like(u, step), -torch.ones(3, 2), ones / step, ones, torch.zeros(3))
    assert_agree(y, 2 * u)


@pytest.mark.parametrize("t", [31, 32])
def test_the_scan_is_causal(t: int) -> None:
    """S3: a change of token t changes y from t on, and nothing before, not in one bit."""
    u, *others = scan_inputs(1, 36, 3, 2)
    changed = u.clone()
    changed[:, t] += 1
    before, after = selective_scan_triton(u, *others), selective_scan_triton(changed, *others)
    assert torch.equal(before[:, :t], after[:, :t])
    assert (before[:, t] != after[:, t]).all()


def test_sequences_are_independent() -> None:
    """A sequence gives bit by bit the same alone and among others."""
    u, delta, A, B, C, D = scan_inputs(2, 33, 3, 2)
    together = selective_scan_triton(u, delta, A, B, C, D)
    assert torch.equal(selective_scan_triton(u[1:], delta[1:], A, B[1:], C[1:], D), together[1:])


@pytest.mark.parametrize("d, element, sides", ELEMENTS, ids=str)
def test_integrals_are_the_plain_ones(d: int, element: tuple[int, int], sides: bool) -> None:
    """O16: values, and gradients at keys, values and norms."""
    inputs = integrate_inputs(d, element)
    results = values_and_gradients(partial(integrate_triton, size=element, sides=sides), inputs)
    references = values_and_gradients(partial(integrate, size=element, sides=sides), inputs, torch.float64)
    assert_all_agree(results, references)


@pytest.mark.parametrize("d, element", [(3, (8, 8)), (5, (1, 3)), (16, (3, 6))], ids=str)
def test_application_is_the_plain_one(d: int, element: tuple[int, int]) -> None:
    """O16: q K and its gradients at q and K."""
    inputs = apply_inputs(d, element)
    assert_all_agree(values_and_gradients(apply_triton, inputs), values_and_gradients(apply, inputs, torch.float64))


def test_what_it_is_applied_onto_is_added() -> None:
    """q K + z in one pass, z in any layout and dtype, as plain code has them; z gets the result's gradient."""
    inputs = [*apply_inputs(3, (2, 5)), *random_tensors((2, 9, 2, 10))]
    references = values_and_gradients(apply, inputs, torch.float64)
    assert_all_agree(values_and_gradients(apply_triton, inputs), references)
    inputs[2] = inputs[2].contiguous(memory_format=torch.channels_last)
    assert_all_agree(values_and_gradients(apply_triton, inputs), references)
    q, operators, z = inputs
    assert apply_triton(q.bfloat16(), operators, z).dtype == torch.float32
    assert apply_triton(q.bfloat16(), operators, z.bfloat16()).dtype == torch.bfloat16


def test_equal_channels_have_no_infinite_gradient() -> None:
    """A token whose channels are all equal has deviation 0: value and gradient are finite, and the reference's."""
    kv, *norms = integrate_inputs(4, (2, 5))
    kv[:, :, 0, 0] = 2.0
    results = values_and_gradients(partial(integrate_triton, size=(2, 5), sides=True), [kv, *norms])
    references = values_and_gradients(partial(integrate, size=(2, 5), sides=True), [kv, *norms], torch.float64)
    assert results[2][:, :, 0, 0].abs().max() > 1e3  # the slope there is weight / 1e-5
    assert_all_agree(results, references)


def test_operators_of_half_numbers_are_whole() -> None:
    """Maps of bfloat16 give operators of float32, exact to its rounding; applied they give bfloat16 again."""
    kv, *norms = integrate_inputs(3, (4, 4))
    volume, sides = integrate_triton(kv.bfloat16(), *norms, (4, 4), True)
    reference, side_references = integrate(kv.bfloat16().double(), *(t.double() for t in norms), (4, 4), True)
    assert sides is not None
    assert side_references is not None
    assert (volume.dtype, sides.dtype) == (torch.float32, torch.float32)
    assert_all_agree([volume, sides], [reference, side_references])
    q = apply_inputs(3, (4, 4))[0].bfloat16()
    out = apply_triton(q, volume)
    assert out.dtype == torch.bfloat16
    assert_agree(out, apply(q.double(), reference), BFLOAT16)


def test_memory_layout_does_not_matter() -> None:
    """Channels-last, contiguous and strided tensors give bit by bit the same."""
    kv, *norms = integrate_inputs(3, (2, 5))
    q, operators = apply_inputs(3, (2, 5))
    volume, out = integrate_triton(kv, *norms, (2, 5), False)[0], apply_triton(q, operators)
    for layout in (lambda t: t.contiguous(memory_format=torch.channels_last), lambda t: t.mT.contiguous().mT):
        assert torch.equal(integrate_triton(layout(kv), *norms, (2, 5), False)[0], volume)
        assert torch.equal(apply_triton(layout(q), operators.mT.contiguous().mT), out)
    u, delta, A, B, C, D = inputs = scan_inputs(1, 20, 5, 4)
    views = (u.mT.contiguous().mT, delta.mT.contiguous().mT, A.T.contiguous().T, *torch.cat([B, C], -1).split(4, -1), D)
    assert torch.equal(selective_scan_triton(*views), selective_scan_triton(*inputs))


CALLS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...], tuple[Any, ...]]] = {
    "scan": (selective_scan_triton, ((2, 9, 3), (2, 9, 3), (3, 2), (2, 9, 2), (2, 9, 2), (3,)), ()),
    "integrate": (integrate_triton, ((1, 12, 4, 4), (2, 2, 3), (2, 2, 3)), ((4, 2), True)),
    "apply": (apply_triton, ((1, 6, 4, 4), (1, 2, 2, 2, 3, 3), (1, 6, 4, 4)), ()),
}


def call(name: str, make: Callable[..., Tensor] = torch.rand, longer: int | None = None, **how: Any) -> Any:
    """The call without the annotations' own check; the last axis of tensor number `longer` is too long by one."""
    function, shapes, rest = CALLS[name]
    shapes = tuple((*s[:-1], s[-1] + (i == longer)) for i, s in enumerate(shapes))
    return inspect.unwrap(function)(*(make(shape, **how) for shape in shapes), *rest)


@pytest.mark.parametrize("name, longer", [(n, i) for n, c in CALLS.items() for i in range(1, len(c[1]))], ids=str)
def test_wrong_shapes_are_refused(name: str, longer: int) -> None:
    """Programs believe what they are told, so tensors that do not fit together never reach them."""
    with pytest.raises(ValueError, match=r"wanted|fit|cut"):
        call(name, longer=longer)


@pytest.mark.parametrize("name", CALLS)
def test_what_cannot_be_read_is_refused(name: str) -> None:
    """Other dtypes and devices; the message says what is wanted."""
    with pytest.raises(ValueError, match="float64 on cpu, wanted float32"):
        call(name, dtype=torch.float64)
    with pytest.raises(ValueError, match="on meta, wanted float32, bfloat16 or float16 on"):
        call(name, torch.empty, device="meta")


@pytest.mark.parametrize("name", CALLS)
def test_gradients_of_gradients_are_refused(name: str) -> None:
    """There is no second derivative, and asking for one says so instead of giving 0."""
    function, shapes, rest = CALLS[name]
    assert_not_differentiated_twice(lambda *tensors: function(*tensors, *rest), [torch.rand(s) for s in shapes])


@pytest.mark.parametrize("shape", [(0, 5, 3, 4), (2, 0, 3, 4)], ids=["no sequence", "no token"])
def test_nothing_in_gives_nothing_out(shape: tuple[int, ...]) -> None:
    """No sequences, or sequences without tokens: an empty result, and gradients that are 0."""
    y, *gradients = values_and_gradients(selective_scan_triton, scan_inputs(*shape))
    assert y.shape == shape[:3]
    assert all((g == 0).all() for g in gradients)


def test_all_programs_compile_for_a_gpu() -> None:
    """What a compiler refuses and the interpreter does not; in a process of its own, in which Triton compiles."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("triton_compiling_child.py")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {
        "chunk_states", "carried_states", "outputs", "prepare_gradients", "gradients",
        "contract", "apply", "integrate_backward",
    }  # fmt: skip
