"""On a slide, tiles of the embedded weights agree with the whole at the halo that their header has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from dgno.io.open_slide import open_slide
from dgno.restoration.batch import Job
from dgno.restoration.options import RestoreOptions
from dgno.restoration.slide_files import restore_slide
from dgno.restoration.workbench import Workbench
from slide_files import tissue


@pytest.mark.parametrize("weights", ["brightfield-nano"])
def test_tiles_of_the_embedded_weights_equal_the_whole(tmp_path: Path, weights: str) -> None:
    """MODEL.md section 7: within 2e-5 on 99.9 % of the pixels. Floats, so that no rounding hides anything."""
    path = tmp_path / "slide.ome.tif"
    pixels = tissue(520, 776).astype(np.float32) / 255
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", metadata={"axes": "YXS"})
    found = {}
    for tile in (512, 0):
        options = RestoreOptions(weights=weights, route="off", normalize="none", tile_size=tile, device="cpu")
        out = tmp_path / f"out{tile}.ome.tif"
        outcome = restore_slide(Job(path, out), Workbench(options, inputs=[path]))
        assert outcome.facts["blocks_restored"] == (4 if tile else 1)
        with open_slide(out) as slide:
            found[tile] = slide.read((0, 520), (0, 776))
    difference = np.abs(found[512] - found[0])
    assert (difference > 2e-5).mean() < 1e-3
    assert np.abs(found[0] - pixels).mean() > 1e-3  # something was restored
