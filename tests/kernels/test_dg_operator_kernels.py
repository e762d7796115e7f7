"""The products of the DG operator: the plain version is what the equations say, the compiled one is the plain one."""

from __future__ import annotations

import functools
from functools import partial

import pytest
import torch
from kernel_comparison import assert_agree, assert_all_agree, random_tensors, values_and_gradients
from torch import Tensor

from dgno.kernels.dg_operator import apply, integrate, join, normalise, split
from dgno.kernels.dg_operator_c import CompiledOperator, apply_c, integrate_c

WIDTHS = [3, 4, 6, 8, 12, 16]  # channels of a head for which the library is compiled
ELEMENTS = [(8, 8), (2, 5), (1, 3), (3, 1), (1, 1)]  # height, width
LAYOUT = {"batch": 2, "rows": 3, "columns": 2, "heads": 2}


def integrate_inputs(d: int, element: tuple[int, int]) -> list[Tensor]:
    """Keys and values, and the weights and biases of their norms, away from 1 and 0."""
    (b, rows, columns, heads), (ph, pw) = LAYOUT.values(), element
    kv, key_norm, value_norm = random_tensors((b, 2 * heads * d, rows * ph, columns * pw), (2, heads, d), (2, heads, d))
    return [3 * kv + 1, key_norm, value_norm]


def apply_inputs(d: int, element: tuple[int, int]) -> list[Tensor]:
    (b, rows, columns, heads), (ph, pw) = LAYOUT.values(), element
    return random_tensors((b, heads * d, rows * ph, columns * pw), (b, rows, columns, heads, d, d))


@functools.cache
def integrate_reference(d: int, element: tuple[int, int], sides: bool) -> list[Tensor]:
    function = partial(integrate, size=element, sides=sides)
    return values_and_gradients(function, integrate_inputs(d, element), torch.float64)


@functools.cache
def apply_reference(d: int, element: tuple[int, int]) -> list[Tensor]:
    return values_and_gradients(apply, apply_inputs(d, element), torch.float64)


def test_elements_split_and_join_back() -> None:
    """join is the inverse of split; tokens run in raster order, heads own neighbouring channels."""
    x = torch.arange(2 * 6 * 4 * 9.0).reshape(2, 6, 4, 9)
    tokens = split(x, (2, 3), heads=2)
    assert tokens.shape == (2, 2, 3, 2, 2, 3, 3)
    assert torch.equal(tokens[1, 1, 2, 1, 0, 1], x[1, 3:6, 2, 7])
    assert torch.equal(join(tokens), x)


def test_normalisation_is_that_of_the_unbiased_deviation() -> None:
    """w (t - mean) / (std + 1e-5) + b, with torch's own unbiased std."""
    (t,) = random_tensors((1, 1, 1, 2, 3, 4, 5))
    weight, bias = random_tensors((2, 5), (2, 5))
    expected = weight[:, None, None] * (t - t.mean(-1, keepdim=True)) / (t.std(-1, keepdim=True) + 1e-5)
    assert_agree(normalise(t, torch.stack([weight, bias])), expected + bias[:, None, None], 1e-6)


def test_the_integral_is_the_sum_over_tokens() -> None:
    """K[i, j] = sum over the tokens of k_i v_j / (ph pw); over a side, the sum over its tokens / their number."""
    kv, key_norm, value_norm = (t.double() for t in integrate_inputs(3, (2, 5)))
    volume, sides = integrate(kv, key_norm, value_norm, (2, 5), sides=True)
    k, v = (split(t, (2, 5), heads=2) for t in kv.chunk(2, 1))
    k, v = normalise(k, key_norm)[1, 2, 0, 1], normalise(v, value_norm)[1, 2, 0, 1]  # one element and head: (2, 5, 3)
    terms = torch.einsum("yxi,yxj->yxij", k, v)
    assert sides is not None
    for got, expected in [
        (volume, terms.sum((0, 1)) / 10),
        (sides[0], terms[:, 0].sum(0) / 2),
        (sides[1], terms[:, -1].sum(0) / 2),
        (sides[2], terms[0].sum(0) / 5),
        (sides[3], terms[-1].sum(0) / 5),
    ]:
        assert_agree(got[1, 2, 0, 1], expected, 1e-12)


def test_applying_is_a_product_at_every_token() -> None:
    """out_j = sum over i of q_i K[i, j], K the operator of the token's element and head."""
    q, operators = (t.double() for t in apply_inputs(3, (2, 5)))
    out = apply(q, operators)
    assert_agree(out[1, 3:6, 4, 7], q[1, 3:6, 4, 7] @ operators[1, 2, 1, 1], 1e-12)  # row 4 is in element row 2


@pytest.mark.parametrize("sides", [False, True], ids=["volume", "sides"])
@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("d", WIDTHS)
def test_compiled_integrals_are_the_plain_ones(
    compiled_operator: CompiledOperator, d: int, element: tuple[int, int], sides: bool
) -> None:
    """O16: values, and gradients at keys, values and norms, over head widths and elements that are not square."""
    function = partial(integrate_c, size=element, sides=sides)
    results = values_and_gradients(function, integrate_inputs(d, element))
    assert_all_agree(results, integrate_reference(d, element, sides))


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("d", WIDTHS)
def test_compiled_application_is_the_plain_one(
    compiled_operator: CompiledOperator, d: int, element: tuple[int, int]
) -> None:
    """O16: q K and its gradients at q and K."""
    assert_all_agree(values_and_gradients(apply_c, apply_inputs(d, element)), apply_reference(d, element))


@pytest.mark.parametrize("heads", [1, 3, 4, 5, 8, 16, 19])
@pytest.mark.parametrize("d", WIDTHS)
def test_any_number_of_heads(compiled_operator: CompiledOperator, d: int, heads: int) -> None:
    """O16: fewer heads than a vector takes, whole vectors of them, and one or more besides; values and gradients."""
    kv, key_norm, value_norm, q, operators = random_tensors(
        (1, 2 * heads * d, 4, 11), (2, heads, d), (2, heads, d), (1, heads * d, 4, 11), (1, 2, 1, heads, d, d)
    )
    for function, fast, inputs in [
        (
            partial(integrate, size=(2, 11), sides=True),
            partial(integrate_c, size=(2, 11), sides=True),
            [kv, key_norm, value_norm],
        ),
        (apply, apply_c, [q, operators]),
    ]:
        assert_all_agree(values_and_gradients(fast, inputs), values_and_gradients(function, inputs, torch.float64))


@pytest.mark.parametrize("d", WIDTHS)
def test_what_it_is_applied_onto_is_added(compiled_operator: CompiledOperator, d: int) -> None:
    """q K + z in one pass, for memory of both layouts; z gets the result's gradient."""
    q, operators = apply_inputs(d, (2, 5))
    (z,) = random_tensors(tuple(q.shape))
    reference = values_and_gradients(apply, [q, operators, z], torch.float64)
    assert_agree(reference[0], apply(q.double(), operators.double()) + z, 1e-12)
    for layout in (torch.contiguous_format, torch.channels_last):
        assert_all_agree(values_and_gradients(apply_c, [q, operators, z.contiguous(memory_format=layout)]), reference)


def test_equal_channels_have_no_infinite_gradient(compiled_operator: CompiledOperator) -> None:
    """A token whose channels are all equal has deviation 0: value and gradient are finite, and the reference's."""
    kv, *norms = integrate_inputs(4, (2, 5))
    kv[:, :, 0, 0] = 2.0
    results = values_and_gradients(partial(integrate_c, size=(2, 5), sides=True), [kv, *norms])
    references = values_and_gradients(partial(integrate, size=(2, 5), sides=True), [kv, *norms], torch.float64)
    assert results[2][:, :, 0, 0].abs().max() > 1e3  # the slope there is weight / 1e-5
    assert_all_agree(results, references)


def test_memory_layout_does_not_matter(compiled_operator: CompiledOperator) -> None:
    """Channels-last, contiguous and strided maps give bit by bit the same."""
    kv, *norms = integrate_inputs(6, (2, 5))
    q, operators = apply_inputs(6, (2, 5))
    expected = integrate_c(kv, *norms, (2, 5), True), apply_c(q, operators)
    for layout in (lambda t: t.contiguous(memory_format=torch.channels_last), lambda t: t.mT.contiguous().mT):
        got = integrate_c(layout(kv), *norms, (2, 5), True), apply_c(layout(q), operators.mT.contiguous().mT)
        assert torch.equal(got[0][0], expected[0][0])
        assert torch.equal(got[0][1], expected[0][1])
        assert torch.equal(got[1], expected[1])
