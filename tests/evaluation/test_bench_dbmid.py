"""DBMID's tables: what it printed, how networks are trained for them, and each run end to end on a few images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dgno.data.records import Record
from dgno.errors import MissingInput
from dgno.evaluation.bench import dbmid, dbmid_offset, dbmid_standin, dbmid_types
from dgno.evaluation.bench.catalogue import TABLES
from dgno.evaluation.bench.datasets import SECOND_MICROSCOPE, STAINED
from dgno.evaluation.bench.dbmid_standin import FIRST, SECOND, Fields, through
from dgno.evaluation.bench.experiment import Row
from dgno.evaluation.bench.profiles import FULL, TINY
from dgno.evaluation.bench.report import run_table
from dgno.evaluation.bench.run import Bench
from dgno.evaluation.bench.table import Result
from dgno.evaluation.compare import Score
from dgno.training import objectives
from dgno.training.batches import find_data
from dgno.weights.store import read_weights

FEW = (-2, -1, 1, 2)


def without_dgno(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    return tuple(row for row in rows if not row.name.startswith("DGNO"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Few images, trainings of one step, and DGNO, which takes longest, in the curve alone."""
    some = tuple(Fields("train", stain, 3, (-3, 3), 1, 1) for stain in STAINED)
    tests = (Fields("test", "TCT", 1, FEW, 1, 1), Fields("test", "HE", 1, FEW), Fields("test", "IHC", 1, FEW))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objectives, "VALIDATION_CROPS", 1)
        patch.setattr(dbmid_standin, "DBMID", some + tests)
        patch.setattr(dbmid_standin, "OTHER", (Fields("train", "TCT", 20, (-3, 3)), Fields("test", "TCT", 1, (4,))))
        patch.setattr(dbmid_types, "TINY_STEPS", dict.fromkeys(dbmid_types.TINY_STEPS, 1))
        table = replace(dbmid.TABLE_3, tiny_steps=1)
        patch.setattr(dbmid_offset, "TABLE_3", table)
        patch.setattr(dbmid, "TABLE_3", replace(table, rows=without_dgno(table.rows)))
        patch.setattr(dbmid, "RESTORING", {"DL_defocus": dbmid.DL_DEFOCUS})
        second = replace(dbmid.SECOND, rows=without_dgno(dbmid.SECOND.rows), tiny_steps=4)
        patch.setitem(TABLES, "dbmid-second-microscope", (second,))
        yield tmp_path_factory.mktemp("bench")


def bench_in(folder: Path, seeds: int = 1) -> Bench:
    return Bench(TINY, folder, seeds=range(seeds))


def test_all_is_the_mean_over_stains_as_printed() -> None:
    for printed in (dbmid.PUBLISHED_OWN, dbmid.PUBLISHED_ALL, dbmid.TABLE_3.rows[0].published):
        assert np.mean([printed[stain] for stain in STAINED]) == pytest.approx(printed["all"], abs=6e-5)


def test_the_printed_matrix_has_the_images_of_its_test_set() -> None:
    assert dbmid_types.PUBLISHED.sum(0).tolist() == [40, 200, 320, 320]
    assert (np.trace(dbmid_types.PUBLISHED), dbmid_types.PUBLISHED.sum()) == (878, 880)
    assert dbmid_types.PUBLISHED[1, 0] == 2, "in focus, called defocused"


def test_a_full_training_of_its_network_is_its_recipe(tmp_path: Path) -> None:
    """Adam, 1e-4, batch 64; DGNO keeps its own in the same table, and both see crops of one size."""
    (tmp_path / "dbmid").mkdir()
    bench = Bench(FULL, tmp_path, tmp_path)
    rows = {row.name: row for row in dbmid.TABLE_3.rows}
    (config,) = bench.trainings(rows["DL_defocus, all stains"], dbmid.TABLE_3, 0)
    assert (config.learning_rate, config.final_learning_rate, config.weight_decay) == (1e-4, 1e-4, 0.0)
    assert (config.stages[0].crop, config.stages[0].batch, config.steps) == (256, 64, 100_000)
    (config,) = bench.trainings(rows["DGNO-Cell, TCT alone"], dbmid.TABLE_3, 0)
    assert (config.learning_rate, config.final_learning_rate, config.weight_decay) == (3e-4, 1e-6, 1e-4)
    assert (config.stages[0].crop, config.stages[0].batch, config.steps) == (256, 8, 300_000)
    assert config.pairs is not None and (config.pairs.channel, config.pairs.blur) == ("TCT", "defocus")


def test_fine_tuning_goes_on_with_a_tenth(folder: Path) -> None:
    bench, (experiment,) = bench_in(folder), TABLES["dbmid-second-microscope"]
    rows = {row.name: row for row in experiment.rows}
    before, tuned = bench.trainings(rows["DL_defocus, fine-tuned on a tenth"], experiment, 0)
    (as_it_is,) = bench.trainings(rows["DL_defocus, as it is"], experiment, 0)
    (afresh,) = bench.trainings(rows["DL_defocus, afresh on a tenth"], experiment, 0)
    (on_all,) = bench.trainings(rows["DL_defocus, afresh on all"], experiment, 0)
    assert before == as_it_is
    assert tuned.init == before.out / "weights.safetensors"
    assert afresh.init is None
    assert (before.steps, tuned.steps, afresh.steps) == (4, 1, 4)
    assert tuned.learning_rate == before.learning_rate / 4
    assert len({config.out for config in (before, tuned, afresh, on_all)}) == 4
    trained = [{r.group for r in find_data(config)[1](False).records} for config in (tuned, afresh, on_all)]  # type: ignore[union-attr]
    assert trained[0] == trained[1] < trained[2]
    assert [len(groups) for groups in trained] == [2, 2, 19]
    weights = bench.trained(before), bench.trained(tuned)
    first, second = (read_weights(path)[1]["enter.0.weight"] for path in weights)
    assert 0 < (first - second).abs().max() < 0.01, "it begins where the other ended"


def test_the_types_are_told_and_tabled(folder: Path) -> None:
    tables, written = run_table("dbmid-table2", bench_in(folder))
    smears, matrices, sections = tables
    assert written == ["table.md", "matrices.csv", "matrices.png"]
    assert smears.lines[0][:4] == ("VGG16 of the paper", "878 of 880", "99.77", "99.18 to 99.94")
    assert smears.lines[0][4:8] == ("100.0 / 95.0", "99.0 / 100.0", "100.0 / 100.0", "100.0 / 100.0")
    assert [line[-1] for line in smears.lines] == ["quoted only", "no", "-"]
    assert [line[0] for line in smears.lines[1:]] == ["VGG16, seed 0", "blur-reader, seed 0"]
    assert all(line[1].endswith(" of 7") for line in smears.lines[1:]), "1 in focus, 4 planes, 1 moved, 1 both"
    ours = np.array([line[1:] for line in matrices.lines[4:8]], int)
    assert ours.sum(0).tolist() == [1, 4, 1, 1]
    assert all(line[1].endswith(" of 10") for line in sections.lines), "2 fields in focus, 8 planes"
    assert len((folder / "dbmid-table2" / "matrices.csv").read_text().splitlines()) == 1 + 4 * (1 + 2 + 2)


def test_each_stain_is_restored_by_its_own_network_or_by_one_for_all(folder: Path) -> None:
    (table,), written = run_table("dbmid-table3", bench_in(folder))
    assert set(written) == {"table.md", "table.csv", "table.png"}
    lines = {line[0]: dict(zip(table.header, line, strict=True)) for line in table.lines}
    assert lines["blurred"]["TCT paper"] == "0.9007"
    own = lines["DL_defocus, own stain"]
    for stain in STAINED:
        assert own[f"{stain} ours"] == lines[f"DL_defocus, {stain} alone"][f"{stain} ours"]
    assert own["all paper"] == "0.8961" and lines["DL_defocus, all stains"]["all paper"] == "0.9000"
    (spread,) = [note for note in table.notes if note.startswith("Blurred")]
    assert "HE 0.6679 ± 0.1898 in the paper" in spread


def test_one_line_of_several_networks_by_hand() -> None:
    def result(stain: str, *values: float) -> Result:
        return Result(Row(stain), {"TCT": values, "HE": values, "IHC": values}, {"TCT": 2, "HE": 3, "IHC": 4})

    of_stain = {"TCT": result("TCT", 0.5, 0.6), "HE": result("HE", 0.7, 0.8), "IHC": result("IHC", 0.9, 1.0)}
    line = dbmid.own_stain("own", of_stain, {"all": 0.9})
    assert line.means["HE"] == (0.7, 0.8)
    assert line.means["all"] == pytest.approx((0.7, 0.8))
    assert line.images == {"TCT": 2, "HE": 3, "IHC": 4, "all": 9}


def test_the_curve_has_its_focus_and_its_depth(folder: Path) -> None:
    """Before restoring: 1 in focus; the depth of field of the blurred images is, by its threshold, 9.8 um."""
    bench = bench_in(folder)
    (depths, curve), written = run_table("dbmid-ssim-offset", bench)
    assert set(written) == {"table.md", "curves.csv", "curves.png"}
    assert [line[0] for line in curve.lines] == ["-6.24", "-3.12", "+0.00", "+3.12", "+6.24"]
    assert curve.lines[2][1] == "1.0000 ± 0.0000"
    assert {line[-1] for line in curve.lines} == {"3"}
    blurred = depths.lines[0]
    assert blurred[:2] == ("blurred", "9.8") and float(blurred[2]) == pytest.approx(9.8, abs=0.3)
    assert [line[:2] for line in depths.lines[1:]] == [("DL_defocus", "at least 31.2"), ("DGNO-Cell", "-")]
    records = bench.library.test_records("dbmid-stains")
    assert len(dbmid_offset.with_focus(records)) == len(records) + 3


def test_a_curve_that_stays_above_is_as_deep_as_it_was_measured() -> None:
    assert dbmid_offset.told_depth([float("inf"), 20.0], 62.4) == "at least 20.0"
    assert dbmid_offset.told_depth([float("inf")], 62.4) == "at least 62.4"
    assert dbmid_offset.told_depth([10.0, 12.0], 62.4) == "11.0 ± 1.4"


def test_seeds_are_averaged_image_by_image() -> None:
    scores = [[Score(key, "m", 30.0, value, 0.0) for key, value in (("a", x), ("b", 1.0))] for x in (0.4, 0.6)]
    assert {s.image: s.ssim for s in dbmid_offset.mean_over_seeds(scores)} == {"a": pytest.approx(0.5), "b": 1.0}


def test_the_second_microscope_is_another(folder: Path) -> None:
    """A smaller aperture: a point in focus is wider, and out of focus narrower."""
    light = np.zeros((81, 81, 3))
    light[40, 40] = 1
    peaks = {(na, z): through(light, na, z).max() for na in (FIRST, SECOND) for z in (0.0, 30.0)}
    assert peaks[FIRST, 0.0] > peaks[SECOND, 0.0] and peaks[FIRST, 30.0] < peaks[SECOND, 30.0]
    (table,), written = run_table("dbmid-second-microscope", bench_in(folder))
    assert "table.png" in written
    assert len(table.lines) == 5
    assert table.lines[0][0] == "blurred"


def test_published_data_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "data" / "dbmid").mkdir(parents=True)
    bench = Bench(FULL, tmp_path, tmp_path / "data")
    with pytest.raises(MissingInput) as caught:
        run_table("dbmid-second-microscope", bench)
    assert caught.value.path == tmp_path / "data" / SECOND_MICROSCOPE


def test_fields_in_focus_are_their_own_sharp_images(tmp_path: Path) -> None:
    record = Record("a", tmp_path / "a_z1", tmp_path / "a", "a", z=1, defocus=3.12, shift=(1.0, 0.0))
    focus = dbmid_offset.with_focus([record, replace(record, key="b", z=2)])[-1]
    assert (focus.input, focus.target, focus.defocus, focus.shift) == (record.target, record.target, 0.0, (0.0, 0.0))
