"""Measure functions side by side: interleaved runs in one process, so that a noisy machine is noisy for all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Taken:
    """What a run takes, in seconds: of the clock, and of all processor cores together, which others disturb least."""

    wall: float
    busy: float


def timed(function: Callable[[], object]) -> Taken:
    """What one run takes."""
    busy, started = time.process_time(), time.perf_counter()
    function()
    return Taken(time.perf_counter() - started, time.process_time() - busy)


def median(taken: list[Taken]) -> Taken:
    """The median of each."""
    return Taken(statistics.median(t.wall for t in taken), statistics.median(t.busy for t in taken))


def in_turn(functions: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[Taken]]:
    """What each function takes in each of `rounds` rounds, in which every function runs once."""
    found: dict[str, list[Taken]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            found[name].append(timed(function))
    return found


def interleaved(functions: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Taken]:
    """Medians of each function over rounds in which they take turns."""
    return {name: median(runs) for name, runs in in_turn(functions, rounds=rounds).items()}


def seconds(
    functions: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 7,
    of: Callable[[Sequence[float]], float] = statistics.median,
) -> dict[str, float]:
    """Median seconds of each function, interleaved, after one run of each that does not count.

    of : another figure than the median; for functions of a few milliseconds on a busy machine, min
    """
    for function in functions.values():
        function()
    return {name: of([one.wall for one in runs]) for name, runs in in_turn(functions, rounds=rounds).items()}


def print_ratios(title: str, measured: Mapping[str, float], *, base: str) -> None:
    """One line a function: milliseconds, and how many times as long as `base`."""
    print(title)
    for name, value in measured.items():
        print(f"    {name:<24}{1e3 * value:10.2f} ms{value / measured[base]:9.2f} x {base}")
