"""Matrices packed by C are those packed by the reference, bit by bit."""

from __future__ import annotations

import pytest
import torch
from kernel_comparison import compiled_versions
from torch import Tensor

from dgno.kernels import pointwise_c
from dgno.kernels.packing import pack
from dgno.kernels.packing_c import pack_c, pack_each

pytestmark = pytest.mark.skipif(not compiled_versions(pointwise_c), reason="the kernels were not compiled")

SHAPES = [(1, 1), (5, 70), (16, 32), (48, 65), (17, 129), (2, 21, 8), (9, 16, 16), (3, 33, 64)]
STRIDES = {
    "plain": lambda w: w,
    "transposed": lambda w: w.mT.contiguous().mT,
    "part of a larger one": lambda w: torch.cat([w, w, w], -1)[..., w.shape[-1] : 2 * w.shape[-1]],
}


@pytest.fixture(params=compiled_versions(pointwise_c))
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pointwise_c.CompiledKernel:
    monkeypatch.setattr(pointwise_c.load(), "version", request.param)
    return pointwise_c.load()


def weights(shape: tuple[int, ...]) -> Tensor:
    """Of all sizes, down to those whose parts are denormal; ties of the rounding, infinity and NaN among them."""
    random = torch.Generator().manual_seed(sum(shape))
    drawn = torch.randn(shape, generator=random) * 2.0 ** torch.randint(-130, 90, shape, generator=random)
    ties = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, torch.inf, -torch.inf, torch.nan, 0.0, 3.4e38])
    places = torch.randint(0, max(1, drawn.numel()), (min(drawn.numel(), 2 * len(ties)),), generator=random)
    drawn.view(-1)[places] = ties.repeat(2)[: len(places)]
    return drawn


def bits(packed: Tensor) -> Tensor:
    """Of numbers; NaN is NaN, whichever it is."""
    return torch.where(packed.isnan(), torch.nan, packed).view(torch.int16 if packed.itemsize == 2 else torch.int32)


@pytest.mark.parametrize("parts", [0, 1, 2])
@pytest.mark.parametrize("strides", STRIDES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_packed_matrices_are_those_of_the_reference(
    kernel: pointwise_c.CompiledKernel, shape: tuple[int, ...], strides: str, parts: int
) -> None:
    weight = STRIDES[strides](weights(shape))
    wanted, came = pack(weight, kernel.lanes(), parts), pack_c(kernel, weight, parts)
    assert (came.shape, came.dtype) == (wanted.shape, wanted.dtype)
    assert torch.equal(bits(came), bits(wanted))


@pytest.mark.parametrize("parts", [0, 2])
def test_matrices_are_packed_one_after_the_other(kernel: pointwise_c.CompiledKernel, parts: int) -> None:
    matrices = [weights(shape) for shape in ((5, 7), (2, 20, 40), (16, 33))]
    wanted = torch.cat([pack(matrix, kernel.lanes(), parts).flatten() for matrix in matrices])
    assert torch.equal(bits(pack_each(kernel, matrices, parts)), bits(wanted))
