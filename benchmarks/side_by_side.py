"""Measure functions side by side: interleaved runs in one process, so that a noisy machine is noisy for all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def seconds(
    functions: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 7,
    of: Callable[[Sequence[float]], float] = statistics.median,
) -> dict[str, float]:
    """Median seconds of each function over `rounds` rounds, in each of which every function runs once.

    of : another figure than the median; for functions of a few milliseconds on a busy machine, min
    """
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - started)
    return {name: of(values) for name, values in times.items()}


def print_ratios(title: str, measured: Mapping[str, float], *, base: str) -> None:
    """One line a function: milliseconds, and how many times as long as `base`."""
    print(title)
    for name, value in measured.items():
        print(f"    {name:<24}{1e3 * value:10.2f} ms{value / measured[base]:9.2f} x {base}")
