"""What this machine can do at best: bytes copied, products and exponentials in a second.

    python benchmarks/bounds.py [THREADS]

No kernel is faster than its bytes, its products or its exponentials alone; `least_seconds` says how fast that is. Rates
are the best of many short runs, with as many threads as torch uses (exponentials: one, times the threads).
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable

import torch

from dgno.kernels import selective_scan_c

COPIED = 2**28  # bytes: larger than any cache
PRODUCT = 2048  # rows and columns of the matrices
EXPONENTIALS = 2048  # numbers at a time: with their results they fit the first cache level


def best_seconds(function: Callable[[], object], runs: int = 10) -> float:
    """The shortest of some runs: what else the machine does only ever adds.

    Of processor time, shared evenly by the threads: where others keep the machine busy, the clock would show one that
    is too slow.
    """
    times = []
    for _ in range(runs):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times) / torch.get_num_threads()


def copy(moved: float) -> Callable[[], object]:
    """Something to run that reads and writes `moved` bytes in all: to be timed beside what moves as many."""
    source = torch.ones(max(1, round(moved / 8)))
    target = torch.ones_like(source)
    return lambda: target.copy_(source)


def exponentials(count: float) -> Callable[[], object]:
    """Something to run that takes about `count` exponentials, on one thread, from and to the first cache level."""
    x, repeats = torch.linspace(-20, 0, EXPONENTIALS), max(1, round(count / EXPONENTIALS))
    y = torch.empty_like(x)

    def by_torch() -> None:
        for _ in range(repeats):
            torch.exp(x, out=y)

    try:
        compiled = selective_scan_c.load()
    except OSError:
        return by_torch
    return lambda: compiled.exponentials(x, y, repeats)


@functools.cache
def copy_rate() -> float:
    """Bytes read plus bytes written per second, from memory to memory."""
    return 2 * COPIED / best_seconds(copy(2 * COPIED))


@functools.cache
def product_rate(dtype: torch.dtype = torch.float32) -> float:
    """Floating-point operations (multiplications and additions) per second of the best large matrix product.

    As a plain product and as a 1x1 convolution on channels-last memory: torch sends them to different libraries.
    """
    n = PRODUCT
    a, b = torch.ones(n, n, dtype=dtype), torch.ones(n, n, dtype=dtype)
    images = torch.ones(16, n, n // 16, 1, dtype=dtype).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        functions = (lambda: a @ b, lambda: torch.nn.functional.conv2d(images, b[:, :, None, None]))
        return 2 * n**3 / min(best_seconds(function, 5) for function in functions)


@functools.cache
def exp_rate() -> float:
    """Exponentials (float32) per second: of the compiled kernels, or torch's own where there are none."""
    count = 200 * EXPONENTIALS
    return count / best_seconds(exponentials(count), 20)  # shared evenly: those of all threads


def least_seconds(*, moved: float = 0, operations: float = 0, exponentials: float = 0) -> float:
    """The longest of what the bytes, the float32 operations and the exponentials take by themselves."""
    seconds = [moved / copy_rate()]
    if operations:
        seconds.append(operations / product_rate())
    if exponentials:
        seconds.append(exponentials / exp_rate())
    return max(seconds)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s)")
    print(f"copy          {copy_rate() * 1e-9:8.1f} GB/s, read and written")
    for dtype in (torch.float32, torch.bfloat16):
        print(f"products      {product_rate(dtype) * 1e-9:8.1f} GFLOP/s, {dtype}")
    print(f"exponentials  {exp_rate() * 1e-9:8.1f} G/s")
