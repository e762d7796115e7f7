"""Whether whole parts of a network are computed in one call each, or layer by layer.

They are where the compiled kernels fit, operator layers only where no gradient is wanted. The environment variables
DGNO_FEED_FORWARD, DGNO_ATTENTIVE_SCAN and DGNO_OPERATOR_LAYER (layers or c) overrule the choice; a part is computed
layer by layer wherever the version of one of its layers is asked for (see `backends.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dgno.kernels import attentive_lift_c, attentive_scan_c, dg_layer_c, dg_operator_c, feed_forward_c
from dgno.kernels.backends import Choice, asked_for, unfit_for_c
from dgno.kernels.compiled import CompiledKernel

FUSED = {"layers": None, "c": None}  # layer by layer, or in one call


def choose_feed_forward(device: torch.device, dtype: torch.dtype, channels: int) -> Choice:
    """How x + feed_forward(norm(x)) is computed, of maps that are not too wide with a gradient too."""
    layers = ("DGNO_POINTWISE", "DGNO_GATE")
    choice = _choose_fused("DGNO_FEED_FORWARD", layers, feed_forward_c.load, device, dtype, channels)
    return _without_gradient(choice) if channels > feed_forward_c.WIDEST else choice


def choose_attentive_scan(device: torch.device, dtype: torch.dtype, channels: int) -> Choice:
    """How x + attentive_scan(norm(x)) is computed; where a gradient is wanted, in two calls, see below."""
    layers = ("DGNO_POINTWISE", "DGNO_GATE", "DGNO_SCAN")
    return _choose_fused("DGNO_ATTENTIVE_SCAN", layers, attentive_scan_c.load, device, dtype, channels)


def choose_attentive_lift(device: torch.device, dtype: torch.dtype, channels: int) -> Choice:
    """How the first half of the attentive scan is computed with its gradient: forward it is that of the whole."""
    choice = choose_attentive_scan(device, dtype, channels)
    if choice.name == "layers" or os.environ.get("DGNO_ATTENTIVE_SCAN"):
        return choice
    if channels > attentive_lift_c.WIDEST:
        return Choice("layers", f"maps of more than {attentive_lift_c.WIDEST} channels gain nothing")
    return _choose_fused("DGNO_ATTENTIVE_SCAN", (), attentive_lift_c.load, device, dtype, channels)


def choose_operator_layer(device: torch.device, dtype: torch.dtype, heads: int, d: int, side: int | None) -> Choice:
    """How a whole DG operator layer is computed where no gradient is wanted; elements of `side` px, None: the plane."""
    layers = ("DGNO_POINTWISE", "DGNO_OPERATOR")
    choice = _choose_fused("DGNO_OPERATOR_LAYER", layers, dg_operator_c.load, device, dtype, heads * d)
    if choice.name == "layers" or os.environ.get("DGNO_OPERATOR_LAYER"):
        return choice
    if not dg_operator_c.load().has_width(d):
        return Choice("layers", f"the compiled version has none for heads of {d} channels")
    if side is None or side > dg_layer_c.LARGEST_SIDE:
        return Choice("layers", f"elements of more than {dg_layer_c.LARGEST_SIDE} px leave the cache")
    return _without_gradient(choice)


def _without_gradient(choice: Choice) -> Choice:
    """Said of a part whose compiled version has none."""
    if choice.name == "layers":
        return choice
    return Choice(choice.name, f"{choice.reason}; layer by layer where a gradient is wanted")


def _choose_fused(
    variable: str,
    layers: tuple[str, ...],
    load: Callable[[], CompiledKernel],
    device: torch.device,
    dtype: torch.dtype,
    channels: int,
) -> Choice:
    if wanted := asked_for(variable, FUSED):
        return wanted
    if asked := [layer for layer in layers if os.environ.get(layer)]:
        return Choice("layers", f"{asked[0]} asks for a version of a layer")
    if unfit := unfit_for_c(device, dtype):
        return Choice("layers", unfit)
    try:
        compiled = load()
    except OSError as error:
        return Choice("layers", str(error))
    if channels < compiled.lanes():
        return Choice("layers", f"the compiled version needs {compiled.lanes()} channels, got {channels}")
    return Choice("c", f"compiled, {compiled.version_name()} instructions")


def has_half() -> bool:
    """Can the fused kernels multiply bfloat16 on this processor?"""
    try:
        return feed_forward_c.load().has_half()
    except OSError:
        return False


def fuses_in_half(device: torch.device) -> bool:
    """Are products asked for in bfloat16, and can the fused kernels give them?"""
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    return torch.get_autocast_dtype("cpu") == torch.bfloat16 and has_half()


def fusible(x: Tensor) -> Tensor:
    """The map as fused kernels take it: float32 where mixed precision may have given something shorter."""
    return x.float() if fuses_in_half(x.device) else x


def wants_gradient(module: nn.Module, *tensors: Tensor) -> bool:
    """Is a gradient wanted at one of the tensors, or at a parameter of a part of a network?"""
    return torch.is_grad_enabled() and any(t.requires_grad for t in (*tensors, *module.parameters()))


def wants_layers(module: nn.Module, x: Tensor, *, has_gradient: bool = False) -> bool:
    """Must a part of a network be computed layer by layer: for a trace, a hook, mixed precision that is not compiled,
    or a gradient that is not?

    has_gradient : has the compiled part a gradient? It is one in float32: in mixed precision layers are asked for one
    """
    if wants_gradient(module, x) and (not has_gradient or torch.is_autocast_enabled(x.device.type)):
        return True
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return True
    if torch.is_autocast_enabled(x.device.type) and (has_gradient or not fuses_in_half(x.device)):
        return True
    if any(p.dtype != x.dtype or p.device != x.device for p in module.parameters()):
        return True
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(m, kind) for m in module.modules() for kind in hooks)
