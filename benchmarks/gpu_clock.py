"""Seconds and bytes on a device; on a CPU, too, so that a benchmark can be tried there."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

MEASURED = 0.4  # seconds that repeats take together


def wait(device: torch.device) -> None:
    """Until all that was launched is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(function: Callable[[], object], device: torch.device) -> float:
    """Median of repeated calls, after two that are not counted; on a CPU, where no figure is wanted, of one call."""
    times: list[float] = []
    least, most = (3, 200) if device.type == "cuda" else (1, 1)
    warming = 2 if device.type == "cuda" else 0
    while len(times) < least + warming or (len(times) < most and sum(times[warming:]) < MEASURED):
        wait(device)
        started = time.perf_counter()
        function()
        wait(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times[warming:])


def peak_bytes(function: Callable[[], object], device: torch.device) -> int | None:
    """The most memory that tensors had while the function ran, with those there before; None on a CPU."""
    if device.type != "cuda":
        function()
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    function()
    wait(device)
    return torch.cuda.max_memory_allocated(device)
