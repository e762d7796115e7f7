"""Commands of other programs as restorers."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pair_maker import MakePairs

from dgno.errors import ConfigError
from dgno.evaluation.compare import compare, unchanged
from dgno.evaluation.external import parse_command, run_external
from dgno.evaluation.protocols import PROTOCOLS

HEAD = "import pathlib, shutil, sys, time\nsource, target = map(pathlib.Path, sys.argv[-2:])\n"


@pytest.fixture
def command(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A command that runs a few lines of Python, which know both folders, in a place with a space in its name."""

    def make(lines: str) -> str:
        script = tmp_path / "a b" / "restore it.py"
        script.parent.mkdir(exist_ok=True)
        script.write_text(HEAD + lines)
        return f"{shlex.quote(sys.executable)} -S {shlex.quote(str(script))} {{in}} {{out}}"

    return make


COPY = "for p in source.iterdir(): shutil.copy(p, target)\n"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("name", ["dgno", "bbbc-pairminmax"])
def test_a_copy_scores_as_the_blurred_image(command, make_pairs: MakePairs, dtype: type, name: str) -> None:  # type: ignore[no-untyped-def]
    """On any scale; the command runs once for all pairs, and its time is shared by their pixels."""
    pairs = make_pairs(3, (40, 50), dtype)
    method = run_external(command(COPY + "time.sleep(0.3)"), pairs)
    scores = compare(pairs, {"blurred": unchanged, "external": method}, protocol=PROTOCOLS[name])
    for before, after in zip(scores[::2], scores[1::2], strict=True):
        assert (after.psnr, after.ssim) == (before.psnr, before.ssim)
        assert 0.3 / 6000e-6 < after.seconds_per_megapixel < 10 / 6000e-6


def test_what_the_command_writes_is_what_is_scored(make_pairs: MakePairs, command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Here the sharp images, under another suffix; hidden files do not count."""
    pairs = make_pairs(2, (40, 50), np.uint8)
    lines = f"for p in pathlib.Path({str(tmp_path / 'sharp')!r}).iterdir(): shutil.copy(p, target / (p.stem + '.tiff'))"
    method = run_external(command(lines + "\n(target / '.log').write_text('x')"), pairs)
    assert [s.psnr for s in compare(pairs, {"external": method})] == [np.inf, np.inf]


@pytest.mark.parametrize(("lines", "said"), [
    (COPY + "(target / '1.tif').unlink()", r"wrote no image for 1, 1 of 2 miss"),
    ("", "wrote no image for 0, 2 of 2 miss"),
    (COPY + "shutil.copy(source / '0.tif', target / '7.tif')", r"wrote 7\.tif, which is for none"),
    (COPY + "shutil.copy(source / '0.tif', target / '0.tiff')", r"wrote 0\.tiff, which is for none"),
    (COPY + "(target / 'sub').mkdir()", "wrote sub, which is for none"),
    (COPY + "(target / '1.tif').write_bytes(b'nonsense')", r"wrote 1\.tif, which cannot be read"),
    (COPY + "print('out of luck\\x1b[1m'); sys.exit(3)", r"status 3 and said: out of luck\\x1b"),
    ("raise ValueError('no such thing')", "status 1 and said: .*no such thing"),
])  # fmt: skip
def test_wrong_output_is_one_error_that_names_it(make_pairs: MakePairs, command, lines: str, said: str) -> None:  # type: ignore[no-untyped-def]
    pairs = make_pairs(2, (40, 50), np.uint8)
    with pytest.raises(ConfigError, match=said) as caught:
        run_external(command(lines), pairs)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(("wrong", "said"), [
    (np.zeros((40, 51), np.uint8), r"0\.tif as uint8 of shape \(40, 51\), wanted uint8 of shape \(40, 50\)"),
    (np.zeros((40, 50), np.uint16), r"0\.tif as uint16 of shape"),
    (np.zeros((40, 50, 3), np.uint8), r"0\.tif as uint8 of shape \(40, 50, 3\)"),
])  # fmt: skip
def test_other_shapes_and_dtypes_are_an_error(
    make_pairs: MakePairs,
    command,
    tmp_path: Path,
    wrong: np.ndarray,
    said: str,  # type: ignore[no-untyped-def]
) -> None:
    pairs = make_pairs(1, (40, 50), np.uint8)
    tifffile.imwrite(tmp_path / "w.tif", wrong, photometric="rgb" if wrong.ndim == 3 else "minisblack")
    with pytest.raises(ConfigError, match=said):
        run_external(command(f"shutil.copy({str(tmp_path / 'w.tif')!r}, target / '0.tif')"), pairs)


def test_nan_is_an_error(make_pairs: MakePairs, command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pairs = make_pairs(1, (40, 50))
    tifffile.imwrite(tmp_path / "w.tif", np.full((40, 50), np.nan, np.float32))
    with pytest.raises(ConfigError, match=r"0\.tif"):
        run_external(command(f"shutil.copy({str(tmp_path / 'w.tif')!r}, target / '0.tif')"), pairs)


def test_a_command_that_takes_too_long_is_ended_with_its_children(
    make_pairs: MakePairs, command, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    """Both would write a file a little later."""
    late = tmp_path / "late"
    child = f"import time; time.sleep(2); open({str(late)!r}, 'w')"
    lines = f"import subprocess; subprocess.Popen([sys.executable, '-S', '-c', {child!r}]); time.sleep(60)"
    started = time.perf_counter()
    with pytest.raises(ConfigError, match=r"ran longer than 0\.01 minutes"):
        run_external(command(lines), make_pairs(1), minutes=0.01)
    assert time.perf_counter() - started < 30
    time.sleep(2)
    assert not late.exists()


def test_nothing_is_left_and_inputs_are_copies(make_pairs: MakePairs, command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The command may spoil what it is given."""
    pairs, told = make_pairs(1), tmp_path / "told.txt"
    before = pairs[0].input.read_bytes()
    run_external(
        command(f"{COPY}(source / '0.tif').write_text('')\npathlib.Path({str(told)!r}).write_text(str(source))"), pairs
    )
    assert pairs[0].input.read_bytes() == before
    assert not Path(told.read_text()).parent.exists()


@pytest.mark.parametrize(("command", "said"), [
    ("restore {in}", "not both"),
    ("restore", "not both"),
    ("", "not both"),
    ("{in} {out}", "not both"),
    ("restore '{in} {out}", "cannot be read: No closing quotation"),
    ("no-such-program-of-dgno {in} {out}", "no-such-program-of-dgno failed: it does not start: No such file"),
])  # fmt: skip
def test_commands_that_cannot_run(make_pairs: MakePairs, command: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run_external(command, make_pairs(1))


def test_no_shell_sees_the_command() -> None:
    """What a shell would act on is an argument like any other; places may be part of one, and folders hold spaces."""
    words = parse_command("run --in={in} -o {out} ; rm $HOME '*' \"a b\"", Path("x y/in"), Path("out"))
    assert words == ["run", "--in=x y/in", "-o", "out", ";", "rm", "$HOME", "*", "a b"]


def test_scores_are_by_the_pairs_name(make_pairs: MakePairs, command) -> None:  # type: ignore[no-untyped-def]
    """Whatever order they come in."""
    pairs = make_pairs(3, (40, 50))
    method = run_external(command(COPY), pairs)
    image = method.restored["2"]
    np.testing.assert_array_equal(method(image, replace(pairs[0], key="2")).pixels, tifffile.imread(pairs[2].input))
