"""Variants of the network on the same data, for the same number of steps, by the same protocol; a Markdown table.

    python benchmarks/variants.py CONFIG IMAGES OUT [--steps 1000] [--seeds 3] [--minutes M] [--only NAME ...]
                                  [--most N] [--weights NAME]

CONFIG is a training configuration whose data, blur and augmentation all variants take, `docs/training/variants.toml`;
IMAGES the sharp images of `quality.py`. Each variant is trained afresh from each seed into OUT/runs, and goes on there
when this is said again; --minutes bounds a call, so that the table grows over days. What is trained whole is evaluated,
and beside it --weights and the classical methods, of which all but "blind" are told the true mean PSF: on images
blurred as by `dgno simulate`, and by soft disks of 1, 2, 3 and 4 px. PSNR, SSIM, the PSNR near edges and the average
precision of nuclei at an IoU of 0.7, where there are labels, are means over images; of PSNR the standard deviation over
images stands in brackets, and ± is the standard deviation over seeds. Seconds are of one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from quality import SEED, SETS

from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.simulated import write_pairs
from dgno.evaluation import compare, methods
from dgno.evaluation.downstream.tasks import chosen_task
from dgno.evaluation.measures import MEASURES
from dgno.networks import NETWORKS
from dgno.networks.config import DGNOConfig
from dgno.optics.simulate import BlurRange
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.inputs import list_files
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
EDGE, AP = "edge-psnr", "ap-0.7"
CLASSICAL = ("wiener", "richardson-lucy", "blind")


class Run(NamedTuple):
    """One training."""

    variant: str
    seed: int

    @property
    def folder(self) -> str:
        return f"{self.variant.replace(', ', '-').replace(' ', '-').lower()}-{self.seed}"


class Found(NamedTuple):
    """Means over the images of one set."""

    n: int
    psnr: float
    psnr_sd: float
    ssim: float
    edge: float
    ap: float | None
    seconds_per_megapixel: float


class Pairs(NamedTuple):
    """Simulated pairs of one data set and one blur, and the labels of its nuclei, if it has any."""

    data_set: str
    blur: str
    folder: Path
    labels: Path
    detector: str


def trained(base: TrainConfig, run: Run, out: Path, steps: int, minutes: float) -> Path | None:
    """The weights of a run, once it is whole."""
    network = replace(VARIANTS[run.variant], channels=base.network.channels)
    stages = (Stage(steps, base.stages[0].crop, base.stages[0].batch),)
    folder = out / "runs" / run.folder
    config = replace(base, network=network, seed=run.seed, stages=stages, out=folder, init=None)
    begun = any(folder.glob("checkpoints/step-*"))
    weights, done = train(config, resume=begun, max_minutes=minutes)
    return weights if done == steps else None


def pairs_of(base: TrainConfig, images: Path, out: Path, most: int | None) -> Iterator[Pairs]:
    """The pairs, which are made once."""
    for data_set in SETS:
        if data_set.takes_colour != (base.network.channels == 3):
            continue
        files, stem = [path for path, _ in list_files([images / data_set.folder], out)], Path(data_set.folder).parts[0]
        for blur, ranges in BLURS.items():
            folder = out / f"pairs-{most or 'all'}" / f"{stem}-{blur.replace(' ', '')}"
            if not (folder / "manifest.csv").exists():
                write_pairs(files[:most], folder, ranges, seed=SEED, scale="auto", overwrite=True)
            detector = "stained-nuclei" if data_set.takes_colour else "nuclei"
            yield Pairs(data_set.name, blur, folder, images / stem / "labels", detector)


def evaluated(chosen: Mapping[str, compare.Method], pairs: Pairs) -> dict[str, Found]:
    """What each method gives on these pairs."""
    records, task = read_folder_pair(pairs.folder), None
    if pairs.labels.exists():
        task, records = chosen_task(pairs.detector, records, labels=pairs.labels)
    scores = compare.compare(records, chosen, measures={EDGE: MEASURES[EDGE]}, task=task)
    return {name: _means([score for score in scores if score.method == name]) for name in chosen}


def _means(scores: Sequence[compare.Score]) -> Found:
    def mean(name: str) -> float | None:
        values = [value for score in scores if (value := score.measures.get(name)) is not None]
        return statistics.mean(values) if values else None

    psnrs = [score.psnr for score in scores]
    return Found(
        len(scores),
        statistics.mean(psnrs),
        statistics.stdev(psnrs) if len(psnrs) > 1 else 0.0,
        statistics.mean(score.ssim for score in scores),
        mean(EDGE) or float("nan"),
        mean(AP),
        statistics.median(score.seconds_per_megapixel for score in scores),
    )


def told(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    spread = f" ± {format(statistics.stdev(known), form)}" if len(known) > 1 else ""
    return f"{format(statistics.mean(known), form)}{spread}" if known else ""


def print_rows(pairs: Pairs, found: Mapping[str, Sequence[Found]]) -> None:
    """A line for every method; of variants over the seeds."""
    for method, seeds in found.items():
        _, psnr, deviation, ssim, edge, ap, speed = zip(*seeds, strict=True)
        brackets = f" ({statistics.mean(deviation):.2f})"
        cells = (
            told(psnr, ".2f") + brackets,
            told(ssim, ".4f"),
            told(edge, ".2f"),
            told(ap, ".3f"),
            told(speed, ".2f"),
        )
        known = method in VARIANTS
        first = (pairs.data_set, str(seeds[0].n), pairs.blur, method, str(len(seeds)) if known else "")
        print(f"| {' | '.join((*first, *cells))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "images", "out"):
        parser.add_argument(name, type=Path)
    for name, usual in (("steps", 1000), ("seeds", 3)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--most", type=int, help="images of each set")
    parser.add_argument("--weights", help="weights of the package to stand beside the variants")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    base, end = load_config(asked.config), time.monotonic() + 60 * asked.minutes

    def left() -> float:
        return max(0.0, (end - time.monotonic()) / 60)

    runs = [Run(variant, seed) for seed in range(asked.seeds) for variant in asked.only]  # a seed of all, then the next
    whole = {run: weights for run in runs if (weights := _go_on(base, run, asked.out, asked.steps, left))}
    others = methods.by_name([asked.weights] if asked.weights else [], CLASSICAL)
    print("| images | n | blur | method | seeds | PSNR, dB | SSIM | PSNR near edges | AP .7 | s/Mpx |")
    print("|---|---:|---|---|---:|---:|---:|---:|---:|---:|")
    for pairs in pairs_of(base, asked.images, asked.out, asked.most):
        found = {name: [one] for name, one in evaluated(others, pairs).items()}
        for run, weights in whole.items():
            (one,) = evaluated({run.variant: methods.by_restorer(*make_restorer(weights))}, pairs).values()
            found.setdefault(run.variant, []).append(one)
        print_rows(pairs, found)


def _go_on(base: TrainConfig, run: Run, out: Path, steps: int, left: Callable[[], float]) -> Path | None:
    weights = out / "runs" / run.folder / WEIGHTS
    done = (out / "runs" / run.folder / "checkpoints" / f"step-{steps:08d}").exists()
    return weights if done and weights.exists() else trained(base, run, out, steps, left()) if left() else None


if __name__ == "__main__":
    main()
