"""Which files of folders are inputs: images that dgno did not write; what is left out is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dgno.arrays import Image
from dgno.errors import ConfigError, DgnoWarning, MissingInput, WouldOverwriteInput
from dgno.io.image import write_image
from dgno.restoration.batch import Outcome, mirrored, plan_jobs
from dgno.restoration.batch_report import write_report
from dgno.restoration.inputs import find_inputs, is_own_output, list_files

PIXELS = Image(np.random.default_rng(0).integers(0, 256, (16, 20), dtype=np.uint8), "YX", (0, 255))
MADE = {"software": "dgno 0.1.0", "operation": "restore"}


def picture(path: Path, made: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, PIXELS, provenance=made)
    return path


def names(files: list[tuple[Path, Path]], top: Path) -> list[str]:
    return [path.relative_to(top).as_posix() for path, _ in files]


@pytest.mark.parametrize("ending", [".tif", ".ome.tif", ".png", ".jpg"])
@pytest.mark.parametrize("operation", ["restore", "assess"])
def test_c10_what_dgno_made_is_no_input_unless_it_is_named(tmp_path: Path, ending: str, operation: str) -> None:
    source = picture(tmp_path / f"a{ending}")
    made = picture(tmp_path / "out" / f"a{ending}", MADE | {"operation": operation})
    assert (is_own_output(source), is_own_output(made)) == (False, True)
    with pytest.warns(DgnoWarning, match="1 image left out that dgno wrote; named one by one"):
        assert names(list_files([tmp_path], tmp_path.parent / "elsewhere"), tmp_path) == [f"a{ending}"]
    assert [path for path, _ in list_files([source, made], None)] == [source, made]
    assert [path for path, _ in list_files([tmp_path, made], None)] == [source, made]  # it is not told to be left out


def test_c10_bmp_cannot_tell_who_made_it_but_the_report_can(tmp_path: Path) -> None:
    picture(tmp_path / "a.bmp")
    for name in ("1.bmp", "deep/2.bmp", "3.bmp"):
        picture(tmp_path / "out" / name)
    out = tmp_path / "out"
    write_report(out, [
        Outcome("1.bmp", str(out / "1.bmp"), "restored"),
        Outcome("2.bmp", str(out / "deep" / "2.bmp"), "restored"),
        Outcome("3.bmp", str(out / "3.bmp"), "failed"),
    ])  # fmt: skip
    with pytest.warns(DgnoWarning, match="2 images left out that dgno wrote"):
        assert names(list_files([tmp_path], None), tmp_path) == ["a.bmp", "out/3.bmp"]


def test_simulated_images_are_inputs(tmp_path: Path) -> None:
    picture(tmp_path / "a.tif", MADE | {"operation": "simulate"})
    picture(tmp_path / "b.tif", {"software": "other", "operation": "restore"})
    assert names(list_files([tmp_path], None), tmp_path) == ["a.tif", "b.tif"]


def test_a_folder_of_results_alone_is_assessed_but_not_restored(tmp_path: Path) -> None:
    picture(tmp_path / "out" / "a.tif", MADE)
    assert find_inputs([tmp_path / "out"], None).is_own
    assert len(mirrored([tmp_path / "out"], None, lambda path: path)) == 1
    with pytest.raises(ConfigError, match=r"no images.*dgno wrote all.*name those one by one"):
        plan_jobs([tmp_path / "out"], tmp_path / "again")


@pytest.mark.parametrize("place", ["", "sub"])
def test_c10_outputs_do_not_go_among_inputs(tmp_path: Path, place: str) -> None:
    """A folder below the inputs that is new, or has results alone, is taken; one of images is refused."""
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "a.tif")
    picture(tmp_path / "in" / "sub" / "b.tif")
    with pytest.raises(WouldOverwriteInput, match=r"did not write, like .*\.tif"):
        plan_jobs([tmp_path / "in"], tmp_path / "in" / place)
    assert len(plan_jobs([tmp_path / "in"], tmp_path / "in" / "new")) == 2
    picture(tmp_path / "in" / "new" / "a.tif", MADE)
    assert len(plan_jobs([tmp_path / "in"], tmp_path / "in" / "new")) == 2


def test_files_that_would_replace_themselves_are_refused_before_anything(tmp_path: Path) -> None:
    files = [picture(tmp_path / "in" / name) for name in ("a.tif", "b.tif")]
    with pytest.raises(WouldOverwriteInput, match="the same file as the input"):
        plan_jobs(files, tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.tif").hardlink_to(files[0])
    with pytest.raises(WouldOverwriteInput, match="the same file as the input"):
        plan_jobs(files, tmp_path / "out")


def test_other_files_are_told_once(tmp_path: Path) -> None:
    """By ending, but not what nobody takes for an image."""
    picture(tmp_path / "a.tif")
    picture(tmp_path / "scan.tif").rename(tmp_path / "scan0001")
    for name in ("b.gif", "c.WEBP", "sub/d.npy", "notes.txt", "report.json", ".e.gif", "README"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.warns(
        DgnoWarning, match=r"^4 other files left out \(\.gif, \.npy, \.webp, without an ending\)$"
    ) as told:
        found = find_inputs([tmp_path], None)
    assert (len(told), len(found.files), len(found.left_out)) == (1, 1, 1)


@pytest.mark.parametrize(("inputs", "out", "which"), [("-", "o.tif", "input"), ("a.tif", "-", "output")])
def test_pipes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: str, out: str, which: str) -> None:
    monkeypatch.chdir(picture(tmp_path / "a.tif").parent)
    with pytest.raises(ConfigError, match=f"the {which} is -: dgno uses no pipes; name a file"):
        plan_jobs([Path(inputs)], Path(out))


@pytest.mark.parametrize("ending", [".png", ".tif", ".zarr", ".svs"])
def test_several_inputs_get_no_folder_that_is_named_like_an_image(tmp_path: Path, ending: str) -> None:
    """Unless it is there, or said to be one."""
    files, out = [picture(tmp_path / name) for name in ("a.tif", "b.tif")], tmp_path / f"out{ending}"
    for inputs in (files, [tmp_path]):
        with pytest.raises(ConfigError, match=r"named like one image.*end the name with /"):
            plan_jobs(inputs, out)
    assert len(plan_jobs(files, out, is_folder=True)) == 2
    if ending != ".zarr":
        out.mkdir()
        assert [job.target.parent for job in plan_jobs(files, out)] == [out, out]


@pytest.mark.parametrize("pattern", ["*.xyz", "slide?.tif", "[ab].tif"])
def test_c09_a_pattern_that_matches_nothing_is_a_wrong_command(tmp_path: Path, pattern: str) -> None:
    """The shell leaves it as it is. A file of such a name is an input like any other."""
    with pytest.raises(ConfigError, match=r"no inputs .*: nothing matches this pattern"):
        find_inputs([tmp_path / pattern], None)
    with pytest.raises(MissingInput):
        find_inputs([tmp_path / "slide.tif"], None)
    picture(tmp_path / "a.tif").rename(tmp_path / pattern)
    assert [path for path, _ in list_files([tmp_path / pattern], None)] == [tmp_path / pattern]
