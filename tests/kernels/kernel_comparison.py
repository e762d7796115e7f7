"""What the tests of the kernels share: inputs, when results agree, and how they and their gradients are got."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from dgno.kernels.attentive_core import CoreWeights
from dgno.kernels.attentive_lift import LiftWeights
from dgno.kernels.attentive_scan import AttentiveWeights
from dgno.kernels.dg_layer import LayerWeights

TOLERANCE = 1e-5  # of the largest value


def random_tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    """Standard normal numbers, the same for the same shapes."""
    random = torch.Generator().manual_seed(sum(map(sum, shapes)))
    return [torch.randn(shape, generator=random) for shape in shapes]


def normal_numbers(random: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    """Of mean 0 and standard deviation `scale`."""
    return scale * torch.randn(*shape, generator=random)


def matrix(random: torch.Generator, outputs: int, inputs: int) -> Tensor:
    """A linear map that keeps the size of random numbers."""
    return normal_numbers(random, outputs, inputs, scale=inputs**-0.5)


def scan_inputs(b: int, length: int, d: int, n: int) -> tuple[Tensor, ...]:
    """u, delta, A, B, C, D as they are in a network: steps positive, A from -8 to 0."""
    random = torch.Generator().manual_seed(length * 1000 + d)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    delta = torch.nn.functional.softplus(normal(b, length, d) - 1)
    A = -8 * torch.rand(d, n, generator=random)
    return normal(b, length, d), delta, A, normal(b, length, n), normal(b, length, n), normal(d)


def feed_forward_inputs(b: int, c: int, h: int, w: int, hidden: int) -> list[Tensor]:
    """Map, norm and weights, with activations of both signs from about 0 to 10."""
    normal = partial(normal_numbers, torch.Generator().manual_seed(c * h * w))
    return [
        *(normal(b, c, h, w) + 3, 1 + normal(c, scale=0.1), normal(c)),
        *(normal(2 * hidden, c, scale=2 * c**-0.5), normal(2 * hidden, 1, 3, 3, scale=0.5)),
        normal(c, hidden, scale=hidden**-0.5),
    ]


def core_weights(c: int, random: torch.Generator) -> CoreWeights:
    """Those of the attentive scan's second half, of the usual sizes; step sizes are from about 0.01 to 1."""
    normal, hidden, rank = partial(normal_numbers, random), 2 * c, -(-2 * c // 16)
    return CoreWeights(
        *(matrix(random, rank + 16, hidden), matrix(random, hidden, rank), normal(hidden) - 3, normal(hidden, 8)),
        *(normal(hidden), 1 + normal(hidden, scale=0.1), normal(hidden, scale=0.1)),
        *(matrix(random, c, hidden), normal(c)),
    )


def attentive_weights(c: int, random: torch.Generator) -> AttentiveWeights:
    """Parameters of the usual sizes; several classes are taken."""
    normal = partial(normal_numbers, random)
    lift = LiftWeights(
        *(1 + normal(c, scale=0.1), normal(c, scale=0.1), matrix(random, c // 3, c), normal(c // 3)),
        *(matrix(random, 64, c // 3), normal(64, scale=0.1), normal(64, 8), matrix(random, 2 * c, c)),
        *(normal(2 * c), normal(2 * c, 1, 3, 3, scale=0.3), normal(2 * c)),
    )
    return AttentiveWeights(lift, core_weights(c, random))


def layer_inputs(b: int, c: int, heads: int, h: int, w: int) -> tuple[Tensor, LayerWeights]:
    """Map and weights of an operator layer."""
    normal = partial(normal_numbers, torch.Generator().manual_seed(c * h * w))
    d = c // heads
    weights = LayerWeights(
        *(normal(3 * c, c, scale=c**-0.5), normal(3 * c), normal(2, heads, d), normal(2, heads, d)),
        *(normal(c, c, scale=c**-0.5), normal(c), normal(c, c, scale=c**-0.5), normal(c)),
    )
    return normal(b, c, h, w), weights


def assert_agree(result: Tensor, reference: Tensor, tolerance: float = TOLERANCE) -> None:
    """The two differ nowhere by more than `tolerance` times the largest value of the reference."""
    assert result.shape == reference.shape
    assert result.isfinite().all()
    if reference.numel():
        difference = (result.double() - reference.double()).abs().max()
        assert difference <= tolerance * reference.double().abs().max(), f"differ by {difference:.2e}"


def assert_all_agree(results: Sequence[Tensor], references: Sequence[Tensor], tolerance: float = TOLERANCE) -> None:
    """Value by value, gradient by gradient."""
    for result, reference in zip(results, references, strict=True):
        assert_agree(result, reference, tolerance)


def values_and_gradients(
    function: Callable[..., Any], inputs: Sequence[Tensor], dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """The results of `function`, computed in `dtype`, and the gradients of their random projection at all inputs."""
    tensors = [x.detach().to(dtype, copy=True).requires_grad_() for x in inputs]
    returned = function(*tensors)
    results = [r for r in (returned if isinstance(returned, tuple) else (returned,)) if r is not None]
    random = torch.Generator().manual_seed(1)
    probes = [torch.randn(r.shape, generator=random).to(dtype) for r in results]
    return [*(r.detach() for r in results), *torch.autograd.grad(results, tensors, probes)]


def assert_not_differentiated_twice(function: Callable[..., Any], inputs: Sequence[Tensor]) -> None:
    """A gradient of a gradient is refused at every input, though it is reached past the kernel too, and with a loss
    that is linear in the result; where it is not refused, the gradient does not depend on the input.
    """
    leaves = [t.detach().clone().requires_grad_() for t in inputs]

    def gradients(tensors: Sequence[Tensor], *, twice: bool = False) -> list[Tensor]:
        returned = function(*tensors)
        results = [r for r in (returned if isinstance(returned, tuple) else (returned,)) if r is not None]
        loss = sum(r.sum() for r in results if r.requires_grad) + sum(t.square().sum() for t in tensors)
        return list(torch.autograd.grad(loss, tensors, create_graph=twice))

    refused, firsts = 0, gradients(leaves, twice=True)
    for i, first in enumerate(firsts):
        for j, leaf in enumerate(leaves):
            try:
                torch.autograd.grad(first.sum(), leaf, retain_graph=True, materialize_grads=True)
            except RuntimeError as error:
                assert "differentiated twice" in str(error)
                assert "without_compiled" in str(error)
                refused += 1
                continue
            moved = [t + 0.5 if k == j else t for k, t in enumerate(leaves)]
            assert_agree(gradients(moved)[i] - int(i == j), first.detach())
    assert refused


def compiled_versions(module: ModuleType) -> list[int]:
    """The instruction-set versions of a compiled kernel that this machine runs; none where it was not compiled. Old
    libraries beside new sources are an error: nothing would be tested."""
    try:
        return list(range(module.load().version + 1))
    except OSError as error:
        if "other sources" in str(error):
            raise
        return []
