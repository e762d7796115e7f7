"""What the tests of the kernels share: inputs, when results agree, and how they and their gradients are got."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-5  # of the largest value


def random_tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    """Standard normal numbers, the same for the same shapes."""
    random = torch.Generator().manual_seed(sum(map(sum, shapes)))
    return [torch.randn(shape, generator=random) for shape in shapes]


def scan_inputs(b: int, length: int, d: int, n: int) -> tuple[Tensor, ...]:
    """u, delta, A, B, C, D as they are in a network: steps positive, A from -8 to 0."""
    random = torch.Generator().manual_seed(length * 1000 + d)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    delta = torch.nn.functional.softplus(normal(b, length, d) - 1)
    A = -8 * torch.rand(d, n, generator=random)
    return normal(b, length, d), delta, A, normal(b, length, n), normal(b, length, n), normal(d)


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


def compiled_versions(module: ModuleType) -> list[int]:
    """The instruction-set versions of a compiled kernel that this machine runs; none where it was not compiled."""
    try:
        return list(range(module.load().version + 1))
    except OSError:
        return []
