"""Permuting tokens: the gradient of a permutation is its inverse."""

from __future__ import annotations

import pytest
import torch

from dgno.kernels.reorder import inverse_permutation, reorder


@pytest.mark.parametrize("length", [0, 1, 2, 100])
def test_the_inverse_undoes(length: int) -> None:
    """A permutation followed by its inverse, either way round, is the identity."""
    random = torch.Generator().manual_seed(length)
    order = torch.randperm(length, generator=random)
    inverse = inverse_permutation(order)
    rows = torch.randn(length, 3, generator=random)
    assert torch.equal(reorder(reorder(rows, order, inverse), inverse, order), rows)
    assert torch.equal(reorder(reorder(rows, inverse, order), order, inverse), rows)


def test_rows_come_from_where_the_order_says() -> None:
    """Row i of the result is row order[i]."""
    order = torch.tensor([2, 0, 1])
    assert torch.equal(reorder(torch.eye(3), order, inverse_permutation(order)), torch.eye(3)[order])


def test_the_gradient_is_the_inverse_permutation() -> None:
    """The gradient is autograd's for indexing, in other words the gradient of the result in the inverse order."""
    random = torch.Generator().manual_seed(0)
    order = torch.randperm(20, generator=random)
    rows = torch.randn(20, 3, generator=random, requires_grad=True)
    gradient = torch.randn(20, 3, generator=random)
    (ours,) = torch.autograd.grad(reorder(rows, order, inverse_permutation(order)), rows, gradient)
    (plain,) = torch.autograd.grad(rows[order], rows, gradient)
    assert torch.equal(ours, plain)
    assert torch.equal(ours, gradient[inverse_permutation(order)])
    assert not torch.equal(ours, gradient[order])


def test_the_gradient_of_a_view_is_taken_too() -> None:
    """A gradient that is not contiguous (an expanded scalar) is permuted like any other."""
    rows = torch.randn(20, 3, requires_grad=True)
    order = torch.randperm(20)
    (gradient,) = torch.autograd.grad(reorder(rows, order, inverse_permutation(order)).sum(), rows)
    assert torch.equal(gradient, torch.ones(20, 3))


def test_it_is_differentiable_twice() -> None:
    """The gradient of a gradient of anything behind it is autograd's for indexing."""
    rows, order = torch.randn(20, 3, dtype=torch.float64, requires_grad=True), torch.randperm(20)
    inverse = inverse_permutation(order)
    assert torch.autograd.gradgradcheck(lambda r: reorder(r, order, inverse).pow(3), (rows,))
