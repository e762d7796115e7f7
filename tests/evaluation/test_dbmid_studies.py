"""DBMID's figures are run end to end on few planes; restorers that change nothing leave every measure as it was."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dgno.arrays import Image
from dgno.errors import ConfigError
from dgno.evaluation.bench import (
    dbmid_fwhm,
    dbmid_heatmap,
    dbmid_ihc,
    dbmid_recall,
    dbmid_restorers,
    dbmid_usaf,
    dbmid_views,
)
from dgno.evaluation.bench.catalogue import listed
from dgno.evaluation.bench.dbmid_heatmap import RIGHT, WRONG, all_ways
from dgno.evaluation.bench.dbmid_restorers import DGNO_DEFOCUS, DL_DEFOCUS, DL_MOTION, ROLES, find_restorers, training
from dgno.evaluation.bench.dbmid_views import View, immunostained, lone_cells
from dgno.evaluation.bench.options import by_role
from dgno.evaluation.bench.profiles import FULL, TINY
from dgno.evaluation.bench.report import run_table
from dgno.evaluation.bench.run import Bench
from dgno.evaluation.bench.studies import STUDIES
from dgno.evaluation.bench.table import Table
from dgno.evaluation.downstream.staining import read_staining
from dgno.networks import build
from dgno.networks.dbmid import DBMID_NETWORKS
from dgno.networks.presets import NETWORKS
from dgno.optics.blur_types import MOTION
from dgno.training import objectives
from dgno.weights.store import Card, save_weights


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights that give back what they are given."""
    network = build(DBMID_NETWORKS["dbmid-nano"])
    for output in network.outputs:
        for parameter in output.parameters():
            torch.nn.init.zeros_(parameter)
    path = tmp_path_factory.mktemp("weights") / "identity.safetensors"
    return str(save_weights(path, network.state_dict(), Card(DBMID_NETWORKS["dbmid-nano"])))


def run(name: str, folder: Path, weights: Mapping[str, str], **others: object) -> tuple[list[Table], Path]:
    tables, written = run_table(name, Bench(TINY, folder, weights=weights, **others))  # type: ignore[arg-type]
    assert all((folder / name / file).stat().st_size for file in written)
    assert {Path(file).suffix for file in written} == {".md", ".csv", ".png"}
    return tables, folder / name


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_figure_is_listed() -> None:
    assert {f"dbmid-{name}" for name in ("usaf", "fwhm", "heatmap", "recall", "ihc")} <= set(STUDIES)
    assert set(STUDIES) <= set(listed())


def test_resolution_falls_with_the_offset(tmp_path: Path, identity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbmid_usaf, "GROUPS", {True: (7, 8)})
    monkeypatch.setattr(dbmid_usaf, "PLANES", {True: (0, 4)})
    (resolved, speed), folder = run("dbmid-usaf", tmp_path, dict.fromkeys(("dl-defocus", "dgno-defocus"), identity))
    blurred = [line[1] for line in resolved.lines]
    assert [line[4] for line in resolved.lines] == [line[5] for line in resolved.lines] == blurred
    numbers = [float(cell.split()[0]) for cell in blurred]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 2
    assert {line[0]: line[1] for line in speed.lines} == {
        "blind, Fish et al.": "13.5",
        "blind, disk": "-",
        "DL_defocus": "1.5",
        "DGNO, defocus": "-",
    }
    contrasts = [float(row["contrast"]) for row in rows(folder / "contrast.csv")]
    assert len(contrasts) == 2 * 5 * 12 * 2
    assert min(contrasts) < -0.02, "bars become gaps out of focus"


def test_widths_grow_to_the_motion(tmp_path: Path, identity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbmid_fwhm, "VIEWS", (1, 10))
    monkeypatch.setattr(dbmid_fwhm, "LENGTHS", (5, 40))
    monkeypatch.setattr(dbmid_fwhm, "SHOWN", 40)
    (table,), folder = run("dbmid-fwhm", tmp_path, dict.fromkeys(("dl-motion", "dgno-motion"), identity))
    assert [line[3] for line in table.lines] == [line[4] for line in table.lines] == [line[5] for line in table.lines]
    found = {(r["motion"], r["px"], r["method"]): float(r["mean um"]) for r in rows(folder / "widths.csv")}
    for direction in ("horizontal", "vertical"):
        assert found[direction, "40", "blurred"] == pytest.approx(40 * 0.55, abs=0.8)
        assert found[direction, "5", "sharp"] < found[direction, "5", "blurred"] < 10
    assert {r["cells"] for r in rows(folder / "widths.csv")} == {"6"}


def test_lone_nuclei_are_found_where_nobody_has_marked_them() -> None:
    """Those of a drawn field, when it is not said where they are; a field without any is refused."""
    drawn = lone_cells("a", 2)
    found = dbmid_fwhm.chosen_cells(
        replace(drawn, cells=None, scene=torch.nn.functional.pad(drawn.scene, (9,) * 4, value=0.95))
    )
    assert drawn.cells is not None
    assert np.abs(np.sort(found, axis=0) - np.sort(drawn.cells + 9, axis=0)).max() < 1.5
    with pytest.raises(ConfigError, match="no nucleus alone"):
        dbmid_fwhm.chosen_cells(replace(immunostained("crowd", 0), cells=None))


def test_ssim_falls_with_both_blurs(tmp_path: Path, identity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbmid_heatmap, "VIEWS", (1, 10))
    monkeypatch.setattr(dbmid_views, "SMEAR", (96, 96))
    monkeypatch.setattr(dbmid_heatmap, "PLANES", {True: (0, 4)})
    monkeypatch.setattr(dbmid_heatmap, "MOTIONS", {True: (0, 20)})
    (table, gains), folder = run("dbmid-heatmap", tmp_path, dict.fromkeys(ROLES, identity))
    ways = np.array([[float(cell) for cell in line[2:]] for line in table.lines]).reshape(-1, 2, 2)
    assert len(ways) == 1 + 2 * 4
    assert (ways == ways[0]).all()
    assert ways[0, 0, 0] > max(ways[0, 0, 1], ways[0, 1, 0])
    assert min(ways[0, 0, 1], ways[0, 1, 0]) > ways[0, 1, 1]
    assert {line[-1] for line in gains.lines} == {"0 of 4"}
    assert len(rows(folder / "ssim.csv")) == 2 * 5 * 4


def test_the_control_is_the_other_order() -> None:
    def times(image: Image) -> Image:
        return replace(image, pixels=image.pixels * 2)

    def plus(image: Image) -> Image:
        return replace(image, pixels=image.pixels + 1)

    ways = all_ways(Image(np.ones((2, 2), np.float32)), defocus=times, motion=plus)
    assert ways[RIGHT].pixels[0, 0] == 4, "motion first"
    assert ways[WRONG].pixels[0, 0] == 3
    assert [float(image.pixels[0, 0]) for image in list(ways.values())[:3]] == [1, 2, 2]


def test_recall_falls_with_blur(tmp_path: Path, identity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbmid_recall, "VIEWS", (1, 10))
    monkeypatch.setattr(dbmid_views, "SMEAR", (128, 128))
    conditions = tuple(dbmid_recall.Condition(*of) for of in ((2, 0), (10, 0), (0, 40), (4, 20)))
    monkeypatch.setattr(dbmid_recall, "TINY", conditions)
    (table,), folder = run("dbmid-recall", tmp_path, dict.fromkeys(ROLES, identity))
    recall = {line[0]: [float(cell) for cell in line[1:5]] for line in table.lines}
    assert list(recall) == ["6.24 um", "31.20 um", "40 px", "12.48 um and 20 px"]
    for blurred, dl, dgno, sharp in recall.values():
        assert blurred == dl == dgno <= sharp
    assert recall["31.20 um"][0] < 0.3 < 0.5 < recall["6.24 um"][3] < 1, (
        "even the sharp field's is against what is drawn"
    )
    assert len(rows(folder / "recall.csv")) == 4 * 4


def test_a_detector_of_ones_own_is_plugged_in(tmp_path: Path, identity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that always finds the same place, in a field whose cells nobody knows, recalls all of what it found."""
    (tmp_path / "my_detector.py").write_text("def detect(image):\n    return [(20, 30)]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(dbmid_recall, "VIEWS", (1, 10))
    monkeypatch.setattr(dbmid_views, "SMEAR", (96, 96))
    monkeypatch.setattr(dbmid_recall, "TINY", (dbmid_recall.Condition(2, 0), dbmid_recall.Condition(10, 0)))
    unmarked = replace(immunostained("a", 0), cells=None)
    monkeypatch.setattr(dbmid_recall, "views_of", lambda *given: [unmarked])
    (table,), _ = run("dbmid-recall", tmp_path, dict.fromkeys(ROLES, identity), detector="my_detector:detect")
    assert {line[1] for line in table.lines} == {"1.000"}
    assert "detector my_detector:detect" in table.title
    assert any("1 cells in 1 fields, as the detector finds them" in note for note in table.notes)


def test_staining_is_read_worse_out_of_focus(tmp_path: Path, identity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbmid_ihc, "VIEWS", (1, 10))
    monkeypatch.setattr(dbmid_views, "SMEAR", (128, 128))
    monkeypatch.setattr(dbmid_ihc, "PLANES", (-5, -4, 0, 5))
    (table, claims), folder = run("dbmid-ihc", tmp_path, dict.fromkeys(("dl-defocus", "dgno-defocus"), identity))
    lines = {(line[0], line[1]): [float(cell) for cell in line[2:]] for line in table.lines}
    for measure in dbmid_ihc.MEASURES:
        assert lines[measure, "blurred"] == lines[measure, "DL_defocus"] == lines[measure, "DGNO, defocus"]
    assert lines[dbmid_ihc.F1, "blurred"][2] > 0.95
    assert min(lines[dbmid_ihc.DICE, "blurred"]) < lines[dbmid_ihc.DICE, "blurred"][2]
    outside = [lines[dbmid_ihc.F1, "blurred"][i] for i in (0, 3)]
    assert claims.lines[0][2:4] == ("< 0.80", f"{min(outside):.3f}")
    within = [lines[dbmid_ihc.ERROR, "blurred"][i] for i in (1, 2)]
    assert claims.lines[3][2:4] == ("<= 0.035", f"{max(within):.3f}")
    assert len(rows(folder / "ihc.csv")) == 4 * 3 * 4


def test_the_worst_plane_stands_beside_the_papers_claim(tmp_path: Path) -> None:
    """Of F1 the lowest beyond +11 and -14 um, of the rate's error the largest within 12.5; means over the fields."""
    f1 = {-5: [0.6, 0.8], -4: [0.1], 0: [1.0], 4: [0.9], 5: [0.75]}
    error = {-5: [0.5], -4: [0.01, 0.05], 0: [0.0], 4: [0.02], 5: [0.9]}
    values = {(dbmid_ihc.F1, "blurred", z): f1.get(z, [1.0]) for z in range(-5, 6)}
    values |= {(dbmid_ihc.ERROR, "blurred", z): error.get(z, [0.0]) for z in range(-5, 6)}
    table = dbmid_ihc._claims(values, ["blurred"], Bench(TINY, tmp_path))
    assert [line[1:] for line in table.lines] == [
        ("blurred", "< 0.80", "0.700", "no"),
        ("blurred", "<= 0.035", "0.030", "no"),
    ]


def test_what_is_compared_with_itself_is_right() -> None:
    found = read_staining(immunostained("a", 0).sharp().pixels.astype(np.float64), 0.55)
    same = dbmid_ihc.compared(found, found)
    assert (same[dbmid_ihc.F1], same[dbmid_ihc.DICE], same[dbmid_ihc.ERROR]) == (1, 1, 0)
    empty = replace(found, nuclei=found.nuclei[:0], positive=found.positive[:0])
    assert dbmid_ihc.RATE not in dbmid_ihc.compared(empty, found), "no nuclei, no rate"


def test_weights_come_from_the_user_the_package_or_a_training(
    tmp_path: Path, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbmid_restorers, "SCENES", 3)
    monkeypatch.setattr(objectives, "VALIDATION_CROPS", 1)
    monkeypatch.setattr(dbmid_restorers, "embedded_names", lambda: ["brightfield-nano"])
    bench = Bench(TINY.with_steps(1), tmp_path, weights={"dl-motion": identity})
    found = find_restorers(bench, (DL_MOTION, DGNO_DEFOCUS, DL_DEFOCUS), lambda share: None)
    given, package, trained = found.notes
    assert "weights identity.safetensors that were given" in given
    assert "the package's weights brightfield-nano" in package
    assert "trained here for 1 steps" in trained
    assert "no weights dl-defocus" in trained
    image = View("a", torch.rand(3, 40, 40)).sharp()
    assert np.allclose(found[DL_MOTION](image).pixels, image.pixels, atol=1e-6)
    assert found[DL_DEFOCUS](image).pixels.shape == image.pixels.shape
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("dl-defocus-")


def test_full_trainings_are_the_papers_recipes(tmp_path: Path) -> None:
    """DBMID: Adam 1e-4, batch 64; both on the published fields in focus, and the package's weights do not count."""
    bench = Bench(FULL, tmp_path, tmp_path)
    dl, dgno = training(bench, DL_MOTION), training(bench, DGNO_DEFOCUS)
    assert (dl.network, dl.learning_rate, dl.weight_decay, dl.stages[0].batch) == (
        DBMID_NETWORKS["dbmid-5"],
        1e-4,
        0.0,
        64,
    )
    assert dl.blur_types == (MOTION,)
    assert dl.motion is not None
    assert dl.motion.length == (5.0, 40.0)
    assert (dgno.network, dgno.stages[0].batch) == (replace(NETWORKS["dgno-cell"], channels=3), 8)
    assert {dl.data, dgno.data} == {tmp_path / "dbmid"}
    with pytest.raises(ConfigError, match="--data FOLDER"):
        training(Bench(FULL, tmp_path), DL_MOTION)


def test_options_that_nothing_heeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="table2 takes no --weights"):
        run_table("table2", Bench(TINY, tmp_path, weights={"dl-motion": "x"}))
    with pytest.raises(ConfigError, match="dbmid-ihc takes no --detector"):
        run_table("dbmid-ihc", Bench(TINY, tmp_path, detector="nuclei"))
    with pytest.raises(ConfigError, match="did you mean 'dl-defocus'"):
        run_table("dbmid-ihc", Bench(TINY, tmp_path, weights={"dl-defocsu": "x"}))
    assert by_role(["dl-motion=a=b", "dgno-motion=c"]) == {"dl-motion": "a=b", "dgno-motion": "c"}
    for wrong in (["dl-motion"], ["=x"], ["dl-motion="], ["a=b", "a=c"]):
        with pytest.raises(ConfigError):
            by_role(wrong)
