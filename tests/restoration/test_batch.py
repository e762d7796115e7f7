"""Which output belongs to which input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dgno.errors import ConfigError, EmptyInput, MissingInput, OutputCollision, OutputFormat
from dgno.restoration.batch import Job, Outcome, is_single, plan_jobs, run_jobs
from dgno.restoration.batch_report import write_report
from dgno.restoration.inputs import list_files


def make(root: Path, *names: str) -> list[Path]:
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths


def targets(jobs: list[Job], out: Path) -> list[str]:
    return [str(job.target.relative_to(out)) for job in jobs]


def test_one_file_may_name_its_output(tmp_path: Path) -> None:
    (source,) = make(tmp_path, "a.tif")
    assert plan_jobs([source], tmp_path / "b.png") == [Job(source, tmp_path / "b.png")]


def test_one_file_and_a_folder(tmp_path: Path) -> None:
    (source,) = make(tmp_path, "a.tif")
    assert targets(plan_jobs([source], tmp_path / "out"), tmp_path / "out") == ["a.tif"]


def test_a_folder_is_mirrored_without_junk(tmp_path: Path) -> None:
    """Hidden files, sidecars, other files, and what lies in the output folder are passed over."""
    make(tmp_path / "in", "a.tif", "sub/b.PNG", "sub/deep/c.jpg", ".hidden.png", "._d.tif", "notes.txt", "Thumbs.db")
    make(tmp_path / "in", "out/old.txt", ".git/e.png")
    jobs = plan_jobs([tmp_path / "in"], tmp_path / "in" / "out")
    assert targets(jobs, tmp_path / "in" / "out") == ["a.tif", "sub/b.PNG", "sub/deep/c.jpg"]


def test_slides_are_found_and_what_belongs_to_them_is_not(tmp_path: Path) -> None:
    """An OME-Zarr is one input, whatever lies in it; the folder beside a .mrxs is no input."""
    make(tmp_path / "in", "a.SVS", "b.ndpi", "c.mrxs", "c/Data0001.dat", "c/preview.jpg", "d.md")
    make(tmp_path / "in", "sub/e.ome.zarr/0/0.0", "sub/e.ome.zarr/thumb.png", ".f.zarr/thumb.png")
    out = tmp_path / "out"
    written = ["a.ome.tif", "b.ome.tif", "c.ome.tif", "sub/e.ome.zarr"]  # what scanners write becomes OME-TIFF
    assert targets(plan_jobs([tmp_path / "in"], out), out) == written
    found = [path.relative_to(tmp_path / "in").as_posix() for path, _ in list_files([tmp_path / "in"], out)]
    assert found == ["a.SVS", "b.ndpi", "c.mrxs", "sub/e.ome.zarr"]
    alone = tmp_path / "in" / "sub" / "e.ome.zarr"
    assert targets(plan_jobs([alone], out), out) == ["e.ome.zarr"]
    assert is_single([alone])


def test_files_of_several_folders_keep_their_folders(tmp_path: Path) -> None:
    files = make(tmp_path, "a/x.tif", "b/x.tif")
    assert targets(plan_jobs(files, tmp_path / "out"), tmp_path / "out") == ["a/x.tif", "b/x.tif"]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "in", "a.tif")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    assert len(plan_jobs([tmp_path / "in"], tmp_path / "out")) == 1


@pytest.mark.parametrize(
    ("names", "output_format"),
    [
        (("x.tif", "X.tif"), "same"),
        (("x.tif", "x.png"), "png"),
        (("\N{LATIN SMALL LETTER A WITH DIAERESIS}.tif", "a\N{COMBINING DIAERESIS}.tif"), "same"),
    ],
)
def test_collisions_are_found_before_anything_is_done(
    tmp_path: Path, names: tuple[str, str], output_format: str
) -> None:
    files = make(tmp_path, *names)
    with pytest.raises(OutputCollision, match="would both become"):
        plan_jobs(files, tmp_path / "out", output_format=output_format)


def test_formats_change_the_suffix(tmp_path: Path) -> None:
    files = make(tmp_path, "a.tif", "b.ome.tif")
    assert targets(plan_jobs(files, tmp_path / "o", output_format="ome-tiff"), tmp_path / "o") == [
        "a.ome.tif",
        "b.ome.tif",
    ]


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no images"):
        plan_jobs([tmp_path], tmp_path / "out")
    with pytest.raises(MissingInput):
        plan_jobs([tmp_path / "nowhere.tif"], tmp_path / "out")


def test_one_bad_item_never_stops_the_others(tmp_path: Path) -> None:
    jobs = [Job(Path(f"{i}.tif"), Path(f"out/{i}.tif")) for i in range(3)]

    def work(job: Job) -> Outcome:
        if job.source.name == "1.tif":
            raise EmptyInput("the file is empty", path=job.source)
        return Outcome(str(job.source), str(job.target), "restored")

    outcomes = run_jobs(jobs, work)
    assert [o.status for o in outcomes] == ["restored", "failed", "restored"]
    assert outcomes[1].error == {"code": "E-IN-EMPTY", "path": "1.tif", "message": "the file is empty", "hint": ""}
    results = json.loads(write_report(tmp_path, outcomes).read_text())["results"]
    assert [r["status"] for r in results] == ["restored", "failed", "restored"]
    with pytest.raises(EmptyInput):
        run_jobs(jobs, work, fail_fast=True)


def test_a_bug_in_one_item_never_stops_the_others() -> None:
    """Also what no one foresaw is one failed item, told apart from what we refuse."""

    def work(job: Job) -> Outcome:
        if job.source.name == "0.tif":
            raise ZeroDivisionError("oops")
        return Outcome(str(job.source), str(job.target), "restored")

    outcomes = run_jobs([Job(Path(f"{i}.tif"), Path(f"out/{i}.tif")) for i in range(2)], work)
    assert [o.status for o in outcomes] == ["failed", "restored"]
    assert outcomes[0].error is not None
    assert outcomes[0].error["code"] == "E-BUG"


def test_no_output_escapes_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs named through `..` get outputs below the output folder all the same."""
    make(tmp_path, "a/x.png", "w/b/y.png")
    monkeypatch.chdir(tmp_path / "w")
    jobs = plan_jobs([Path("../a/x.png"), Path("b/y.png")], tmp_path / "out")
    assert targets(jobs, tmp_path / "out") == ["a/x.png", "w/b/y.png"]


def test_the_format_and_the_name_of_the_output_agree(tmp_path: Path) -> None:
    (source,) = make(tmp_path, "a.tif")
    with pytest.raises(ConfigError, match=r"--format ome-tiff.*name it \*\.ome\.tif"):
        plan_jobs([source], tmp_path / "b.tif", output_format="ome-tiff")
    assert plan_jobs([source], tmp_path / "b.ome.tif", output_format="ome-tiff")[0].target.name == "b.ome.tif"
    with pytest.raises(OutputFormat, match="no format that dgno writes"):
        plan_jobs([source], tmp_path / "b.gif")
    assert targets(plan_jobs([source], tmp_path / "results.v2"), tmp_path / "results.v2") == ["a.tif"]
