"""Whether nuclei are found better in restored images: average precision against labels; Markdown tables.

    python benchmarks/downstream.py IMAGES OUT

IMAGES holds one folder of sharp images per data set, as named in SETS. Each image is blurred once as by `dgno simulate`
with its defaults and SEED, restored, and searched for nuclei as by `dgno evaluate --downstream`.
Where a data set has no labels, the nuclei that the same detector finds in the sharp image stand for them. OUT gets the
pairs and all scores.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dgno.arrays import Image
from dgno.cli.console import progress_bar
from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.records import Record
from dgno.data.simulated import write_pairs
from dgno.evaluation import compare, methods, summaries
from dgno.evaluation.downstream.detectors import DETECTORS
from dgno.evaluation.downstream.tasks import chosen_task
from dgno.evaluation.protocols import DGNO
from dgno.io.image import read_image, write_image
from dgno.optics.simulate import BlurRange
from dgno.restoration.inputs import list_files

SEED = 2026
SIZES = ("nano", "small")


@dataclass(frozen=True)
class DataSet:
    """Sharp images, their labels ("" for none), what begins the names of weights for them, and their detector."""

    name: str
    folder: str
    labels: str
    image: str
    detector: str


SETS = (
    DataSet("DSB 2018, fluorescence", "dsb_fluorescence/images", "dsb_fluorescence/labels", "fluorescence", "nuclei"),
    DataSet("DSB 2018, H&E", "dsb_he/images", "dsb_he/labels", "brightfield", "stained-nuclei"),
    DataSet("BBBC006, w1, nuclei of the sharp images", "bbbc006/sharp", "", "fluorescence", "nuclei"),
)


def measure(data_set: DataSet, images: Path, out: Path) -> list[compare.Score]:
    """Blur, restore and search one data set."""
    files = [path for path, _ in list_files([images / data_set.folder], out)]
    write_pairs(files, out, BlurRange(), seed=SEED, scale="auto", overwrite=True)
    records = read_folder_pair(out)
    labels = images / data_set.labels if data_set.labels else _labels_of_sharp(data_set, records, out / "found")
    task, records = chosen_task(data_set.detector, records, labels=labels)
    weights = [f"{data_set.image}-{size}" for size in SIZES]
    chosen = methods.with_sharp(methods.by_name(weights, ["wiener", "richardson-lucy"]), DGNO)
    with progress_bar(data_set.name) as progress:
        scores = compare.compare(records, chosen, task=task, progress=progress)
    summaries.write_csv(out / "scores.csv", scores)
    return scores


def _labels_of_sharp(data_set: DataSet, records: Sequence[Record], folder: Path) -> Path:
    """Labels that the detector finds in the sharp images."""
    folder.mkdir(exist_ok=True)
    detect = DETECTORS[data_set.detector]()
    for record in records:
        sharp = next(read_image(record.target).planes()).astype(np.float64)
        write_image(folder / f"{record.target.stem}.tif", Image(detect(sharp).astype(np.uint16)), overwrite=True)
    return folder


def gain(scores: Sequence[compare.Score], method: str) -> tuple[float, float, int]:
    """Of mean AP over the blurred images: mean, its standard error, and on how many images it rises."""
    values = {m: [s.measures["mean-ap"] or 0.0 for s in scores if s.method == m] for m in ("blurred", method)}
    changes = [one - other for one, other in zip(values[method], values["blurred"], strict=True)]
    error = statistics.stdev(changes) / math.sqrt(len(changes))
    return statistics.fmean(changes), error, sum(change > 0 for change in changes)


def main(images: Path, out: Path) -> None:
    print("| data set | n | method | AP .5 | AP .7 | AP .9 | mean AP | pooled | gain | images that gain |")
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    for data_set in SETS:
        scores = measure(data_set, images, out / Path(data_set.folder).parts[0])
        for line in summaries.summarise(scores):
            found = [f"{spread.mean:.3f} ± {spread.sd:.3f}" for spread in line.measures.values()]
            mean, error, risen = gain(scores, line.method)
            last = f"{mean:+.3f} ± {error:.3f} | {risen}" if line.method != "blurred" else " | "
            pooled = f"{line.measures['mean-ap'].pooled:.3f}"
            cells = (data_set.name, str(line.n), line.method, *found, pooled, last)
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
