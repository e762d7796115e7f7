"""Whether whole parts of a network are computed in one call each, or layer by layer.

They are where the compiled kernels fit, operator layers and merges only where no gradient is wanted. The environment
variables DGNO_FEED_FORWARD, DGNO_ATTENTIVE_SCAN, DGNO_OPERATOR_LAYER and DGNO_MERGE (layers or c) overrule the choice;
a part is computed layer by layer wherever the version of one of its layers is asked for (see `backends.py`). Whatever
was chosen, layers compute what one call cannot give: see `wants_layers`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules import module as every_module

from dgno.kernels import attentive_lift_c, attentive_scan_c, dg_layer_c, dg_operator_c, feed_forward_c, pointwise_c
from dgno.kernels.backends import unfit_for_c
from dgno.kernels.choice import Choice, asked_for
from dgno.kernels.compiled import CompiledKernel
from dgno.kernels.products import FLOATS, PAIRS, choose_products, multiplied_as
from dgno.kernels.transforms import is_transformed

FUSED = {"layers": None, "c": None}  # layer by layer, or in one call
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
GLOBAL_HOOKS = tuple(getattr(every_module, f"_global{kind}") for kind in HOOKS)  # of all modules: torch changes them


@dataclass(frozen=True)
class Written:
    """What a call computes in place of the layers it reads: modules of exactly these types, with so many parameters."""

    kinds: frozenset[type[nn.Module]]
    parameters: int


def choose_feed_forward(device: torch.device, dtype: torch.dtype, channels: int) -> Choice:
    """How x + feed_forward(norm(x)) is computed, of maps that are not too wide with a gradient too."""
    layers = ("DGNO_POINTWISE", "DGNO_GATE")
    choice = _choose_fused("DGNO_FEED_FORWARD", layers, feed_forward_c.load, device, dtype, channels)
    is_slower = channels > feed_forward_c.WIDEST and not os.environ.get("DGNO_FEED_FORWARD")
    return _without_gradient(choice) if is_slower else choice


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
        return replace(choice, has_gradient=False)
    if not dg_operator_c.load().has_width(d):
        return Choice("layers", f"the compiled version has none for heads of {d} channels")
    if side is None or side > dg_layer_c.LARGEST_SIDE:
        return Choice("layers", f"elements of more than {dg_layer_c.LARGEST_SIDE} px leave the cache")
    return _without_gradient(choice)


def choose_merge(device: torch.device, dtype: torch.dtype, channels: int) -> Choice:
    """How coarser features at twice the resolution are merged with finer ones where no gradient is wanted."""
    choice = _choose_fused("DGNO_MERGE", ("DGNO_POINTWISE",), pointwise_c.load, device, dtype, channels)
    return replace(choice, has_gradient=False) if os.environ.get("DGNO_MERGE") else _without_gradient(choice)


def _without_gradient(choice: Choice) -> Choice:
    """Said of a part whose compiled version has none, or a slower one."""
    if choice.name == "layers":
        return choice
    return Choice(choice.name, f"{choice.reason}; layer by layer where a gradient is wanted", has_gradient=False)


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


def has_tiles() -> bool:
    """Do they do so in tiles (AMX)?"""
    return has_half() and feed_forward_c.load().has_tiles()


def choose_high() -> Choice:
    """How the fused kernels multiply float32 where not all of its bits are asked for."""
    try:
        kernel = feed_forward_c.load()
    except OSError as error:
        return Choice(FLOATS, str(error))
    with multiplied_as(PAIRS):
        return choose_products(kernel)


def fuses_in_half(device: torch.device) -> bool:
    """Are products asked for in bfloat16, and can the fused kernels give them?"""
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    return torch.get_autocast_dtype("cpu") == torch.bfloat16 and has_half()


def fusible(x: Tensor) -> Tensor:
    """The map as fused kernels take it: float32 where mixed precision may have given something shorter."""
    return x.float() if fuses_in_half(x.device) else x


def wants_gradient(modules: Iterable[nn.Module], tensors: Iterable[Tensor]) -> bool:
    """Is a gradient wanted at one of the tensors, or at a parameter of the modules?"""
    if not torch.is_grad_enabled():
        return False
    return any(t.requires_grad for t in tensors) or any(p.requires_grad for m in modules for p in m.parameters())


def is_plain(module: nn.Module, kinds: Iterable[type[nn.Module]]) -> bool:
    """Does calling a module do no more than its class says: of one of these types, not derived from it, no hook on it?

    An adapter in its place, a parametrisation or a `forward` of its own is another type or another function. Layers of
    torch must also be set as they are in the networks.
    """
    own = module.__dict__  # faster than attributes: this runs for every layer of every tile
    if type(module) not in kinds or "forward" in own or any(GLOBAL_HOOKS) or any([own[kind] for kind in HOOKS]):
        return False
    if isinstance(module, nn.Conv2d):
        groups = module.in_channels if type(module) is nn.Conv2d else 1  # those derived from torch's are the dense ones
        is_unit = module.stride == module.padding == module.dilation == (1, 1)
        return is_unit and module.padding_mode == "zeros" and module.groups == groups
    if isinstance(module, nn.PixelShuffle):
        return module.upscale_factor == 2
    if isinstance(module, nn.PixelUnshuffle):
        return module.downscale_factor == 2
    return not isinstance(module, nn.GELU) or module.approximate == "none"


def _parameters(modules: Iterable[nn.Module], written: Written) -> list[Tensor] | None:
    """The parameters of the modules; None where the modules are not those of which the call knows."""
    found: list[Tensor] = []
    left = list(modules)
    while left:
        module = left.pop()
        if not is_plain(module, written.kinds):
            return None
        found += [p for p in module._parameters.values() if p is not None]
        left += [child for child in module._modules.values() if child is not None]
    return found if len(found) == written.parameters else None


def wants_layers(choice: Choice, written: Written, modules: Iterable[nn.Module], tensors: Sequence[Tensor]) -> bool:
    """Must a part of a network be computed layer by layer?

    Because that was chosen; for a trace, a hook, or a layer that is not the one of which the call knows; for mixed
    precision that is not compiled, or a gradient that is not; for forward mode and the transforms of torch.func.

    written : what the call computes; modules : all whose parameters it reads
    tensors : the map and what else it is given; their gradients are asked for too
    """
    if choice.name == "layers" or torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return True
    parameters = _parameters(modules, written)
    if parameters is None:
        return True
    x, every = tensors[0], (*tensors, *parameters)
    device, dtype = x.device, x.dtype
    if any(t.dtype != dtype or t.device != device for t in every):
        return True
    mixed = torch.is_autocast_enabled(device.type)
    if mixed and not fuses_in_half(device):
        return True
    if (mixed or not choice.has_gradient) and torch.is_grad_enabled() and any(t.requires_grad for t in every):
        return True
    return is_transformed(*every)
