"""An ONNX graph as it is written: nodes, constants, and arithmetic with sizes that may only be known when it runs.

Operators: https://onnx.ai/onnx/operators
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

Value = str  # the name of a tensor of the graph
Size = int | Value  # a number, or the name of an int64 tensor of shape (1,) that holds it
LEAST_OPSET = 18  # the first with axes of reductions as inputs
GELU_OPSET = 20  # the first with Gelu


@dataclass(frozen=True)
class Map:
    """A feature map of the graph, (b, c, h, w); the number of channels is always known."""

    value: Value
    b: Size
    c: int
    h: Size
    w: Size


class Graph:
    """Nodes in the order in which they run. Every method that computes adds a node and gives the name of its result."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[Value, onnx.TensorProto] = {}
        self._computed: dict[tuple[object, ...], Value] = {}  # sizes that are there already
        self._count = 0
        self._place = ""

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Meanwhile what is added is named for this part of the network."""
        before, self._place = self._place, f"{self._place}{name}/"
        yield
        self._place = before

    def op(self, kind: str, *inputs: Value, **attributes: Any) -> Value:  # Any: whatever the operator takes
        """One node with one result."""
        return self.ops(kind, *inputs, results=1, **attributes)[0]

    def ops(self, kind: str, *inputs: Value, results: int, **attributes: Any) -> list[Value]:
        """One node with several results."""
        self._count += 1
        name = f"{self._place}{kind}_{self._count}"
        outputs = [f"{name}:{i}" if results > 1 else name for i in range(results)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=name, **attributes))
        return outputs

    def body(self, names: Sequence[str], write: Callable[..., Sequence[Value]]) -> onnx.GraphProto:
        """What a Scan does at every step: `write` adds it to a graph of its own, which sees this one's tensors.

        names : of the inputs, float32 all; `write` is given that graph and them, and gives the outputs
        """
        inner = Graph(self.opset)
        inner._place = f"{self._place}step/"  # no name of a tensor is used twice
        inputs = [f"{inner._place}{name}" for name in names]
        outputs = write(inner, *inputs)
        taken, given = (
            [helper.make_tensor_value_info(value, TensorProto.FLOAT, None) for value in values]
            for values in (inputs, outputs)
        )
        return helper.make_graph(inner.nodes, inner._place, taken, given, list(inner.constants.values()))

    def constant(self, values: np.ndarray, name: str = "") -> Value:
        """A tensor that is stored with the graph; equal small ones are stored once."""
        key = ("constant", values.tobytes(), values.shape, values.dtype.str) if values.size <= 64 and not name else None
        if key in self._computed:
            return self._computed[key]
        self._count += 1
        label = f"{self._place}{name or 'constant'}_{self._count}"
        self.constants[label] = numpy_helper.from_array(values, label)
        if key is not None:
            self._computed[key] = label
        return label

    def weight(self, tensor: Tensor, name: str = "weight") -> Value:
        """A learnt tensor, in float32."""
        return self.constant(np.ascontiguousarray(tensor.detach().cpu().float().numpy()), name)

    def number(self, value: float) -> Value:
        return self.constant(np.array(value, np.float32))

    def integers(self, *values: int) -> Value:
        """A list of whole numbers, as shapes and axes are given."""
        return self.constant(np.array(values, np.int64))

    # Sizes: whole numbers that are computed at once if they are known, and by the graph if not.

    def as_value(self, size: Size) -> Value:
        return self.integers(size) if isinstance(size, int) else size

    def times(self, *sizes: Size) -> Size:
        """The product."""
        known = math.prod(s for s in sizes if isinstance(s, int))
        result: Size = known
        for size in sorted(s for s in sizes if isinstance(s, str)):
            result = size if result == 1 else self._once("Mul", size, self.as_value(result))
        return result

    def over(self, size: Size, divisor: int) -> Size:
        """The quotient, where it is a whole number."""
        if isinstance(size, int):
            return size // divisor
        return size if divisor == 1 else self._once("Div", size, self.integers(divisor))

    def scalar(self, size: Size) -> Value:
        """The number as a tensor without axes."""
        if isinstance(size, int):
            return self.constant(np.array(size, np.int64))
        return self._once("Squeeze", size, self.integers(0))

    def _once(self, kind: str, *inputs: Value) -> Value:
        key = (kind, *inputs)
        if key not in self._computed:
            self._computed[key] = self.op(kind, *inputs)
        return self._computed[key]

    # What many layers need.

    def reshape(self, x: Value, *sizes: Size) -> Value:
        """The same numbers in a tensor of these sizes."""
        if all(isinstance(s, int) for s in sizes):
            return self.op("Reshape", x, self.integers(*(s for s in sizes if isinstance(s, int))))
        key = ("shape", *sizes)
        if key not in self._computed:
            self._computed[key] = self.op("Concat", *map(self.as_value, sizes), axis=0)
        return self.op("Reshape", x, self._computed[key])

    def transpose(self, x: Value, *axes: int) -> Value:
        return self.op("Transpose", x, perm=list(axes))

    def unsqueeze(self, x: Value, *axes: int) -> Value:
        return self.op("Unsqueeze", x, self.integers(*axes))

    def split(self, x: Value, axis: int, *sizes: int) -> list[Value]:
        return self.ops("Split", x, self.integers(*sizes), results=len(sizes), axis=axis)

    def slice(self, x: Value, axis: int, start: int, end: int, step: int = 1) -> Value:
        """Part of an axis; numbers below 0 count from its end."""
        return self.op("Slice", x, self.integers(start), self.integers(end), self.integers(axis), self.integers(step))

    def counted(self, size: Size) -> Value:
        """0, 1, 2, ..., size - 1."""
        return self._once("Range", self.scalar(0), self.scalar(size), self.scalar(1))

    def gelu(self, x: Value) -> Value:
        """x Phi(x), by the error function."""
        if self.opset >= GELU_OPSET:
            return self.op("Gelu", x)
        error = self.op("Erf", self.op("Mul", x, self.number(0.5**0.5)))
        return self.op("Mul", self.op("Mul", x, self.number(0.5)), self.op("Add", error, self.number(1)))

    def linear(self, x: Value, weight: Tensor, bias: Tensor | None) -> Value:
        """x weight^T + bias over the last axis."""
        y = self.op("MatMul", x, self.weight(weight.T))
        return y if bias is None else self.op("Add", y, self.weight(bias, "bias"))

    def last_axis_norm(self, x: Value, weight: Tensor, bias: Tensor) -> Value:
        """Layer norm over the last axis; biased variance, eps 1e-5 inside the root."""
        return self.op("LayerNormalization", x, self.weight(weight), self.weight(bias, "bias"), axis=-1, epsilon=1e-5)
