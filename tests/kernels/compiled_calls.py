"""Well-formed calls of the compiled kernels, for tests of what holds for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from dgno.kernels.attentive_core import CoreWeights
from dgno.kernels.attentive_lift import LiftWeights
from dgno.kernels.attentive_scan import AttentiveWeights
from dgno.kernels.attentive_scan_c import attentive_scan_c
from dgno.kernels.convolution_c import convolution_c
from dgno.kernels.depthwise_c import gelu_gate_c, sigmoid_gate_c
from dgno.kernels.dg_operator_c import apply_c, integrate_c
from dgno.kernels.feed_forward_c import feed_forward_c
from dgno.kernels.merge_c import merge_c
from dgno.kernels.pointwise_c import pointwise_c
from dgno.kernels.selective_scan_c import selective_scan_c as scan_c

LIFT_SHAPES = ((16,), (16,), (5, 16), (5,), (64, 5), (64,), (64, 8), (32, 16), (32,), (32, 1, 3, 3), (32,))
CORE_SHAPES = ((18, 32), (32, 2), (32,), (32, 8), (32,), (32,), (32,), (16, 32), (16,))


def scan_of(x: Tensor, *tensors: Tensor, block: int | None = None) -> Tensor:
    lift, core = tensors[: len(LIFT_SHAPES)], tensors[len(LIFT_SHAPES) :]
    weights = AttentiveWeights(LiftWeights(*lift), CoreWeights(*core))
    return inspect.unwrap(attentive_scan_c)(x, weights, block=block, prompt_sorted=True)


# One well-formed call of each kernel: the function, its name, the shapes of its tensors, and its other arguments.
CALLS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...], tuple[Any, ...]]] = {
    "scan": (scan_c, ((3, 40, 70), (3, 40, 70), (70, 8), (3, 40, 8), (3, 40, 8), (70,)), ()),
    "integrate": (integrate_c, ((2, 32, 12, 8), (2, 4, 4), (2, 4, 4)), ((4, 2), True)),
    "apply": (apply_c, ((2, 16, 9, 8), (2, 3, 4, 4, 4, 4)), ()),
    "apply onto": (apply_c, ((2, 16, 9, 8), (2, 3, 4, 4, 4, 4), (2, 16, 9, 8)), ()),
    "gelu gate": (gelu_gate_c, ((2, 80, 9, 7), (80, 1, 3, 3)), ()),
    "sigmoid gate": (sigmoid_gate_c, ((2, 40, 9, 7), (40, 1, 3, 3), (40,)), ()),
    "convolution": (convolution_c, ((2, 20, 9, 7), (33, 20, 3, 3), (33,)), ()),
    "convolution of two": (convolution_c, ((2, 20, 9, 7), (33, 27, 3, 3), (33,), (2, 7, 9, 7)), ()),
    "pointwise": (pointwise_c, ((2, 150, 7), (33, 7), (33,)), ()),
    "merge": (merge_c, ((2, 64, 5, 7), (2, 16, 10, 14), (16, 32)), ()),
    "feed-forward": (feed_forward_c, ((2, 16, 9, 7), (16,), (16,), (84, 16), (84, 1, 3, 3), (16, 42)), ()),
    "attentive scan": (scan_of, ((2, 16, 9, 7), *LIFT_SHAPES, *CORE_SHAPES), ()),
}
