"""PSFs as they are given on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dgno.errors import ConfigError, InputError
from dgno.optics.diffraction import Microscope, defocused
from dgno.optics.motion import linear_motion
from dgno.optics.psf import gaussian, gaussian_disk
from dgno.optics.seidel import Seidel, seidel
from dgno.restoration.psf_given import given_psf

LENS = Microscope(0.5, 0.53, 0.4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gaussian:2", gaussian(2.0, integrated=True)),
        ("gaussian:sigma=0.5", gaussian(0.5, integrated=True)),
        ("disk:2.5", gaussian_disk(2.5)),
        ("disk:sigma=2,softness=1", gaussian_disk(2.0, 1.0)),
        ("motion:9", linear_motion(9.0)),
        ("motion:length=7,angle=30", linear_motion(7.0, 30.0)),
        ("defocus:z=3,na=0.5,wavelength=0.53,pixel=0.4", defocused(LENS, 3.0)),
        ("defocus:z=-1,na=1.2,wavelength=0.53,pixel=0.1,index=1.5", defocused(Microscope(1.2, 0.53, 0.1, 1.5), -1.0)),
    ],
)
def test_names_with_their_numbers(text: str, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(given_psf(text), expected)  # type: ignore[arg-type]


def test_a_lens_has_a_psf_at_every_place() -> None:
    lens = given_psf("seidel:na=0.5,wavelength=0.53,pixel=0.4,coma=1,astigmatism=-0.5")
    assert isinstance(lens, Callable)  # type: ignore[arg-type]
    expected = seidel(LENS, Seidel(coma=1, astigmatism=-0.5), (0.3, 0.8))
    np.testing.assert_array_equal(lens((0.3, 0.8)), expected)  # type: ignore[operator]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_file_of_any_scale(tmp_path: Path, dtype: type) -> None:
    values = (200 * gaussian(1.5) / gaussian(1.5).max()).astype(dtype)
    tifffile.imwrite(tmp_path / "psf.tif", values)
    psf = given_psf(str(tmp_path / "psf.tif"))
    np.testing.assert_allclose(psf, values / values.sum(dtype=np.float64))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("gaussian:", "wanted numbers, name=number, between commas; give gaussian:SIGMA"),
        ("disk:two", "wanted numbers"),
        ("disk:-1", "sigma is -1; its numbers: sigma, softness"),
        ("gaussian:inf", "sigma is inf"),
        ("gaussian:sigma=1,sigmoid=2", "unknown: sigmoid; its numbers: sigma"),
        ("defocus:z=3,na=0.5", "missing: wavelength; missing: pixel"),
        ("seidel:coma=1", "missing: na"),
        ("disk:2000", "the PSF would be 14313 px wide: wanted at most 1023 px"),
        ("motion:20000", "would be 20001 px wide"),
        ("moffat:2", "no PSF 'moffat:2'; give gaussian:SIGMA, disk:SIGMA, .* or a file"),
        ("psf.tif", "no PSF 'psf.tif'; give"),
    ],
)
def test_what_describes_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        given_psf(text)


@pytest.mark.parametrize(
    ("pixels", "why"),
    [
        (np.ones((4, 4), np.float32), r"its shape is \(4, 4\), wanted a square of odd side; crop it"),
        (np.zeros((3, 3), np.float32), "its sum is 0, wanted 1"),
        (np.eye(3, dtype=np.float32) - 0.1, "values that are negative"),
        (np.ones((2, 3, 3), np.float32), "a PSF is one gray plane"),
    ],
)
def test_files_that_are_none_are_refused_by_name(tmp_path: Path, pixels: np.ndarray, why: str) -> None:
    tifffile.imwrite(tmp_path / "psf.tif", pixels, photometric="minisblack")
    with pytest.raises(ConfigError, match=why) as caught:
        given_psf(str(tmp_path / "psf.tif"))
    assert caught.value.path == tmp_path / "psf.tif"


def test_files_that_cannot_be_read_are_inputs_that_fail(tmp_path: Path) -> None:
    (tmp_path / "psf.tif").write_bytes(b"no image")
    with pytest.raises(InputError):
        given_psf(str(tmp_path / "psf.tif"))
