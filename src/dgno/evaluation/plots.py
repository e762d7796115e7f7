"""Scores as pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dgno.arrays import Image
from dgno.data.records import Record
from dgno.evaluation.compare import Method, Score
from dgno.evaluation.pairs import read_pair
from dgno.evaluation.protocols import DGNO, Protocol
from dgno.io.atomic import write_bytes

CROP = 256  # px shown of an example
LABEL = 30  # characters of a method's name, such as the path of its weights, of which the end tells most
PERFECT = 200.0  # dB; what an infinite PSNR counts as where numbers are drawn or ordered


def box_plots(path: Path, scores: Sequence[Score]) -> None:
    """PSNR, SSIM and the other measures of every method over the images that they are defined for, as box plots."""
    methods = list(dict.fromkeys(score.method for score in scores))
    values: dict[str, list[list[float]]] = {
        "PSNR, dB": _without_perfect([[min(s.psnr, PERFECT) for s in scores if s.method == m] for m in methods]),
        "SSIM": [[s.ssim for s in scores if s.method == m] for m in methods],
    }
    for name in scores[0].measures:
        found = [[s.measures[name] for s in scores if s.method == m] for m in methods]
        values[name] = [[min(value, PERFECT) for value in group if value is not None] for group in found]
    rows = -(-len(values) // 2)
    figure = Figure(figsize=(4 + 1.2 * len(methods), 4 * rows), layout="tight")
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for axis, (label, groups) in zip(axes, values.items(), strict=False):
        axis.boxplot(groups, tick_labels=[m if len(m) <= LABEL else f"...{m[-LABEL:]}" for m in methods])
        axis.set_ylabel(label)
        axis.tick_params(axis="x", rotation=30)
        axis.grid(axis="y", alpha=0.3)
    for axis in axes[len(values) :]:
        axis.axis("off")
    save_figure(path, figure)


def _without_perfect(groups: list[list[float]]) -> list[list[float]]:
    """Methods that are perfect on all images, as the sharp image is, have no box, lest the others' be flat."""
    others = [group if min(group) < PERFECT else [] for group in groups]
    return others if any(others) else groups


@dataclass(frozen=True)
class Example:
    """One pair, restored by all methods; `label` says why it was chosen."""

    label: str
    name: str
    restored: dict[str, Image]
    sharp: Image


def choose_examples(
    records: Sequence[Record], scores: Sequence[Score], methods: Mapping[str, Method], protocol: Protocol = DGNO
) -> list[Example]:
    """Three pairs, restored anew: where the last method gains least over the first one, median, and most.

    The first is the blurred image itself, and weights come last; see `methods.by_name`.
    """
    names = list(methods)
    gain, before = (
        {s.image: min(s.psnr, PERFECT) for s in scores if s.method == name} for name in (names[-1], names[0])
    )
    ranked = sorted(records, key=lambda record: gain[record.key] - before[record.key])
    chosen = {"worst": ranked[0], "median": ranked[len(ranked) // 2], "best": ranked[-1]}
    shown = []
    for label, record in chosen.items():
        pair = read_pair(record, protocol)
        restored = {name: method(pair.blurred, record) for name, method in methods.items()}
        shown.append(Example(label, record.key, restored, pair.sharp))
    return shown


def draw_examples(path: Path, chosen: Sequence[Example], protocol: Protocol = DGNO) -> None:
    """A row for every pair: all methods and the sharp image."""
    figure, grid = _grid(len(chosen), len(chosen[0].restored) + 1)
    for row, example in zip(grid, chosen, strict=True):
        for axis, (name, image) in zip(row, [*example.restored.items(), ("sharp", example.sharp)], strict=True):
            show(axis, image, _scaled_like(image, example.sharp, protocol))
            axis.set_title(f"{name}, {example.label}: {example.name}"[:44], fontsize=7)
    save_figure(path, figure)


def error_maps(path: Path, chosen: Sequence[Example], protocol: Protocol = DGNO) -> None:
    """Where the last method errs less (red) or more (blue) than each other one: |e_other| - |e_last|.

    An error e is restored - sharp, in unit values by the protocol; the mean of |e| over colours. One scale, symmetric
    about 0, in all panels; Fig. 6c of the DGNO paper. Nothing is written where there is only one method.
    """
    *others, last = chosen[0].restored
    if not others:
        return
    maps = {
        (i, other): error_difference(example.restored[other], example.restored[last], example.sharp, protocol)
        for i, example in enumerate(chosen)
        for other in others
    }
    limit = max(float(np.abs(m).max()) for m in maps.values()) or 1.0
    figure, grid = _grid(len(chosen), len(others))
    for (i, other), values in maps.items():
        axis = grid[i][others.index(other)]
        drawn = axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axis.set_title(f"|{other}| - |{last}|, {chosen[i].label}: {chosen[i].name}"[:60], fontsize=6)
        axis.axis("off")
    figure.colorbar(drawn, ax=list(grid.ravel()), shrink=0.6)
    save_figure(path, figure)


def error_difference(one: Image, other: Image, sharp: Image, protocol: Protocol = DGNO) -> np.ndarray:
    """|e of `one`| - |e of `other`| in the middle of an image, (h, w), in unit values."""
    truth, first, second = (middle(image, _scaled_like(image, sharp, protocol)) for image in (sharp, one, other))
    if protocol.clamp:
        truth, first, second = (values.clip(0, 1) for values in (truth, first, second))
    return (np.abs(first - truth) - np.abs(second - truth)).mean(axis=-1)


def _scaled_like(image: Image, sharp: Image, protocol: Protocol) -> Image:
    """Whose black and white an image has in a protocol."""
    return sharp if protocol.shared else image


def _grid(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(2.6 * columns, 2.7 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def show(axis: Axes, image: Image, scaled_like: Image) -> None:
    """The middle of an image, black and white as in another one."""
    view = middle(image, scaled_like).clip(0, 1)
    axis.imshow(view.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.axis("off")


def middle(image: Image, scaled_like: Image) -> np.ndarray:
    """At most CROP x CROP px of the first plane, (h, w, c), float64; black and white of another image are 0 and 1."""
    plane = next(image.planes()).astype(np.float64)
    low, high = scaled_like.value_range
    top, left = (max(0, (n - CROP) // 2) for n in plane.shape[:2])
    return (plane[top : top + CROP, left : left + CROP] - low) / ((high - low) or 1.0)


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, 120 px an inch. Raises OutputError."""
    png = io.BytesIO()
    figure.savefig(png, dpi=120, format="png")
    write_bytes(path, png.getvalue())
