"""Table 11: memory and throughput by size, each measurement in a process of its own.

Evaluation mode, batch 1, float32, random values: what a network costs does not depend on its weights. Memory is the
peak while restoring above that before, of the process on a CPU and of torch's allocator on a GPU.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch

from dgno.evaluation.bench.profiles import TINY, Profile
from dgno.evaluation.bench.table import NO_NUMBER, QUOTED, Table
from dgno.networks.config import DGNOConfig
from dgno.networks.presets import NETWORKS, build

SIZES = (128, 256, 384, 512)  # px
TINY_SIZES = (128, 256)
GB = 1e9

# (memory in GB, images per second) at 128, 256, 384 and 512 px, as printed; the paper's device and batch are not stated
PUBLISHED = {
    "SwinIR": ((4, 29), (16, 5), (36, 2), (63, 1)),
    "Restormer": ((3, 24), (12, 11), (27, 5), (48, 3)),
    "MPT": ((2, 7), (10, 9), (24, 3), (41, 2)),
    "DGNO": ((1, 30), (4, 27), (9, 18), (15, 10)),
}
MEASURED: Mapping[str, DGNOConfig | None] = {
    "SwinIR": None,
    "Restormer": NETWORKS["restormer-unet"],
    "MPT": None,
    "DGNO": NETWORKS["dgno-cell"],
}


@dataclass(frozen=True)
class Speed:
    """Peak memory in bytes, and seconds for one image: median of the timed runs."""

    memory: int
    seconds: float


def measure_speed(network: DGNOConfig, side: int, device: str, threads: int, repeats: int) -> Speed:
    """In this process: one image of side x side px."""
    torch.set_num_threads(threads)
    place = torch.device(device)
    built, image = build(network).eval().to(place), torch.rand(1, network.channels, side, side, device=place)
    with torch.no_grad():
        built(image[..., :64, :64])
        before = _peak(place)
        seconds = [_timed(built, image, place) for _ in range(max(repeats // 5, 1) + repeats)]
    return Speed(_peak(place) - before, statistics.median(seconds[-repeats:]))


def _timed(network: torch.nn.Module, image: torch.Tensor, place: torch.device) -> float:
    started = time.perf_counter()
    network(image)
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    return time.perf_counter() - started


def _peak(place: torch.device) -> int:
    if place.type == "cuda":
        return torch.cuda.max_memory_allocated(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def speed_table(
    profile: Profile, device: torch.device, progress: Callable[[float], None] = lambda share: None
) -> Table:
    """Memory and images per second of every network at every size, beside the published ones."""
    sizes, repeats = (TINY_SIZES, 3) if profile is TINY else (SIZES, 50)
    threads, lines = torch.get_num_threads(), []
    for i, (name, network) in enumerate(MEASURED.items()):
        for j, side in enumerate(sizes):
            published = PUBLISHED[name][SIZES.index(side)]
            ours = _apart(network, side, str(device), threads, repeats) if network else None
            lines.append(_line(name, side, published, ours))
            progress((i + (j + 1) / len(sizes)) / len(MEASURED))
    return Table(
        f"Table 11: memory and throughput; profile {profile.name}, {device}, {threads} threads, float32, batch 1",
        ("", "px", "GB paper", "GB ours", "images/s paper", "images/s ours", "comparable?"),
        tuple(lines),
        (
            "Comparable? no: the paper states neither device nor batch nor precision; 63 GB exceed the card it names.",
            f"Ours: median of {repeats} images after warm-up. Restormer is a net of its type in our size.",
            "SwinIR: a peer's network that is not built here.",
            "MPT: a peer's network that is not built here.",
        ),
    )


def _apart(*arguments: object) -> Speed:
    """In a fresh process, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure_speed, *arguments).result()  # type: ignore[arg-type]


def _line(name: str, side: int, published: tuple[int, int], ours: Speed | None) -> tuple[str, ...]:
    memory, speed = published
    if ours is None:
        return name, str(side), str(memory), NO_NUMBER, str(speed), NO_NUMBER, QUOTED
    return name, str(side), str(memory), f"{ours.memory / GB:.2f}", str(speed), f"{1 / ours.seconds:.2f}", "no"
