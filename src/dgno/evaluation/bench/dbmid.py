"""DBMID's restorations out of focus (Jiang et al. 2020, arXiv:2011.11879), with the numbers that it prints.

Its Table 3, one stain against all of them; and its second microscope. DL_defocus is its network, and DGNO's Cell stands
in its place. What it means by SSIM, how long it trained and on which crops, it does not say.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dgno.evaluation.bench.columns import PSNR, SSIM, ssim_of
from dgno.evaluation.bench.datasets import DATASETS, SECOND_MICROSCOPE, STAINED
from dgno.evaluation.bench.experiment import Column, Experiment, FineTuning, Row, mean_or_nan
from dgno.evaluation.bench.pictures import draw_table
from dgno.evaluation.bench.run import Bench, Progress, Remark, measure
from dgno.evaluation.bench.table import Result, Table, make_table, write_csv
from dgno.evaluation.compare import unchanged
from dgno.networks.presets import NETWORKS, PRESETS, NetworkConfig

DL_DEFOCUS, DGNO_CELL = PRESETS["dbmid-5"], replace(NETWORKS["dgno-cell"], channels=3)
RESTORING: Mapping[str, NetworkConfig] = {"DL_defocus": DL_DEFOCUS, "DGNO-Cell": DGNO_CELL}
ALL = "all"


def _of_stain(name: str) -> Column:
    return Column(name, ssim_of, wanted=lambda record: name in (ALL, record.channel), digits=4)


STAINS = tuple(map(_of_stain, (*STAINED, ALL)))


def _similarities(*values: float) -> dict[str, float]:
    return dict(zip((column.title for column in STAINS), values, strict=True))


INPUT_SPREAD = _similarities(0.0288, 0.1898, 0.1431, 0.1677)  # printed as ± with the blurred images
OWN = "own stain"
PUBLISHED_OWN = _similarities(0.9477, 0.8126, 0.9280, 0.8961)  # each stain by a network of its own
PUBLISHED_ALL = _similarities(0.9458, 0.8281, 0.9261, 0.9000)

TABLE_3 = Experiment(
    "DBMID, Table 3: SSIM of defocused images, one stain against all",
    train="dbmid-stains",
    test="dbmid-stains",
    rows=(
        Row("blurred", method=unchanged, published=_similarities(0.9007, 0.6679, 0.7846, 0.7844)),
        *(
            Row(f"{name}, {stain} alone", network=network, train=f"dbmid-{stain}")
            for name, network in RESTORING.items()
            for stain in STAINED
        ),
        Row("DL_defocus, all stains", network=DL_DEFOCUS, published=PUBLISHED_ALL),
        Row("DGNO-Cell, all stains", network=DGNO_CELL),
    ),
    columns=STAINS,
    comparable="nearly: the split comes with the data; the window of SSIM, crops and steps are not stated, nor a "
    "network of another kind",
    tiny_steps=12,
)

_TENTH = FineTuning()
SECOND = Experiment(
    "DBMID, second microscope: trained on 10x / 0.3, used on 10x / 0.25",
    train="dbmid-TCT",
    test=SECOND_MICROSCOPE,
    rows=(
        Row("blurred", method=unchanged),
        *(
            row
            for name, network in RESTORING.items()
            for row in (
                Row(f"{name}, as it is", network=network),
                Row(
                    f"{name}, fine-tuned on a tenth",
                    network=network,
                    train=SECOND_MICROSCOPE,
                    tuning=replace(_TENTH, start="dbmid-TCT", steps=0.25, learning_rate=0.25),
                ),
                Row(f"{name}, afresh on a tenth", network=network, train=SECOND_MICROSCOPE, tuning=_TENTH),
                Row(f"{name}, afresh on all", network=network, train=SECOND_MICROSCOPE),
            )
        ),
    ),
    columns=(PSNR, SSIM),
    comparable="no: the images of the second microscope are not published, nor were its numbers at hand",
    tiny_steps=24,
)


def run_table_3(bench: Bench, folder: Path, progress: Progress, remark: Remark) -> tuple[list[Table], list[str]]:
    """Table 3, with lines where each stain is restored by the network of its own."""
    results = bench.run(TABLE_3, progress, remark)
    shown = [results[0]]
    for name in RESTORING:
        of_stain = {stain: _called(results, f"{name}, {stain} alone") for stain in STAINED}
        published = PUBLISHED_OWN if name == "DL_defocus" else {}
        shown += [own_stain(f"{name}, own stain", of_stain, published), _called(results, f"{name}, all stains")]
    shown += [result for result in results if result.row.name.endswith("alone")]
    table = make_table(TABLE_3, bench.profile, shown, protocol=DATASETS[TABLE_3.test].protocol.name)
    table = replace(table, notes=(*table.notes, _spread(bench), *_MEANINGS))
    write_csv(folder / "table.csv", shown)
    draw_table(folder / "table.png", TABLE_3, shown, title=table.title)
    return [table], ["table.csv", "table.png"]


_MEANINGS = (
    "Own stain: every stain by the network that was trained on it alone; all: the mean over stains, as the paper's is.",
    "TCT alone, and so on: one such network on every stain, of which the paper has only its own.",
)


def _called(results: Sequence[Result], name: str) -> Result:
    return next(result for result in results if result.row.name == name)


def own_stain(name: str, of_stain: Mapping[str, Result], published: Mapping[str, float]) -> Result:
    """One line of several networks: every stain by its own, and the mean over stains."""
    means = {stain: result.means[stain] for stain, result in of_stain.items()}
    images = {stain: result.images[stain] for stain, result in of_stain.items()}
    means[ALL] = tuple(map(statistics.fmean, zip(*means.values(), strict=True)))
    images[ALL] = sum(images.values())
    first = next(iter(of_stain.values()))
    return Result(Row(name, network=first.row.network, published=published), means, images, first.cost)


def _spread(bench: Bench) -> str:
    """How much the blurred images differ among each other, here and in the paper."""
    scores = measure(unchanged, bench.library.test_records(TABLE_3.test), TABLE_3)
    ours = {title: f"{mean_or_nan(values):.4f} ± {statistics.stdev(values):.4f}" for title, values in scores.items()}
    told = (
        f"{title} {TABLE_3.rows[0].published[title]:.4f} ± {INPUT_SPREAD[title]:.4f} in the paper, {ours[title]} here"
        for title in ours
    )
    return f"Blurred, ± standard deviation over the images: {'; '.join(told)}."
