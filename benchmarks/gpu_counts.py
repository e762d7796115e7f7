"""What a network has to compute and to move at the least, and what the device can: both sides of its roofline."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from gpu_clock import seconds_of
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dgno.networks.attentive_scan import SelectiveScan

PLAIN = {
    "DGNO_SCAN": "chunked",
    "DGNO_OPERATOR": "reference",
    "DGNO_GATE": "reference",
    "DGNO_CONVOLUTION": "reference",
    "DGNO_POINTWISE": "linear",
}
SCAN_FLOPS = 5  # of a token, channel and state, beside the product with C, which the counter sees; exp counts as one


@dataclass(frozen=True)
class Work:
    """Of one forward pass."""

    flops: float
    bytes: float

    def seconds(self, peak: Peak) -> float:
        """The roofline: computing and moving at full speed, at the same time."""
        return max(self.flops / peak.flops, self.bytes / peak.bandwidth)


@dataclass(frozen=True)
class Peak:
    """What the device does in a second: FLOPs in a large product of matrices, bytes read and written in a copy."""

    flops: float
    bandwidth: float


def measure_peak(device: torch.device, dtype: torch.dtype, side: int, copied: int) -> Peak:
    """On the spot, products of side x side and a copy of so many float32 numbers."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    source = torch.randn(copied, device=device)
    target = torch.empty_like(source)
    product, copy = seconds_of(lambda: a @ b, device), seconds_of(lambda: target.copy_(source), device)
    return Peak(2 * side**3 / product, 8 * copied / copy)


def count_work(network: nn.Module, x: Tensor, size: int) -> Work:
    """FLOPs and bytes of a forward pass in plain tensor code.

    FLOPs: those that torch's counter sees (convolutions and products of matrices, two a multiplication), and the
    scan's. Bytes: every parameter read once, and the input and the output of every module without children once;
    numbers have `size` bytes, those of the scan 4. What is between modules (sums, gates, gathers) counts as fused.
    """
    counted = {"flops": 0.0, "bytes": float(sum(p.numel() for p in network.parameters()) * size)}

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        is_scan = isinstance(module, SelectiveScan)
        tensors = [t for t in (*inputs, output) if isinstance(t, Tensor)]
        counted["bytes"] += sum(t.numel() for t in tensors) * (4 if is_scan else size)
        if isinstance(module, SelectiveScan):
            counted["flops"] += SCAN_FLOPS * inputs[0].numel() * module.states

    leaves = [m for m in network.modules() if isinstance(m, SelectiveScan) or not [*m.children()]]
    inside = {id(child) for m in leaves if isinstance(m, SelectiveScan) for child in m.children()}
    handles = [m.register_forward_hook(after) for m in leaves if id(m) not in inside]
    before = {name: os.environ.get(name) for name in PLAIN}
    os.environ |= PLAIN
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    return Work(counter.get_total_flops() + counted["flops"], counted["bytes"])
