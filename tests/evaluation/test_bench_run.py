"""Tables are run end to end on generated data: trained, restored, measured, written; and go on when run again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dgno.arrays import Image
from dgno.data.layouts import guess_layout
from dgno.errors import ConfigError, MissingInput
from dgno.evaluation.bench import datasets, dbmid_standin, standins
from dgno.evaluation.bench.catalogue import TABLES
from dgno.evaluation.bench.columns import AVERAGE_PRECISION, EDGE, ELSEWHERE, PSNR, on_plane
from dgno.evaluation.bench.datasets import DATASETS, GENERATED, Library
from dgno.evaluation.bench.dbmid_standin import Fields
from dgno.evaluation.bench.experiment import Experiment, Row
from dgno.evaluation.bench.profiles import FULL, TINY
from dgno.evaluation.bench.references import the_sharp_image
from dgno.evaluation.bench.report import run_table
from dgno.evaluation.bench.run import Bench
from dgno.evaluation.bench.speed import measure_speed
from dgno.evaluation.compare import unchanged
from dgno.io.image import write_image
from dgno.networks.presets import NETWORKS

CELL = replace(NETWORKS["dgno-cell"], blocks=(1, 1, 1, 1), iterations=1)
COLOUR = replace(CELL, channels=3)
ROWS = (
    Row("blurred", method=unchanged, published={"PSNR": 1.0}),
    Row("Cell", network=CELL),
    Row("elsewhere", published={"PSNR": 2.0}, why_not="not built"),
    Row("sharp", method=the_sharp_image),
)


@pytest.fixture(autouse=True, scope="module")
def few_images() -> Iterator[None]:
    """Fewer images than the tiny profile has, to save time: five wells, and a few of known blur."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standins, "WELLS", standins.WELLS[:5])
        stains = [
            Fields(split, stain, 2, (-3, 3), 1, 1) for split in ("train", "test") for stain in dbmid_standin.STAINS
        ]
        patch.setattr(dbmid_standin, "DBMID", stains)
        patch.setattr(dbmid_standin, "OTHER", [fields for fields in stains if fields.stain == "TCT"])
        patch.setattr(datasets, "TINY_TRAIN", 2)
        patch.setattr(datasets, "TINY_TEST", 3)
        yield


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("data"))


def bench_in(folder: Path, seeds: int = 2) -> Bench:
    return Bench(TINY, folder, seeds=range(seeds))


def small(data: str, *columns: object, rows: tuple[Row, ...] = ROWS) -> Experiment:
    return Experiment("Table 0: test", data, data, rows, columns or (PSNR,), "no: a test", tiny_steps=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", GENERATED)
def test_a_stand_in_lies_as_the_published_set(name: str, library: Library, tmp_path: Path) -> None:
    """Its layout is known by its names, where names can tell it, and it is the same again."""
    place = library.place({"bbbc006": "bbbc006-w1", "dbmid": "dbmid-stains"}.get(name, name))
    known = {"3dhistech": "folder-pair", "realdof": "folder-pair", datasets.SECOND_MICROSCOPE: "dbmid"}
    assert guess_layout(place) == known.get(name, name)
    GENERATED[name](tmp_path, 2026)
    files = [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*.*"))]
    assert files
    assert all((place / file).read_bytes() == (tmp_path / file).read_bytes() for file in files)


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_is_divided_by_group(name: str, library: Library) -> None:
    """What is tested was not trained on."""
    dataset, place = DATASETS[name], library.place(name)
    tested = library.test_records(name)
    assert tested
    if name == "realdof":  # is for tests alone
        return
    trained = dataset.reading.records(place, split="train")
    assert trained
    assert not {record.target for record in trained} & {record.target for record in tested}
    if dataset.reading.layout == "bbbc006":
        assert not {record.group for record in trained} & {record.group for record in tested}
        assert all(record.labels is not None for record in tested)


def test_profiles_share_no_generated_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full run in the folder of a tiny one does not take its few images, nor the other way round."""
    monkeypatch.setattr(datasets, "TRAIN", 4)
    monkeypatch.setattr(datasets, "TEST", 3)
    for profile, count in ((TINY, 2), (FULL, 4), (TINY, 2)):
        place = Bench(profile, tmp_path).library.place("s1-8-10")
        assert len(list((place / "train" / "sharp").iterdir())) == count


def test_images_without_a_measure_are_not_counted(tmp_path: Path) -> None:
    """Flat ones have no edges: their number says how many a mean is over."""
    library = bench_in(tmp_path).library
    records = library.test_records("3dhistech")
    write_image(records[0].target, Image(np.full((96, 96, 3), 99, np.uint8), "YXS"), overwrite=True)
    (blurred,) = bench_in(tmp_path).run(small("3dhistech", PSNR, EDGE, rows=ROWS[:1]))
    assert (blurred.images["PSNR"], blurred.images["edge PSNR"]) == (len(records), len(records) - 1)


def test_a_table_is_run_and_goes_on(tmp_path: Path) -> None:
    experiment = small("bbbc006-w1", PSNR, EDGE, ELSEWHERE, on_plane(6), *AVERAGE_PRECISION)
    shares: list[float] = []
    blurred, cell, quoted, sharp = bench_in(tmp_path).run(experiment, shares.append)
    assert quoted.means == {}
    assert len(cell.means["PSNR"]) == 2
    assert cell.means["PSNR"][0] != cell.means["PSNR"][1], "seeds are different trainings"
    assert len(blurred.means["PSNR"]) == 1
    assert sharp.means["PSNR"] == (100.0,), "of equal images, by this protocol"
    assert cell.images["PSNR"] == 3 * cell.images["z=6"]
    assert blurred.means["edge PSNR"][0] < blurred.means["PSNR"][0] < blurred.means["other PSNR"][0]
    assert sharp.means["mean AP"][0] >= blurred.means["mean AP"][0] > 0
    assert cell.cost
    assert cell.cost.parameters > 1e6, "of the full size"
    assert blurred.cost is None
    assert shares == sorted(shares)
    assert shares[-1] == 1.0

    logs = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("log.jsonl")}
    assert len(logs) == 2
    again = bench_in(tmp_path).run(experiment)
    assert [r.means for r in again[:2]] == [blurred.means, cell.means]
    assert {path: path.read_bytes() for path in logs} == logs, "no step is taken twice"


def test_a_run_killed_inside_its_first_checkpoint_starts_again(tmp_path: Path) -> None:
    """What such a kill leaves is a folder of checkpoints without one."""
    bench, experiment = bench_in(tmp_path, seeds=1), small("3dhistech", rows=(Row("Cell", network=COLOUR),))
    (training,) = bench.trainings(experiment.rows[0], experiment, 0)
    (training.out / "checkpoints" / ".step-00000002.dgno-part").mkdir(parents=True)
    (cell,) = bench.run(experiment)
    assert cell.images == {"PSNR": 6}
    assert [path.name for path in (training.out / "checkpoints").iterdir()] == ["step-00000002"]


def test_all_rows_are_measured_on_the_same_images(tmp_path: Path) -> None:
    """The blurred image's PSNR by the bench is that of the compare table."""
    from dgno.evaluation.compare import compare

    experiment = small("3dhistech", rows=ROWS[:1])
    bench = bench_in(tmp_path)
    (blurred,) = bench.run(experiment)
    scores = compare(
        bench.library.test_records("3dhistech"), {"blurred": unchanged}, protocol=DATASETS["3dhistech"].protocol
    )
    assert blurred.means["PSNR"] == (pytest.approx(np.mean([score.psnr for score in scores]), abs=1e-9),)


def test_the_files_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (*ROWS, Row("GG", network=replace(CELL, scope="global")))
    experiment = replace(small("s1-8-10", rows=rows), maps=("GG", "Cell"))
    monkeypatch.setitem(TABLES, "fig6", (experiment,))
    tables, written = run_table("fig6", bench_in(tmp_path, seeds=1))
    assert set(written) == {"table.md", "table.csv", "table.png", "maps.png"}
    assert all((tmp_path / "fig6" / name).stat().st_size for name in written)
    assert [line[0] for line in tables[0].lines] == [row.name for row in rows]


def test_full_needs_the_published_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes no data"):
        Bench.of("tiny", tmp_path, tmp_path)
    with pytest.raises(ConfigError, match="known: tiny, full"):
        Bench.of("small", tmp_path, None)
    with pytest.raises(ConfigError, match="needs the published data set bbbc006"):
        Bench.of("full", tmp_path, None).run(TABLES["table2"][0])
    with pytest.raises(MissingInput, match="bbbc006"):
        Bench.of("full", tmp_path, tmp_path).run(TABLES["table2"][0])


def test_a_full_training_is_the_papers_recipe(tmp_path: Path) -> None:
    """SCIENCE of the paper: AdamW 3e-4 to 1e-6, weight decay 1e-4, batch 8 of 256 x 256, backward FFT."""
    (tmp_path / "bbbc006").mkdir()
    bench = Bench(FULL, tmp_path, tmp_path)
    row = next(row for row in TABLES["table2"][0].rows if row.name == "DGNO-Cell")
    (config,) = bench.trainings(row, TABLES["table2"][0], 1)
    assert config.network == NETWORKS["dgno-cell"]
    (stage,) = config.stages
    assert (stage.until, stage.crop, stage.batch) == (300_000, 256, 8)
    assert (config.learning_rate, config.final_learning_rate, config.weight_decay) == (3e-4, 1e-6, 1e-4)
    assert (config.fft_norm, config.seed) == ("backward", 1)


def test_an_unknown_table_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'table3'"):
        run_table("tabel3", bench_in(tmp_path))


def test_speed_is_measured() -> None:
    speed = measure_speed(NETWORKS["nano-cell"], 128, "cpu", 1, 1)
    assert speed.seconds > 0
    assert speed.memory >= 0
