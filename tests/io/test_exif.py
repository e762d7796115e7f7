"""What EXIF says of pixels is true of those that are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from dgno.io.exif import with_pixel_size
from dgno.io.image import read_image, write_image

GRAY = np.random.default_rng(0).integers(0, 255, (9, 8), np.uint8)
X, Y, UNIT, MAKER = 282, 283, 296, 271
LENGTHS = {2: 25400.0, 3: 1e4}


def save(path: Path, density: float, unit: int | None) -> None:
    exif = Pillow.Exif()
    exif[X], exif[Y], exif[MAKER] = density, density, "a camera"
    if unit is not None:
        exif[UNIT] = unit
    Pillow.fromarray(GRAY).save(path, exif=exif, dpi=(300, 300))


def said(path: Path) -> tuple[float, float, int]:
    with Pillow.open(path) as image:
        exif = image.getexif()
    assert exif[MAKER] == "a camera"
    return float(exif[X]), float(exif[Y]), exif.get(UNIT, 2)


@pytest.mark.parametrize("unit", [2, 3, None])
@pytest.mark.parametrize("ending", [".jpg", ".png"])
@pytest.mark.parametrize("size", [(0.5, 0.25), (85.0, 85.0), (0.001, 1000.0)])
def test_a_given_pixel_size_is_that_of_exif_too(
    tmp_path: Path, ending: str, unit: int | None, size: tuple[float, float]
) -> None:
    save(tmp_path / f"x{ending}", 72, unit)
    write_image(tmp_path / f"y{ending}", replace(read_image(tmp_path / f"x{ending}"), pixel_size=size))
    x, y, unit = said(tmp_path / f"y{ending}")
    np.testing.assert_allclose((LENGTHS[unit] / y, LENGTHS[unit] / x), size, rtol=1e-3)


def test_a_density_that_exif_cannot_hold_is_left(tmp_path: Path) -> None:
    save(tmp_path / "x.png", 72, 2)
    write_image(tmp_path / "y.png", replace(read_image(tmp_path / "x.png"), pixel_size=(1e-6, 1e-6)))
    assert said(tmp_path / "y.png") == (72, 72, 2)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_what_nobody_changes_stays(tmp_path: Path, ending: str) -> None:
    """Also where a file contradicts itself."""
    save(tmp_path / f"x{ending}", 1234, 2)
    found = read_image(tmp_path / f"x{ending}")
    write_image(tmp_path / f"y{ending}", found)
    assert said(tmp_path / f"y{ending}") == (1234, 1234, 2)
    assert read_image(tmp_path / f"y{ending}").stored.exif == found.stored.exif


@pytest.mark.parametrize("length", range(0, 60, 3))
def test_a_broken_block_is_left_as_long_as_it_is(length: int) -> None:
    exif = Pillow.Exif()
    exif[X], exif[Y], exif[UNIT] = 72.0, 72.0, 2
    block = exif.tobytes().removeprefix(b"Exif\0\0")[:length]
    assert len(with_pixel_size(block, (0.5, 0.5))) == length
