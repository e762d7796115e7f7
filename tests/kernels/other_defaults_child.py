"""Run every compiled kernel under other defaults of torch; what differs by a bit is an error, and its name the last
line. Under a wrong default C may write beyond a tensor, so the process may also end without a word."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from compiled_calls import CALLS, CORE_SHAPES, LIFT_SHAPES
from torch import Tensor

from dgno.kernels.attentive_core import CLASSES, CoreWeights
from dgno.kernels.attentive_core_c import attentive_core_c
from dgno.kernels.attentive_lift import LiftWeights
from dgno.kernels.attentive_lift_c import attentive_lift_c
from dgno.kernels.dg_layer import LayerWeights
from dgno.kernels.dg_layer_c import apply_layer_c, integrate_layer_c
from dgno.kernels.uniform import draw_uniform, draw_uniform_c

MAP, PIXELS = (2, 16, 9, 7), 63
LAYER_SHAPES = ((48, 16), (48,), (2, 4, 4), (2, 4, 4), (16, 16), (16,), (16, 16), (16,))


def numbers(*shape: int) -> Tensor:
    """Uniform random numbers, whatever the defaults are."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float32, device="cpu")


def lift(x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
    return attentive_lift_c(x, LiftWeights(*weights), numbers(2, PIXELS, CLASSES))


def core(x: Tensor, y: Tensor, prompts: Tensor, *weights: Tensor) -> Tensor:
    classes = torch.arange(2 * PIXELS, device="cpu").remainder(CLASSES).reshape(2, PIXELS)
    return attentive_core_c(x, y, classes, prompts, CoreWeights(*weights), block=None, prompt_sorted=True)


def layer(z: Tensor, *tensors: Tensor) -> tuple[Tensor | None, ...]:
    with torch.no_grad():
        weights = LayerWeights(*tensors)
        volume, sides = integrate_layer_c(z, weights, 8, True)
        return volume, sides, apply_layer_c(z, volume, weights)


def uniform(draw: Callable[..., Tensor]) -> Tensor:
    return draw((2, PIXELS, CLASSES), [torch.Generator().manual_seed(seed) for seed in range(2)])


EVERY: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    **{name: (lambda *t, f=f, rest=rest: f(*t, *rest), shapes) for name, (f, shapes, rest) in CALLS.items()},
    **{name: (torch.no_grad()(CALLS[name][0]), CALLS[name][1]) for name in ("attentive scan", "merge")},
    "attentive lift": (lift, (MAP, *LIFT_SHAPES)),
    "attentive core": (core, (MAP, (2, 32, 9, 7), (2, PIXELS, 8), *CORE_SHAPES)),
    "operator layer": (layer, ((1, 16, 16, 16), *LAYER_SHAPES)),
    "uniform": (partial(uniform, draw_uniform_c), ()),
    "uniform, the reference": (partial(uniform, draw_uniform), ()),
}

DEFAULTS: dict[str, tuple[torch.dtype, str]] = {
    "float64": (torch.float64, "cpu"),
    "bfloat16": (torch.bfloat16, "cpu"),
    "float16": (torch.float16, "cpu"),
    "meta": (torch.float32, "meta"),
}


def results(name: str) -> list[Tensor]:
    """Values, and gradients where there are any."""
    function, shapes = EVERY[name]
    leaves = [numbers(*shape).requires_grad_() for shape in shapes]
    returned = function(*leaves)
    values = [t for t in (returned if isinstance(returned, tuple) else (returned,)) if t is not None]
    differentiable = [t for t in values if t.requires_grad]
    probes = [t.detach().cos() for t in differentiable]
    gradients = torch.autograd.grad(differentiable, leaves, probes, allow_unused=True) if probes else ()
    return [t.detach() for t in (*values, *gradients) if t is not None]


def main() -> None:
    usual = {name: results(name) for name in EVERY}
    for setting, (dtype, device) in DEFAULTS.items():
        torch.set_default_dtype(dtype)
        torch.set_default_device(device)
        for name, expected in usual.items():
            sys.stdout.write(f"{setting}: {name}\n")
            sys.stdout.flush()
            for one, other in zip(results(name), expected, strict=True):
                assert one.dtype == other.dtype
                assert torch.equal(one, other)


if __name__ == "__main__":
    main()
