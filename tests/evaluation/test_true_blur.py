"""Methods that are told the blur which made a pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from skimage import data

from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.simulated import write_pairs
from dgno.errors import ConfigError
from dgno.evaluation.methods import METHODS
from dgno.evaluation.true_blur import true_blur
from dgno.io.image import read_image
from dgno.optics.simulate import BlurRange


def simulated(folder: Path, **ranges: object) -> Path:
    """One pair without noise: what its sigma map says is all that was done to it."""
    source = folder / "scene.tif"
    tifffile.imwrite(source, (data.camera()[100:200, 150:260] / 255.0).astype(np.float32))
    blur = BlurRange(photons=(1e15, 1e15), read_noise=(0.0, 0.0), **ranges)  # type: ignore[arg-type]
    write_pairs([source], folder / "pairs", blur, seed=3, scale="range")
    return folder / "pairs"


@pytest.mark.parametrize("psf", ["disk", "gaussian"])
@pytest.mark.parametrize("field", ["voronoi", "tilted"])
def test_the_blur_that_was_written_makes_the_blurred_image(tmp_path: Path, psf: str, field: str) -> None:
    (record,) = read_folder_pair(simulated(tmp_path, psf=psf, fields=(field,), softness=(0.7, 0.7)))
    assert record.input is not None
    sharp, blurred = (torch.from_numpy(read_image(path).pixels)[None] for path in (record.target, record.input))
    torch.testing.assert_close(true_blur(record).apply(sharp), blurred, atol=1e-5, rtol=0)


def test_told_the_map_more_is_won_than_told_the_mean(tmp_path: Path) -> None:
    """Where the blur steps from place to place."""
    (record,) = read_folder_pair(simulated(tmp_path, sigma=(0.6, 5.0), spread=9.0, fields=("voronoi",)))
    assert record.input is not None
    blurred, sharp = read_image(record.input), read_image(record.target).pixels
    errors = {
        name: float(((METHODS[name](blurred, record).pixels - sharp) ** 2).mean())
        for name in ("richardson-lucy-varying", "richardson-lucy", "blind")
    }
    assert errors["richardson-lucy-varying"] < 0.8 * errors["richardson-lucy"]
    assert errors["richardson-lucy-varying"] < errors["blind"] < float(((blurred.pixels - sharp) ** 2).mean())


def test_without_a_map_it_is_refused(tmp_path: Path) -> None:
    """A manifest of other optics, no map, or no manifest at all."""
    folder = simulated(tmp_path)
    (record,) = read_folder_pair(folder)
    (folder / "manifest.csv").write_text((folder / "manifest.csv").read_text().replace(",disk,", ",seidel,"))
    with pytest.raises(ConfigError, match=r"no map of the blur is stored for the pair.*dgno simulate"):
        true_blur(record)
    (folder / "manifest.csv").unlink()
    with pytest.raises(ConfigError, match="no map of the blur"):
        METHODS["richardson-lucy-varying"](read_image(record.target), record)
    with pytest.raises(ConfigError, match="no map of the blur"):
        true_blur(replace(record, target=tmp_path / "elsewhere" / "scene.tif"))
