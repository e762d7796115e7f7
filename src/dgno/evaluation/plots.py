"""Scores as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dgno.arrays import Image
from dgno.data.pairs import PairFiles
from dgno.evaluation.compare import Method, Score, read_pair

CROP = 256  # px shown of an example
PERFECT = 200.0  # dB; what an infinite PSNR counts as where numbers are drawn or ordered


def box_plots(path: Path, scores: Sequence[Score]) -> None:
    """PSNR and SSIM of every method over the images, as box plots."""
    methods = list(dict.fromkeys(score.method for score in scores))
    figure = Figure(figsize=(4 + 1.2 * len(methods), 4), layout="tight")
    axes = figure.subplots(1, 2)
    for axis, measure, label in zip(axes, ("psnr", "ssim"), ("PSNR, dB", "SSIM"), strict=True):
        values = [[min(getattr(s, measure), PERFECT) for s in scores if s.method == m] for m in methods]
        axis.boxplot(values, tick_labels=methods)
        axis.set_ylabel(label)
        axis.tick_params(axis="x", rotation=30)
        axis.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=120)


def examples(path: Path, pairs: Sequence[PairFiles], scores: Sequence[Score], methods: Mapping[str, Method]) -> None:
    """Three pairs, restored by all methods: where the last one gains least over the first one, median, and most.

    The first is the blurred image itself, and weights come last; see `methods.by_name`.
    """
    names = list(methods)
    gain, before = (
        {s.image: min(s.psnr, PERFECT) for s in scores if s.method == name} for name in (names[-1], names[0])
    )
    ranked = sorted(pairs, key=lambda pair: gain[pair.name] - before[pair.name])
    chosen = {"worst": ranked[0], "median": ranked[len(ranked) // 2], "best": ranked[-1]}
    figure = Figure(figsize=(2.6 * (len(names) + 1), 8), layout="tight")
    axes = figure.subplots(3, len(names) + 1, squeeze=False)
    for row, (label, pair) in zip(axes, chosen.items(), strict=True):
        blurred, sharp = read_pair(pair)
        shown = [method(blurred, pair) for method in methods.values()] + [sharp]
        for axis, image, name in zip(row, shown, [*names, "sharp"], strict=True):
            show(axis, image, sharp)
            axis.set_title(f"{name}, {label}: {pair.name}"[:44], fontsize=7)
    figure.savefig(path, dpi=120)


def show(axis: Axes, image: Image, scaled_like: Image) -> None:
    """The middle of an image, black and white as in another one."""
    plane = next(image.planes()).astype(np.float64)
    low, high = scaled_like.value_range
    top, left = (max(0, (n - CROP) // 2) for n in plane.shape[:2])
    view = ((plane[top : top + CROP, left : left + CROP] - low) / (high - low)).clip(0, 1)
    axis.imshow(view.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.axis("off")
