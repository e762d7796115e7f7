"""Fields of DBMID's figures, and the blur that they get."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dgno.arrays import Image
from dgno.errors import ConfigError, MissingInput
from dgno.evaluation.bench.dbmid_views import (
    CELL_ROOM,
    SCOPE,
    View,
    immunostained,
    lone_cells,
    seed_of,
    smear,
    spaced,
    views_of,
)
from dgno.evaluation.bench.profiles import FULL, TINY
from dgno.evaluation.bench.run import Bench
from dgno.evaluation.downstream.fwhm import fwhm
from dgno.evaluation.downstream.staining import read_staining
from dgno.io.image import write_image
from dgno.optics.diffraction import defocused
from dgno.optics.exposure import NO_NOISE


@pytest.mark.parametrize("draw", [smear, lone_cells, immunostained])
def test_a_field_is_drawn_the_same_again(draw: object) -> None:
    assert callable(draw)
    one, again, other = draw("a", 3), draw("a", 3), draw("a", 4)
    assert torch.equal(one.scene, again.scene)
    assert not torch.equal(one.scene, other.scene)
    assert 0 < float(one.scene.min()) < float(one.scene.max()) < 1


def test_motion_widens_a_cell_along_itself() -> None:
    """To its length, where that is much more than the cell's; across, a disk is seen as its projection, sqrt(3) R."""
    view = lone_cells("a", 0)
    assert view.cells is not None
    assert len(view.cells) == 6
    top, left = (max(0, round(float(x)) - CELL_ROOM // 2) for x in view.cells[0])
    square = (slice(top, top + CELL_ROOM), slice(left, left + CELL_ROOM))
    sharp = view.sharp().pixels[square].mean(-1).astype(np.float64)
    moved = view.blurred(1, length=40, angle=90.0).pixels[square].mean(-1).astype(np.float64)
    assert fwhm(moved, angle=90, bright=False).px == pytest.approx(40, abs=1.5)
    across = fwhm(sharp, angle=0, bright=False).px
    assert 10 < across < 17
    assert fwhm(moved, angle=0, bright=False).px == pytest.approx(across * math.sqrt(3) / 2, abs=1.0)


def test_defocus_is_that_of_the_objective() -> None:
    """A point becomes the PSF of each colour; either side of focus looks the same, but for noise."""
    scene = torch.zeros(3, 65, 65)
    scene[:, 32, 32] = 1.0
    view = View("point", scene)
    green = view._exposed(NO_NOISE, 0, 9.36, 0.0, 0.0).pixels[..., 1]
    psf = defocused(replace(SCOPE, wavelength=0.54), 9.36)
    half = len(psf) // 2
    assert np.abs(green[32 - half : 33 + half, 32 - half : 33 + half] - psf).max() < 0.03 * psf.max()
    dim = View("gray", smear("a", 0).scene)
    assert np.array_equal(dim.blurred(5, z=6.24).pixels, dim.blurred(5, z=-6.24).pixels)
    assert not np.array_equal(dim.blurred(5, z=6.24).pixels, dim.blurred(6, z=6.24).pixels)


def test_drawn_immunostaining_can_be_counted() -> None:
    view = immunostained("a", 1)
    assert view.cells is not None
    found = read_staining(view.sharp().pixels.astype(np.float64), 0.55)
    assert abs(len(found.nuclei) - len(view.cells)) <= 2
    assert found.positive_rate is not None
    assert 0.2 < found.positive_rate < 0.8


def test_places_keep_their_distance() -> None:
    places = spaced((80, 120), 20, 15.0, np.random.default_rng(0))
    distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    assert len(places) > 10
    assert distance[~np.eye(len(places), dtype=bool)].min() >= 15


def test_published_fields_are_read_as_they_are(tmp_path: Path) -> None:
    """In focus they come back to the last bit; two of three are taken, in order."""
    place = tmp_path / "dbmid" / "test" / "IHC" / "in-focus"
    place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (40, 50, 3)).astype(np.uint8) for _ in range(3)]
    for i, values in enumerate(pixels):
        write_image(place / f"{i}.png", Image(values, "YXS", (0, 255)))
    bench = Bench(FULL, tmp_path, tmp_path)
    views = views_of(bench, immunostained, "IHC", (1, 2))
    assert [view.name for view in views] == ["0", "1"]
    assert np.abs(views[1].sharp().pixels * 255 - pixels[1]).max() < 1e-3
    assert views[1].cells is None
    assert views[1].blurred(0, z=12.48).pixels.std() < views[1].sharp().pixels.std()
    with pytest.raises(MissingInput, match="TCT"):
        views_of(bench, smear, "TCT", (1, 2))
    with pytest.raises(ConfigError, match="--data FOLDER"):
        views_of(Bench(FULL, tmp_path), smear, "TCT", (1, 2))
    assert [view.name for view in views_of(Bench(TINY, tmp_path), smear, "TCT", (1, 2))] == ["drawn 1"]


def test_every_exposure_has_noise_of_its_own() -> None:
    assert len({seed_of(i, j) for i in range(9) for j in range(9)}) == 81
