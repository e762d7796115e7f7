"""`dgno simulate`."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from command_line import Cli


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_simulate_is_reproducible(cli: Cli, sharp: Path, tmp_path: Path) -> None:
    """The same seed writes the same bytes, another seed other ones; truth and manifest stand beside the pairs."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli("simulate", sharp, "-o", tmp_path / name, "--seed", seed).status == 0
    a, b, c = (files_of(tmp_path / name) for name in "abc")
    assert a == b
    assert a["blurred/0.tif"] != c["blurred/0.tif"]
    assert len(a) == 4 * 3 + 1
    assert len((tmp_path / "a" / "manifest.csv").read_text().splitlines()) == 4
    sigma, psf = (tifffile.imread(tmp_path / "a" / f / "0.tif") for f in ("sigma", "psf"))
    assert 0.6 <= sigma.min() <= sigma.max() <= 4.0
    assert psf.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("arguments", "status", "said"), [
    (("--field", "foo"), 2, "fields[0] is 'foo', known: constant"),
    (("--field", "vornoi"), 2, "did you mean 'voronoi'?"),
    (("--sigma", "4", "0.6"), 2, "sigma is (4.0, 0.6), wanted (smallest, largest)"),
    (("--sigma", "-1", "2"), 2, "sigma is (-1.0, 2.0)"),
    (("--sigma", "0.5", "inf"), 2, "sigma is (0.5, inf)"),
    (("--spread", "inf"), 2, "spread is inf"),
    (("--read-noise", "nan"), 2, ""),
    (("--scale", "foo"), 2, "scale is 'foo', known: auto, range, percentile"),
    (("--sigma", "0", "0"), 0, "3 pairs"),
])  # fmt: skip
def test_simulate_checks_its_arguments(
    cli: Cli, sharp: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """Before anything is written. No blur at all is allowed: noise alone."""
    result = cli("simulate", sharp, "-o", tmp_path / "pairs", *arguments)
    assert result.status == status
    assert said in result.err
    assert "E-BUG" not in result.err
    assert (tmp_path / "pairs").exists() == (status == 0)


def test_simulate_replaces_pairs_only_when_told(cli: Cli, sharp: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    assert cli("simulate", sharp / "0.png", "-o", pairs).status == 0
    before = files_of(pairs)
    again = cli("simulate", sharp / "1.png", "-o", pairs)
    assert (again.status, "E-OUT-EXISTS" in again.err) == (4, True)
    assert files_of(pairs) == before
    assert cli("simulate", sharp / "0.png", "-o", pairs, "--seed", 3, "--overwrite").status == 0
    assert files_of(pairs)["manifest.csv"] != before["manifest.csv"]


def test_simulate_says_that_an_opacity_is_left_out(cli: Cli, sharp: Path, tmp_path: Path) -> None:
    """Once for all images that have one; --quiet keeps it to itself."""
    rgba = np.random.default_rng(0).integers(0, 255, (64, 80, 4), np.uint8)
    for name in ("a.png", "b.png"):
        imsave(tmp_path / name, rgba, check_contrast=False)
    result = cli("simulate", sharp, tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "pairs")
    told = [line for line in result.err.splitlines() if "opacity" in line]
    assert (result.status, len(told)) == (0, 1)
    assert "a.png and 1 more: the opacity is left out of the pairs" in told[0]
    assert tifffile.imread(tmp_path / "pairs" / "sharp" / "a.tif").shape == (64, 80, 3)
    assert "opacity" not in cli("simulate", tmp_path / "a.png", "-o", tmp_path / "other", "--quiet").err
    assert "opacity" not in cli("simulate", sharp, "-o", tmp_path / "opaque").err


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES])
def test_simulate_tells_of_a_place_where_no_folder_can_be_made(
    cli: Cli, sharp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """A read-only file system; a folder of somebody else."""

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(Path, "mkdir", refuse)
    result = cli("simulate", sharp, "-o", tmp_path / "pairs")
    assert (result.status, "E-OUT-DIR" in result.err) == (4, True)


def test_simulate_tells_of_a_file_where_the_folder_would_be(cli: Cli, sharp: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs").write_text("notes")
    for out in (tmp_path / "pairs", tmp_path / "pairs" / "below"):
        result = cli("simulate", sharp, "-o", out)
        assert (result.status, "E-OUT-DIR" in result.err) == (4, True)
