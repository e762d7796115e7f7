"""Variants of the network on the same data, for the same number of steps, by the same protocol; a Markdown table.

    python benchmarks/variants.py CONFIG IMAGES OUT [--steps 2000] [--seeds 3] [--minutes M] [--only NAME ...]

CONFIG is a training configuration whose data, blur and augmentation all variants take, `docs/training/variants.toml`;
IMAGES the sharp images of `quality.py`. Each variant is trained afresh from each seed into OUT/runs, and goes on there
when this is said again; --minutes bounds a call, so that the table grows over days. What is trained whole is evaluated:
images blurred as by `dgno simulate`, and by soft disks of 1, 2, 3 and 4 px. PSNR, SSIM and the PSNR near edges are
means over images; ± is the standard deviation over seeds. Seconds are of one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from quality import SEED, SETS

from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.simulated import write_pairs
from dgno.evaluation import compare, methods
from dgno.evaluation.measures import MEASURES
from dgno.networks import NETWORKS
from dgno.networks.config import DGNOConfig
from dgno.optics.simulate import BlurRange
from dgno.restoration.batch import list_files
from dgno.training.config import Stage, TrainConfig, load_config
from dgno.training.loop import WEIGHTS, train

CELL, FACE = NETWORKS["nano-cell"], NETWORKS["nano-face"]
VARIANTS: dict[str, DGNOConfig] = {
    "DGNO-Cell": CELL,
    "DGNO-Face": FACE,
    "DGNO-Cell, as released": replace(CELL, convention="released"),
    "DGNO-Face, as released": replace(FACE, convention="released"),
    "DGNO-Cell, global lifting": replace(CELL, scan_block=None, shallow_norm="instance"),
    "LG": replace(CELL, scope="none"),
    "GG": replace(CELL, scope="global"),
    "NAFNet-type U-Net": NETWORKS["nano-naf-unet"],
    "Restormer-type U-Net": NETWORKS["nano-restormer-unet"],
}
BLURS = {"varying": BlurRange()} | {
    f"{sigma:g} px": BlurRange(sigma=(sigma, sigma), fields=("constant",)) for sigma in (1.0, 2.0, 3.0, 4.0)
}
EDGE = "edge-psnr"


class Run(NamedTuple):
    """One training."""

    variant: str
    seed: int

    @property
    def folder(self) -> str:
        return f"{self.variant.replace(', ', '-').replace(' ', '-').lower()}-{self.seed}"


class Found(NamedTuple):
    """Means over the images of one set."""

    psnr: float
    ssim: float
    edge: float
    seconds_per_megapixel: float


def trained(base: TrainConfig, run: Run, out: Path, steps: int, minutes: float) -> Path | None:
    """The weights of a run, once it is whole."""
    network = replace(VARIANTS[run.variant], channels=base.network.channels)
    stages = (Stage(steps, base.stages[0].crop, base.stages[0].batch),)
    folder = out / "runs" / run.folder
    config = replace(base, network=network, seed=run.seed, stages=stages, out=folder, init=None)
    begun = any(folder.glob("checkpoints/step-*"))
    weights, done = train(config, resume=begun, max_minutes=minutes)
    return weights if done == steps else None


def pairs_of(base: TrainConfig, images: Path, out: Path) -> Iterator[tuple[str, str, Path]]:
    """Data set, blur and folder of the pairs, which are made once."""
    for data_set in SETS:
        if data_set.takes_colour != (base.network.channels == 3):
            continue
        files = [path for path, _ in list_files([images / data_set.folder], out)]
        for blur, ranges in BLURS.items():
            folder = out / "pairs" / f"{Path(data_set.folder).parts[0]}-{blur.replace(' ', '')}"
            if not (folder / "manifest.csv").exists():
                write_pairs(files, folder, ranges, seed=SEED, scale="auto", overwrite=True)
            yield data_set.name, blur, folder


def evaluated(weights: Path | None, pairs: Path) -> Found:
    """What weights, or nothing, give on these pairs."""
    name = [] if weights is None else [str(weights)]
    chosen = dict([list(methods.by_name(name, ()).items())[-1]])
    scores = compare.compare(read_folder_pair(pairs), chosen, measures={EDGE: MEASURES[EDGE]})
    edges = [score.measures[EDGE] for score in scores]
    return Found(
        statistics.mean(score.psnr for score in scores),
        statistics.mean(score.ssim for score in scores),
        statistics.mean(edge for edge in edges if edge is not None),
        statistics.median(score.seconds_per_megapixel for score in scores),
    )


def told(values: list[float], form: str) -> str:
    spread = f" ± {format(statistics.stdev(values), form)}" if len(values) > 1 else ""
    return f"{format(statistics.mean(values), form)}{spread}"


def print_rows(found: dict[str, list[dict[tuple[str, str], Found]]], plain: dict[tuple[str, str], Found]) -> None:
    """A line for every set, blur and variant."""
    print("| images | blur | network | seeds | PSNR, dB | SSIM | PSNR near edges | s/Mpx |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    for key, one in plain.items():
        print(f"| {key[0]} | {key[1]} | blurred | | {one.psnr:.2f} | {one.ssim:.4f} | {one.edge:.2f} | |")
        for variant, seeds in found.items():
            columns = zip(*(seed[key] for seed in seeds), strict=True)
            psnr, ssim, edge, speed = (
                told(list(column), form) for column, form in zip(columns, (".2f", ".4f", ".2f", ".2f"), strict=True)
            )
            print(f"| {key[0]} | {key[1]} | {variant} | {len(seeds)} | {psnr} | {ssim} | {edge} | {speed} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "images", "out"):
        parser.add_argument(name, type=Path)
    for name, usual in (("steps", 2000), ("seeds", 3)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    base, end = load_config(asked.config), time.monotonic() + 60 * asked.minutes

    def left() -> float:
        return max(0.0, (end - time.monotonic()) / 60)

    runs = [Run(variant, seed) for seed in range(asked.seeds) for variant in asked.only]  # a seed of all, then the next
    whole = {run: weights for run in runs if (weights := _go_on(base, run, asked.out, asked.steps, left))}
    pairs = list(pairs_of(base, asked.images, asked.out))
    plain = {(name, blur): evaluated(None, folder) for name, blur, folder in pairs}
    found: dict[str, list[dict[tuple[str, str], Found]]] = {}
    for run, weights in whole.items():
        scores = {(name, blur): evaluated(weights, folder) for name, blur, folder in pairs}
        found.setdefault(run.variant, []).append(scores)
    print_rows(found, plain)


def _go_on(base: TrainConfig, run: Run, out: Path, steps: int, left: Callable[[], float]) -> Path | None:
    weights = out / "runs" / run.folder / WEIGHTS
    done = (out / "runs" / run.folder / "checkpoints" / f"step-{steps:08d}").exists()
    return weights if done and weights.exists() else trained(base, run, out, steps, left()) if left() else None


if __name__ == "__main__":
    main()
