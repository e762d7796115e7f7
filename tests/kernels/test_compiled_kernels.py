"""What holds for all compiled kernels: they refuse what they would misread, and threads change nothing."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from compiled_calls import CALLS, CORE_SHAPES, LIFT_SHAPES, scan_of
from kernel_comparison import assert_not_differentiated_twice, compiled_versions, values_and_gradients
from torch import Tensor

from dgno.kernels import depthwise_c, dg_operator_c, selective_scan_c

pytestmark = pytest.mark.skipif(not compiled_versions(selective_scan_c), reason="the kernels were not compiled")

DIFFERENTIABLE = [name for name in CALLS if name not in ("feed-forward", "attentive scan", "merge")]


def run(name: str, shapes: tuple[tuple[int, ...], ...] | None = None, dtype: torch.dtype = torch.float32) -> Any:
    """The call with other shapes or another dtype; without the shape annotations' own check, which only tests have."""
    function, own_shapes, rest = CALLS[name]
    return inspect.unwrap(function)(*(torch.rand(shape, dtype=dtype) for shape in shapes or own_shapes), *rest)


def wrong_shapes() -> Iterator[tuple[str, tuple[tuple[int, ...], ...]]]:
    """Every call with one axis of one of its tensors longer by one than it should be."""
    for name, (_, shapes, _) in CALLS.items():
        for i, shape in enumerate(shapes):
            for axis in range(len(shape)):
                longer = tuple(n + (a == axis) for a, n in enumerate(shape))
                yield name, (*shapes[:i], longer, *shapes[i + 1 :])


# A longer map is a legal one where only its own size decides.
LEGAL = {
    ("gelu gate", (3, 80, 9, 7)), ("gelu gate", (2, 80, 10, 7)), ("gelu gate", (2, 80, 9, 8)),
    ("sigmoid gate", (3, 40, 9, 7)), ("sigmoid gate", (2, 40, 10, 7)), ("sigmoid gate", (2, 40, 9, 8)),
    ("integrate", (3, 32, 12, 8)),
    ("convolution", (3, 20, 9, 7)), ("convolution", (2, 20, 10, 7)), ("convolution", (2, 20, 9, 8)),
    ("pointwise", (3, 150, 7)), ("pointwise", (2, 151, 7)),
    ("feed-forward", (3, 16, 9, 7)), ("feed-forward", (2, 16, 10, 7)), ("feed-forward", (2, 16, 9, 8)),
    ("attentive scan", (3, 16, 9, 7)), ("attentive scan", (2, 16, 10, 7)), ("attentive scan", (2, 16, 9, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name, shapes", [c for c in wrong_shapes() if (c[0], c[1][0]) not in LEGAL], ids=str)
def test_wrong_shapes_are_refused(name: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    """The C code believes what it is told, so tensors that do not fit together never reach it."""
    run(name)
    with pytest.raises(ValueError, match=r"wanted|fit|cut"):
        run(name, shapes)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.int32], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_other_dtypes_are_refused(name: str, dtype: torch.dtype) -> None:
    """The C code reads float32; other numbers are refused, not misread."""
    with pytest.raises((ValueError, TypeError), match="float32"):
        function, shapes, rest = CALLS[name]
        inspect.unwrap(function)(*(torch.ones(shape, dtype=dtype) for shape in shapes), *rest)


@pytest.mark.parametrize("name", CALLS)
def test_tensors_of_other_devices_are_refused(name: str) -> None:
    """The C code reads the machine's own memory; a tensor elsewhere has no address there."""
    with pytest.raises((ValueError, TypeError), match="CPU"):
        function, shapes, rest = CALLS[name]
        inspect.unwrap(function)(*(torch.ones(shape, device="meta") for shape in shapes), *rest)


def test_no_address_is_taken_of_tensors_elsewhere() -> None:
    """Whatever a kernel allocates for itself: what is not in the machine's memory does not become a pointer."""
    arguments = depthwise_c._Gate()
    arguments.point(x=torch.zeros(1, device="cpu"), bias=None)
    with pytest.raises(ValueError, match="out is on meta, wanted on the CPU"):
        arguments.point(out=torch.zeros(1, device="meta"))


def test_defaults_of_torch_change_nothing() -> None:
    """What a caller has set for new tensors, a dtype or a device, is not for those that C writes; in a process of its
    own, because memory of another size than C writes ends a process."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("other_defaults_child.py")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"ended at: {done.stdout.splitlines()[-1:]}\n{done.stderr}"


def test_sizes_that_are_not_compiled_are_refused() -> None:
    """More states than a register file holds, head widths without a version, fewer channels than a vector."""
    n = selective_scan_c.load().max_states + 1
    with pytest.raises(ValueError, match="states"):
        run("scan", ((1, 4, 3), (1, 4, 3), (3, n), (1, 4, n), (1, 4, n), (3,)))
    with pytest.raises(ValueError, match="heads of 5"):
        run("integrate", ((1, 20, 4, 4), (2, 2, 5), (2, 2, 5)))
    with pytest.raises(ValueError, match="heads of 5"):
        run("apply", ((1, 10, 4, 4), (1, 1, 1, 2, 5, 5)))
    few = depthwise_c.load().lanes() - 1
    with pytest.raises(ValueError, match="channels"):
        run("gelu gate", ((1, 2 * few, 4, 4), (2 * few, 1, 3, 3)))
    with pytest.raises(ValueError, match="channels"):
        run("sigmoid gate", ((1, few, 4, 4), (few, 1, 3, 3), (few,)))


@pytest.mark.parametrize("block", [0, -3, 4])
def test_blocks_that_are_none_are_refused(block: int) -> None:
    """A map of 9 x 6 px can be cut into blocks of 3 px, but not of -3."""
    tensors = [torch.rand(shape) for shape in ((2, 16, 9, 6), *LIFT_SHAPES, *CORE_SHAPES)]
    assert scan_of(*tensors, block=3).shape == (2, 16, 9, 6)
    with pytest.raises(ValueError, match=f"blocks of {block} px do not fit a map of 9 x 6 px"):
        scan_of(*tensors, block=block)


@pytest.mark.parametrize("name", ["attentive scan"])
def test_what_has_no_gradient_refuses_to_lose_one(name: str) -> None:
    """A tensor in training is refused, not cut off from its gradient without a word."""
    function, shapes, rest = CALLS[name]
    inputs = [torch.rand(shape, requires_grad=True) for shape in shapes]
    with pytest.raises(RuntimeError, match="gradient"):
        function(*inputs, *rest)
    with torch.no_grad():
        assert not function(*inputs, *rest).requires_grad


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_threads_change_nothing(name: str, set_threads: Callable[[int], None]) -> None:
    """Values and gradients are the same bits with 1, 2, 3 and 7 threads."""
    function, shapes, rest = CALLS[name]
    inputs = [torch.rand(shape, generator=torch.Generator().manual_seed(i)) for i, shape in enumerate(shapes)]

    def with_threads(n: int) -> list[Tensor]:
        set_threads(n)
        return values_and_gradients(lambda *tensors: function(*tensors, *rest), inputs)

    one = with_threads(1)
    for n in (2, 3, 7):
        assert all(torch.equal(a, b) for a, b in zip(with_threads(n), one, strict=True))


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, "feed-forward"])
def test_gradients_of_gradients_are_refused(name: str) -> None:
    """There is no second derivative, and asking for one says so instead of giving 0."""
    function, shapes, rest = CALLS[name]
    assert_not_differentiated_twice(lambda *tensors: function(*tensors, *rest), [torch.rand(s) for s in shapes])


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_inference_gives_what_training_gives(name: str) -> None:
    """Without gradients the same bits come out, and inputs are left as they were."""
    function, shapes, rest = CALLS[name]
    inputs = [torch.rand(shape) for shape in shapes]
    copies = [t.clone() for t in inputs]
    with torch.inference_mode():
        plain = function(*inputs, *rest)
    trained = values_and_gradients(lambda *tensors: function(*tensors, *rest), inputs)
    assert torch.equal(plain[0] if isinstance(plain, tuple) else plain, trained[0])
    assert all(torch.equal(t, c) for t, c in zip(inputs, copies, strict=True))


def test_every_version_has_a_name() -> None:
    """Version 0 is plain C; the best one is the last that this processor runs."""
    for module in (selective_scan_c, dg_operator_c, depthwise_c):
        names = []
        compiled = module.load()
        best = compiled.version
        try:
            for compiled.version in range(best + 1):
                names.append(compiled.version_name())
        finally:
            compiled.version = best
        assert names == ["plain", "avx2", "avx512"][: best + 1]
