"""Which version of a kernel runs. The only place that asks what the machine has; `fusing.py` asks for whole parts.

The environment variables DGNO_SCAN (loop, chunked, c, triton or mamba), DGNO_OPERATOR (reference, c or triton),
DGNO_GATE, DGNO_CONVOLUTION (reference or c) and DGNO_POINTWISE (linear, onednn or c) overrule the choice, for tests and
for finding faults.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from dgno.kernels import (
    convolution_c,
    depthwise,
    depthwise_c,
    dg_operator,
    dg_operator_c,
    pointwise_c,
    selective_scan_c,
    triton_later,
    uniform,
)
from dgno.kernels.choice import Choice, asked_for
from dgno.kernels.compiled import CompiledKernel
from dgno.kernels.convolution import convolution as convolution_reference
from dgno.kernels.dg_operator import Operators, Sides
from dgno.kernels.pointwise import pointwise as pointwise_linear
from dgno.kernels.pointwise import pointwise_onednn
from dgno.kernels.selective_scan import selective_scan_chunked, selective_scan_loop
from dgno.kernels.selective_scan_mamba import selective_scan_mamba
from dgno.kernels.selective_scan_mamba import why_not as why_not_mamba
from dgno.kernels.transforms import is_transformed

P = ParamSpec("P")
R = TypeVar("R")


SCANS: dict[str, Callable[..., Tensor]] = {
    "loop": selective_scan_loop,
    "chunked": selective_scan_chunked,
    "c": selective_scan_c.selective_scan_c,
    "triton": triton_later.selective_scan,
    "mamba": selective_scan_mamba,
}
INTEGRATES: dict[str, Callable[..., tuple[Operators, Sides | None]]] = {
    "reference": dg_operator.integrate,
    "c": dg_operator_c.integrate_c,
    "triton": triton_later.integrate,
}
APPLIES: dict[str, Callable[..., Tensor]] = {
    "reference": dg_operator.apply,
    "c": dg_operator_c.apply_c,
    "triton": triton_later.apply,
}
POINTWISES: dict[str, Callable[..., Tensor]] = {
    "linear": pointwise_linear,
    "onednn": pointwise_onednn,
    "c": pointwise_c.pointwise_c,
}
CONVOLUTIONS = "reference", "c"  # whose calls differ, see `convolution`
GELU_GATES: dict[str, Callable[..., Tensor]] = {"reference": depthwise.gelu_gate, "c": depthwise_c.gelu_gate_c}
SIGMOID_GATES: dict[str, Callable[..., Tensor]] = {"reference": depthwise.sigmoid_gate, "c": depthwise_c.sigmoid_gate_c}
_WITHOUT_COMPILED: ContextVar[bool] = ContextVar("_WITHOUT_COMPILED", default=False)
HALF_OR_FLOAT = (torch.float32, torch.bfloat16, torch.float16)  # what kernels on a GPU read
LARGEST_ELEMENT = 4096  # tokens; beyond, a matrix product over the whole element is faster than the compiled walk


def choose_scan(device: torch.device, dtype: torch.dtype, states: int) -> Choice:
    """The version of the selective scan for tensors of this device, dtype and number of states."""
    if wanted := asked_for("DGNO_SCAN", SCANS):
        return wanted
    if device.type == "cuda":
        choice = _triton_or("chunked", device, dtype)
        is_plain = dtype not in HALF_OR_FLOAT or _WITHOUT_COMPILED.get()
        if choice.name == "triton" or is_plain or why_not_mamba():
            return choice
        return Choice("mamba", f"mamba-ssm, as {choice.reason}")
    if unfit := _why_not_c(selective_scan_c.load, device, dtype):
        return Choice("chunked", unfit)
    if states > (most := selective_scan_c.load().max_states):
        return Choice("chunked", f"the compiled scan holds {most} states, wanted {states}")
    return _compiled(selective_scan_c.load())


def choose_operator(device: torch.device, dtype: torch.dtype, d: int, tokens: int) -> Choice:
    """The version of the DG operator for this device and dtype, heads of d channels, elements of `tokens`."""
    if wanted := asked_for("DGNO_OPERATOR", APPLIES):
        return wanted
    if tokens > LARGEST_ELEMENT:
        return Choice("reference", f"an element of {tokens} tokens is faster as one matrix product")
    if device.type == "cuda":
        return _triton_or("reference", device, dtype)
    if unfit := _why_not_c(dg_operator_c.load, device, dtype):
        return Choice("reference", unfit)
    if not dg_operator_c.load().has_width(d):
        return Choice("reference", f"the compiled operator has no version for heads of {d} channels")
    return _compiled(dg_operator_c.load())


def choose_gate(device: torch.device, dtype: torch.dtype, channels: int) -> Choice:
    """The version of the gated convolutions for tensors of this device and dtype and results of so many channels."""
    if wanted := asked_for("DGNO_GATE", GELU_GATES):
        return wanted
    if unfit := _why_not_c(depthwise_c.load, device, dtype):
        return Choice("reference", unfit)
    if channels < (lanes := depthwise_c.load().lanes()):
        return Choice("reference", f"the compiled gate needs {lanes} channels, got {channels}")
    return _compiled(depthwise_c.load())


def choose_convolution(device: torch.device, dtype: torch.dtype) -> Choice:
    """The version of the dense 3x3 convolution for tensors of this device and dtype."""
    if wanted := asked_for("DGNO_CONVOLUTION", CONVOLUTIONS):
        return wanted
    if unfit := _why_not_c(convolution_c.load, device, dtype):
        return Choice("reference", unfit)
    if not torch.is_autocast_enabled(device.type):
        return _compiled(convolution_c.load())
    if torch.get_autocast_dtype(device.type) == torch.bfloat16 and convolution_c.load().has_tiles():
        return Choice("c", "compiled, in tiles (AMX); torch's where a gradient is wanted", has_gradient=False)
    return Choice("reference", "mixed precision is torch's")


@contextlib.contextmanager
def without_compiled() -> Iterator[None]:
    """Meanwhile kernels run as their references in plain tensor code, but for those that the environment names."""
    token = _WITHOUT_COMPILED.set(True)
    try:
        yield
    finally:
        _WITHOUT_COMPILED.reset(token)


def _plain_if_transformed(run: Callable[P, R]) -> Callable[P, R]:
    """The same, by the references where a tensor carries what only plain tensor code differentiates."""

    @functools.wraps(run)
    def run_by_tensors(*arguments: P.args, **options: P.kwargs) -> R:
        if not is_transformed(*(t for t in (*arguments, *options.values()) if isinstance(t, Tensor))):
            return run(*arguments, **options)
        with without_compiled():
            return run(*arguments, **options)

    return run_by_tensors


def _triton_or(plain: str, device: torch.device, dtype: torch.dtype) -> Choice:
    """Triton on a GPU, and where it does not run there, or cannot read the tensors, the plain version."""
    if dtype not in HALF_OR_FLOAT:
        return Choice(plain, f"Triton's kernels are for float32 and less, the tensors are {dtype} on {device.type}")
    unfit = "plain tensor code was asked for" if _WITHOUT_COMPILED.get() else _why_not_triton(device.type)
    return Choice(plain, unfit) if unfit else Choice("triton", "compiled by Triton for the GPU")


@functools.cache
def _why_not_triton(device_type: str) -> str:
    if importlib.util.find_spec("triton") is None:
        return f"Triton, for {device_type}, is not installed: pip install triton"
    from dgno.kernels.triton_runtime import why_not  # Triton takes time to import

    return why_not(device_type)


def unfit_for_c(device: torch.device, dtype: torch.dtype) -> str:
    """Why no compiled kernel can take tensors of this device and dtype; "" if it can."""
    if _WITHOUT_COMPILED.get():
        return "plain tensor code was asked for"
    if device.type != "cpu":
        return f"the compiled kernel is for the CPU, the tensors are on {device.type}"
    return "" if dtype == torch.float32 else f"the compiled kernel is for float32, the tensors are {dtype}"


def _why_not_c(load: Callable[[], CompiledKernel], device: torch.device, dtype: torch.dtype) -> str:
    """Why a compiled kernel cannot take such tensors: none of them can, or it was not compiled; "" if it can."""
    if unfit := unfit_for_c(device, dtype):
        return unfit
    try:
        load()
    except OSError as error:
        return str(error)
    return ""


def _compiled(kernel: CompiledKernel) -> Choice:
    return Choice("c", f"compiled, {kernel.version_name()} instructions")


@_plain_if_transformed
def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, order: Tensor | None = None
) -> Tensor:
    """The selective scan, by the version that suits the tensors; shapes as in `selective_scan_loop`.

    order : as in `selective_scan_triton`; only where `scan_takes_order`
    """
    scan = SCANS[choose_scan(u.device, u.dtype, A.shape[1]).name]
    return scan(u, delta, A, B, C, D) if order is None else scan(u, delta, A, B, C, D, order)


def scan_takes_order(device: torch.device, states: int) -> bool:
    """Whether the scan of float32 tensors finds the rows of a permutation itself, without a gather before it."""
    return choose_scan(device, torch.float32, states).name == "triton"


def choose_pointwise(device: torch.device, dtype: torch.dtype) -> Choice:
    """The version of the 1x1 convolution for tensors of this device and dtype."""
    if wanted := asked_for("DGNO_POINTWISE", POINTWISES):
        return wanted
    if device.type != "cpu":
        return Choice("linear", unfit_for_c(device, dtype))
    unfit = _why_not_c(pointwise_c.load, device, dtype)
    if torch.is_autocast_enabled(device.type):
        unfit = "mixed precision is torch's"
    if unfit:
        return Choice("onednn" if torch.backends.mkldnn.is_available() else "linear", unfit)
    return _compiled(pointwise_c.load())


def choose_uniform() -> Choice:
    """Who draws the random numbers of the routing while training on a CPU."""
    try:
        compiled = uniform.load()
    except OSError as error:
        return Choice("torch", str(error))
    if not uniform.reads_generators():
        return Choice("torch", "this torch lays its generators out as the compiled code cannot read them")
    return Choice("c", f"compiled, {compiled.version_name()} instructions")


@_plain_if_transformed
def integrate(
    kv: Tensor, key_norm: Tensor, value_norm: Tensor, size: tuple[int, int], sides: bool
) -> tuple[Operators, Sides | None]:
    """The kernel integrals of `dg_operator.integrate`, by the version that suits the tensors."""
    choice = choose_operator(kv.device, kv.dtype, key_norm.shape[-1], size[0] * size[1])
    return INTEGRATES[choice.name](kv, key_norm, value_norm, size, sides)


@_plain_if_transformed
def apply(q: Tensor, operators: Operators, onto: Tensor | None = None) -> Tensor:
    """`dg_operator.apply`, by the version that suits the tensors."""
    tokens = q.shape[2] * q.shape[3] // (operators.shape[1] * operators.shape[2])
    return APPLIES[choose_operator(q.device, q.dtype, operators.shape[-1], tokens).name](q, operators, onto)


@_plain_if_transformed
def gelu_gate(x: Tensor, weight: Tensor) -> Tensor:
    """`depthwise.gelu_gate`, by the version that suits the tensors."""
    return GELU_GATES[choose_gate(x.device, x.dtype, x.shape[1] // 2).name](x, weight)


@_plain_if_transformed
def sigmoid_gate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`depthwise.sigmoid_gate`, by the version that suits the tensors."""
    return SIGMOID_GATES[choose_gate(x.device, x.dtype, x.shape[1]).name](x, weight, bias)


@_plain_if_transformed
def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`pointwise.pointwise`, by the version that suits the tensors."""
    return POINTWISES[choose_pointwise(x.device, x.dtype).name](x, weight, bias)


@_plain_if_transformed
def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, second: Tensor | None = None, *, unshuffled: bool = False
) -> Tensor:
    """`convolution.convolution`, by the version that suits the tensors; in mixed precision the compiled one's result is
    float32, of factors that were rounded."""
    maps = [x] if second is None else [x, second]
    needs_gradient = torch.is_grad_enabled() and any(t.requires_grad for t in (*maps, weight, bias) if t is not None)
    is_mixed = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    if is_mixed and weight.dtype == torch.float32:  # another layer may have given bfloat16
        maps = [z.float() if z.dtype == torch.bfloat16 else z for z in maps]
    choice = choose_convolution(x.device, maps[0].dtype)
    is_torchs = is_mixed and any(t.dtype != torch.float32 for t in (*maps, weight, bias) if t is not None)
    if choice.name == "reference" or is_torchs or (needs_gradient and not choice.has_gradient):
        return convolution_reference(x, weight, bias, second, unshuffled=unshuffled)
    half = is_mixed and not needs_gradient
    return convolution_c.convolution_c(maps[0], weight, bias, *maps[1:], unshuffled=unshuffled, half=half)
