"""`dgno simulate` by every kind of PSF, and the paper's sets: what is written, and what is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from dgno.cli.blur_options import PSFS, BlurOptions
from dgno.cli.simulated_optics import USED, optics_of
from dgno.errors import ConfigError
from dgno.metrics import psnr

Cli = Callable[..., Any]
LENS = ("--numerical-aperture", "0.4", "--pixel-size", "0.5")


@pytest.fixture
def sharp(tmp_path: Path) -> Path:
    """One gray and one colour image."""
    (tmp_path / "sharp").mkdir()
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "sharp" / "gray.tif", rng.integers(0, 255, (40, 50), dtype=np.uint8))
    tifffile.imwrite(
        tmp_path / "sharp" / "he.tif", rng.integers(0, 255, (44, 40, 3), dtype=np.uint8), photometric="rgb"
    )
    return tmp_path / "sharp"


def manifest(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize(("arguments", "psf", "folders"), [
    ((), "disk", {"sigma"}),
    (("--psf", "gaussian", "--sigma", "1", "2", "--reading", "scatter", "--boundary", "zero"), "gaussian", {"sigma"}),
    (("--defocus", "-2", "5", *LENS), "diffraction", {"z"}),
    (("--motion", "3", "9", "--field", "smooth"), "motion", {"motion"}),
    (("--motion", "5", "5", "--defocus", "0", "4", *LENS), "diffraction and motion", {"z", "motion"}),
    (("--motion", "5", "5", "--sigma", "1", "2", "--order", "motion-first"), "disk and motion", {"sigma", "motion"}),
    (("--seidel", "0.2", "0.3", "0", "0", "0", "0", *LENS), "seidel", set()),
])  # fmt: skip
def test_every_kind_of_psf(
    cli: Cli, sharp: Path, tmp_path: Path, arguments: tuple[str, ...], psf: str, folders: set[str]
) -> None:
    """Maps beside the pairs in units of their own, PSFs of sum 1; the manifest says what was done."""
    out = tmp_path / "pairs"
    assert cli("simulate", sharp, "-o", out, *arguments, "--seed", 2).status == 0
    assert {path.name for path in out.iterdir()} == folders | {"sharp", "blurred", "psf", "manifest.csv"}
    rows = manifest(out)
    assert rows.keys() == {"gray", "he"}
    for name, row in rows.items():
        assert row["psf"] == psf
        assert row["reading"] == ("scatter" if "scatter" in arguments else "gather")
        assert row["boundary"] == ("zero" if "zero" in arguments else "reflect")
        assert row["light"] == ("linear" if name == "he" and set(LENS) & set(arguments) else "as stored")
        assert 0 <= float(row["bank_error"]) < 0.05
        assert tifffile.imread(out / "psf" / f"{name}.tif").sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)
        shape = tifffile.imread(out / "sharp" / f"{name}.tif").shape[:2]
        for folder in folders:
            values = tifffile.imread(out / folder / f"{name}.tif")
            assert values.shape == ((2, *shape) if folder == "motion" else shape)
            which = {"sigma": "sigma", "z": "z", "motion": "length"}[folder]
            first = values[0] if folder == "motion" else values
            assert float(row[f"{which}_mean"]) == pytest.approx(first.mean(dtype=np.float64), abs=1e-3)
    if "--defocus" in arguments:
        assert (rows["gray"]["wavelength"], rows["he"]["wavelength"]) == ("0.53", "0.62 0.54 0.46")
    if "motion" in folders:
        for name, row in rows.items():
            angle = tifffile.imread(out / "motion" / f"{name}.tif")[1]
            np.testing.assert_allclose(angle, float(row["angle"]), atol=1e-4)


def test_bits_and_jpeg(cli: Cli, sharp: Path, tmp_path: Path) -> None:
    assert cli("simulate", sharp, "-o", tmp_path / "a", "--bits", 8, "--jpeg", 50).status == 0
    row = manifest(tmp_path / "a")["gray"]
    assert (row["bits"], row["quality"]) == ("8", "50")
    steps = tifffile.imread(tmp_path / "a" / "blurred" / "gray.tif") * 255
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)


@pytest.mark.parametrize(("arguments", "said"), [
    (("--psf", "gausian"), "did you mean 'gaussian'"),
    (("--psf", "diffraction"), "needs --defocus and --numerical-aperture and --pixel-size"),
    (("--defocus", "1", "3", "--pixel-size", "0.5"), "needs --numerical-aperture"),
    (("--psf", "disk", "--motion", "3", "5"), "--motion has no meaning with --psf disk"),
    (("--psf", "gaussian", "--softness", "0.3"), "--softness has no meaning with --psf gaussian"),
    (("--angle", "30"), "--angle has no meaning with --psf disk"),
    (("--motion", "3", "5", "--sigma", "1", "2", "--order", "first"), "known: motion-last, motion-first"),
    (("--defocus", "1", "3", "--numerical-aperture", "1.2", "--pixel-size", "0.5"), "below the refractive index"),
    (("--boundary", "valid"), "boundary is 'valid'"),
    (("--bits", "9"), "bits is 9"),
    (("--jpeg", "101"), "quality is 101"),
    (("--count", "3"), "--count is for --set"),
    (("--set", "s1-8-10"), "scenes of s1-8-10 are drawn"),
    (("--set", "s2", "--sigma", "1", "2", "--photons", "5"), "given were --photons, --sigma"),
    (("--set", "s1-8-11"), "did you mean 's1-8-10'"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(
    cli: Cli, sharp: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """In one line, before anything is written."""
    result = cli("simulate", sharp, "-o", tmp_path / "pairs", *arguments)
    assert result.status == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "pairs").exists()


def test_a_set_of_the_paper(cli: Cli, tmp_path: Path) -> None:
    """Without any image; the same seed writes the same, and the terminal tells how blurred it is."""
    for name in "ab":
        result = cli("simulate", "--set", "s1-8-10", "-o", tmp_path / name, "--count", 2, "--seed", 5, "--json")
        assert result.status == 0, result.err
    for part in ("sharp", "blurred", "sigma", "psf"):
        for path in (tmp_path / "a" / part).iterdir():
            assert path.read_bytes() == (tmp_path / "b" / part / path.name).read_bytes()
    pairs = [
        [torch.from_numpy(tifffile.imread(tmp_path / "a" / part / f"000{i}.tif")) for part in ("blurred", "sharp")]
        for i in range(2)
    ]
    assert result.json["blurred_psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]), abs=2e-3)
    assert result.json["bank_error"] < 1 / 1024
    told = cli("simulate", "--set", "s1-8-10", "-o", tmp_path / "c", "--count", 1, "--seed", 5)
    assert "1 pairs, blurred" in told.err
    nothing = cli("simulate", "-o", tmp_path / "d")
    assert (nothing.status, "no sharp images" in nothing.err) == (2, True)


def test_every_option_of_the_blur_has_a_use() -> None:
    """And every kind of PSF can be asked for by name."""
    used = set().union(*USED.values())
    assert used | {"psf", "reading", "boundary"} == set(BlurOptions.__dataclass_fields__)
    assert tuple(USED) == PSFS
    given = BlurOptions(defocus=(0, 1), numerical_aperture=0.3, pixel_size=0.5, motion=(1, 2), seidel=(0,) * 6)
    for psf in PSFS:
        kept = {name: getattr(given, name) for name in USED[psf]} | {"psf": psf}
        assert optics_of(BlurOptions(**kept)).draw_optics((9, 9), np.random.default_rng(0)).facts(1)
    with pytest.raises(ConfigError, match="--defocus has no meaning"):
        optics_of(BlurOptions(psf="motion", motion=(1, 2), defocus=(0, 1)))
