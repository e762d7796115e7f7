"""DBMID's Table 2: four types of blur told apart, by its VGG16 and by our small network that looks at spectra too.

Jiang et al. 2020, arXiv:2011.11879. Trained on smears (TCT) alone, as there; stains that no training saw come after.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure

from dgno.data.recorded import PairSource
from dgno.evaluation.bench.datasets import DATASETS
from dgno.evaluation.bench.run import Bench, Progress, Remark, Task, part_of
from dgno.evaluation.bench.table import NO_NUMBER, QUOTED, Table
from dgno.evaluation.blur_types import TypedImage, crop_logits, labels_of, mean_probabilities, typed_images
from dgno.evaluation.classification import (
    BINS,
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    fit_temperature,
    precision_recall,
    wilson_interval,
)
from dgno.evaluation.plots import save_figure
from dgno.evaluation.saving import save_csv
from dgno.networks.presets import PRESETS, NetworkConfig
from dgno.optics.blur_types import BLUR_TYPES
from dgno.weights.store import load_classifier

TITLE = "DBMID, Table 2: types of blur told apart"
TRAINED = "dbmid-types"
UNSEEN = ("dbmid-types-HE", "dbmid-types-IHC")  # in and out of focus alone: nothing else was recorded of them
CLASSIFIERS: Mapping[str, NetworkConfig] = {"VGG16": PRESETS["blur-vgg16"], "blur-reader": PRESETS["blur-reader"]}
TINY_STEPS = {"VGG16": 400, "blur-reader": 600}
SEED = 2026  # of the places of crops
# rows called, columns actual: of 40 in focus two were called defocused; 878 of 880 right
PUBLISHED = np.array([[38, 0, 0, 0], [2, 200, 0, 0], [0, 0, 320, 0], [0, 0, 0, 320]])
WHY_NEARLY = "the split comes with the data; crops, steps and start of the training are not stated"

Matrix = Int[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Told:
    """What one classifier says of one set of images.

    seed : of its training; None: the paper's
    errors : expected calibration error as trained, and at the temperature fitted on what training held out
    """

    name: str
    seed: int | None
    matrix: Matrix
    errors: tuple[float, float] | None = None
    temperature: float | None = None


def run_table_2(bench: Bench, folder: Path, progress: Progress, remark: Remark) -> tuple[list[Table], list[str]]:
    """The table, its matrices, and both for stains that no training saw."""
    smears = typed_images(bench.library.test_records(TRAINED))
    others = typed_images([record for name in UNSEEN for record in bench.library.test_records(name)])
    told, elsewhere = [Told("VGG16 of the paper", None, PUBLISHED)], []
    todo = [(name, seed) for name in CLASSIFIERS for seed in bench.seeds]
    for i, (name, seed) in enumerate(todo):
        found = _trained(bench, name, seed, (smears, others), functools.partial(part_of, progress, i, len(todo)))
        told.append(found[0])
        elsewhere.append(found[1])
        remark(f"{name}, seed {seed}: {_right(found[0].matrix)}")
    progress(1.0)
    tables = [
        _scores(f"{TITLE}; profile {bench.profile.name}, smears", told, bench),
        _matrices(f"{TITLE}: called (rows) and actual (columns); profile {bench.profile.name}", told),
        _scores(f"{TITLE}; profile {bench.profile.name}, sections (HE, IHC) that no training saw", elsewhere, bench),
    ]
    _write_csv(folder / "matrices.csv", {"TCT": told, "HE and IHC": elsewhere})
    draw_matrices(folder / "matrices.png", first_of_each(told), title=f"{TITLE}; profile {bench.profile.name}")
    return tables, ["matrices.csv", "matrices.png"]


def _trained(
    bench: Bench, name: str, seed: int, sets: Sequence[Sequence[TypedImage]], progress: Progress
) -> list[Told]:
    """One training, and what its network says of every set."""
    crop, dataset = bench.profile.whole_crop, DATASETS[TRAINED]
    task = Task(CLASSIFIERS[name], TRAINED, crop, TINY_STEPS[name], seed)
    network = load_classifier(bench.trained(bench.configured(task), progress))[0].to(bench.device)
    source = PairSource(**vars(dataset.reading), split="train", scale=dataset.scale)
    held_out = typed_images(source.divide(bench.library.place(TRAINED))[1])
    kept = crop_logits(network, held_out, crop=crop, seed=SEED)
    temperature = fit_temperature(kept.reshape(-1, kept.shape[-1]), labels_of(held_out).repeat(kept.shape[1]))
    found = []
    for images in sets:
        labels, logits = labels_of(images), crop_logits(network, images, crop=crop, seed=SEED)
        plain, fitted = (mean_probabilities(logits, t) for t in (1.0, temperature))
        errors = expected_calibration_error(plain, labels), expected_calibration_error(fitted, labels)
        found.append(Told(name, seed, confusion_matrix(plain, labels), errors, temperature))
    return found


def _scores(title: str, told: Sequence[Told], bench: Bench) -> Table:
    """Accuracy with its interval, precision and recall of every type, calibration."""
    header = ["", "right", "accuracy %", "95 % interval", *(f"{name}, P / R" for name in BLUR_TYPES)]
    lines = [_line(one, bench) for one in told]
    return Table(title, (*header, "ECE", "T", "ECE at T", "comparable?"), tuple(lines), _notes(told, bench))


def _line(told: Told, bench: Bench) -> tuple[str, ...]:
    matrix = told.matrix
    low, high = wilson_interval(int(np.trace(matrix)), int(matrix.sum()))
    shares = [" / ".join(map(_percent, pair)) for pair in zip(*precision_recall(matrix), strict=True)]
    before, after = (f"{error:.3f}" for error in told.errors) if told.errors else (NO_NUMBER, NO_NUMBER)
    temperature = NO_NUMBER if told.temperature is None else f"{told.temperature:.2f}"
    mark = QUOTED if told.seed is None else NO_NUMBER
    if told.name == "VGG16":
        mark = (bench.profile.note or "nearly").partition(":")[0]
    measures = (_right(matrix), f"{100 * accuracy(matrix):.2f}", f"{100 * low:.2f} to {100 * high:.2f}", *shares)
    return _name(told), *measures, before, temperature, after, mark


def _percent(share: float) -> str:
    return NO_NUMBER if np.isnan(share) else f"{100 * share:.1f}"


def _right(matrix: Matrix) -> str:
    return f"{np.trace(matrix)} of {matrix.sum()}"


def _name(told: Told) -> str:
    return told.name if told.seed is None else f"{told.name}, seed {told.seed}"


def _notes(told: Sequence[Told], bench: Bench) -> tuple[str, ...]:
    quoted = any(one.seed is None for one in told)
    profile = bench.profile
    return (
        f"Comparable? {profile.note or f'nearly: {WHY_NEARLY}'}." if quoted else "The paper has no numbers for these.",
        f"Ours: crops of {profile.whole_crop} px at the scale of the image, one in the middle and four at random "
        "places, probabilities averaged; a line for every seed of the training. Interval: Wilson's, over images.",
        f"ECE: {BINS} equal bins of confidence. T: temperature fitted on images that training held out.",
        "P / R: precision and recall in %, - where a type is never called, or not there.",
    )


def first_of_each(told: Sequence[Told]) -> list[Told]:
    """The first seed of every classifier."""
    return list({one.name: one for one in reversed(told)}.values())[::-1]


def _matrices(title: str, told: Sequence[Told]) -> Table:
    lines = [
        (f"{_name(one)}: {name}", *map(str, one.matrix[i]))
        for one in first_of_each(told)
        for i, name in enumerate(BLUR_TYPES)
    ]
    return Table(title, ("called", *BLUR_TYPES), tuple(lines), ("The other seeds are in matrices.csv.",))


def _write_csv(path: Path, by_set: Mapping[str, Sequence[Told]]) -> None:
    header = ("stain", "classifier", "seed", "called", *(f"actual {name}" for name in BLUR_TYPES))
    lines: list[Sequence[object]] = [header]
    for stain, told in by_set.items():
        for one in told:
            seed = "" if one.seed is None else one.seed
            lines += [(stain, one.name, seed, name, *one.matrix[i]) for i, name in enumerate(BLUR_TYPES)]
    save_csv(path, lines)


def draw_matrices(path: Path, told: Sequence[Told], *, title: str) -> None:
    """Confusion matrices, shaded by the share of what is actual."""
    figure = Figure(figsize=(3.4 * len(told), 3.8), layout="constrained")
    for axis, one in zip(figure.subplots(1, len(told), squeeze=False)[0], told, strict=True):
        shares = one.matrix / np.maximum(one.matrix.sum(0), 1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), number in np.ndenumerate(one.matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, str(number), ha="center", va="center", color=colour)
        axis.set_xticks(range(len(BLUR_TYPES)), BLUR_TYPES, rotation=30, fontsize=7)
        axis.set_yticks(range(len(BLUR_TYPES)), BLUR_TYPES, fontsize=7)
        axis.set(xlabel="actual", ylabel="called")
        axis.set_title(f"{_name(one)}: {100 * accuracy(one.matrix):.2f} %", fontsize=9)
    figure.suptitle(title, fontsize=10)
    save_figure(path, figure)
