"""The gated depth-wise convolutions: the compiled versions give what the plain ones give."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from kernel_comparison import assert_agree, assert_all_agree, values_and_gradients
from torch import Tensor

from dgno.kernels.depthwise import gelu_gate, sigmoid_gate
from dgno.kernels.depthwise_c import CompiledGate, gelu_gate_c, sigmoid_gate_c

Gate = Callable[..., Tensor]
GATES: dict[str, tuple[Gate, Gate]] = {"gelu": (gelu_gate, gelu_gate_c), "sigmoid": (sigmoid_gate, sigmoid_gate_c)}

# (b, channels of the result, h, w): one row, one column, one pixel; channels beside the vectors (4, 8, 16); and maps
# that the backward pass cuts into several strips of rows
SHAPES = [
    (1, 16, 1, 1),
    (2, 17, 1, 7),
    (1, 33, 9, 1),
    (2, 40, 5, 6),
    (1, 70, 2, 2),
    (1, 16, 13, 2000),
]


def gate_inputs(name: str, b: int, channels: int, h: int, w: int) -> list[Tensor]:
    """Map, weights and, for the sigmoid gate, bias; pre-activations of both signs from about 0 to 10."""
    random = torch.Generator().manual_seed(channels * h * w)
    c = 2 * channels if name == "gelu" else channels
    x = 2 * torch.randn(b, c, h, w, generator=random)
    weight, bias = torch.randn(c, 1, 3, 3, generator=random), torch.randn(c, generator=random)
    return [x, weight] if name == "gelu" else [x, weight, bias]


@functools.cache
def reference(name: str, shape: tuple[int, ...]) -> list[Tensor]:
    return values_and_gradients(GATES[name][0], gate_inputs(name, *shape), torch.float64)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", GATES)
def test_compiled_gates_are_the_plain_ones(compiled_gate: CompiledGate, name: str, shape: tuple[int, ...]) -> None:
    """O16: values, and gradients at the map, the weights and the bias, at odd sizes."""
    results = values_and_gradients(GATES[name][1], gate_inputs(name, *shape))
    assert_all_agree(results, reference(name, shape))


@pytest.mark.parametrize("extra", [0, 1, 3])
@pytest.mark.parametrize("name", GATES)
def test_one_vector_of_channels_suffices(compiled_gate: CompiledGate, name: str, extra: int) -> None:
    """One vector of channels is enough, and a few more overlap with it."""
    shape = (1, compiled_gate.lanes() + extra, 3, 5)
    assert_all_agree(values_and_gradients(GATES[name][1], gate_inputs(name, *shape)), reference(name, shape))


def compiled_at(name: str, values: Tensor) -> Tensor:
    """The compiled gate at given pre-activations: GELU(value) * 1, or 1 * sigmoid(value)."""
    if name == "gelu":
        channels = values.expand(16, 1, -1)[None]  # (1, 16, 1, values)
        identity = torch.zeros(32, 1, 3, 3)
        identity[:, :, 1, 1] = 1
        return gelu_gate_c(torch.cat([channels, torch.ones_like(channels)], 1), identity)[0, 0, 0]
    one, nothing = torch.ones(1, 16, 1, 1), torch.zeros(16, 1, 3, 3)
    return torch.stack([sigmoid_gate_c(one, nothing, value.expand(16))[0, 0, 0, 0] for value in values])


@pytest.mark.parametrize("name", GATES)
def test_gates_agree_over_the_range_of_activations(compiled_gate: CompiledGate, name: str) -> None:
    """From -20 to 20, GELU and sigmoid differ from torch's in float64 by at most 1e-6 of max(1, |argument|)."""
    values = torch.linspace(-20, 20, 4001 if name == "gelu" else 201)
    expected = {"gelu": F.gelu, "sigmoid": torch.sigmoid}[name](values.double())
    difference = (compiled_at(name, values) - expected).abs()
    assert (difference <= 1e-6 * values.abs().clamp_min(1)).all()


@pytest.mark.parametrize("size", [1e2, 4e3, 5e3, 1e4, 1e7, 1.5e7, 1e10, 1e18])
@pytest.mark.parametrize("name", GATES)
def test_gates_saturate(compiled_gate: CompiledGate, name: str, size: float) -> None:
    """Huge activations: GELU(x) = x, GELU(-x) = 0, sigmoid 1 and 0; never infinite, never NaN."""
    gates = compiled_at(name, torch.tensor([size, -size]))
    assert_agree(gates, torch.tensor([size, 0.0] if name == "gelu" else [1.0, 0.0]), 1e-6)


@pytest.mark.parametrize("size", [1e2, 5e3, 1e10])
def test_saturated_gates_have_finite_gradients(compiled_gate: CompiledGate, size: float) -> None:
    """At huge activations of both signs the gradients are those of the plain gate."""
    x, weight = gate_inputs("gelu", 1, 16, 4, 4)
    assert_all_agree(
        values_and_gradients(gelu_gate_c, [size * x, weight]),
        values_and_gradients(gelu_gate, [size * x, weight], torch.float64),
    )


@pytest.mark.parametrize("name", GATES)
def test_memory_layout_does_not_matter(compiled_gate: CompiledGate, name: str) -> None:
    """Channels-last, contiguous and strided maps give bit by bit the same."""
    x, *parameters = gate_inputs(name, 2, 40, 5, 6)
    gate = GATES[name][1]
    expected = gate(x, *parameters)
    assert torch.equal(gate(x.contiguous(memory_format=torch.channels_last), *parameters), expected)
    assert torch.equal(gate(x.mT.contiguous().mT, *parameters), expected)


@pytest.mark.parametrize("name", GATES)
def test_images_are_independent(compiled_gate: CompiledGate, name: str) -> None:
    """An image gives bit by bit the same alone and among others: rows of the next are not its border."""
    x, *parameters = gate_inputs(name, 2, 17, 5, 6)
    together = GATES[name][1](x, *parameters)
    assert all(torch.equal(GATES[name][1](x[i : i + 1], *parameters)[0], together[i]) for i in range(2))
