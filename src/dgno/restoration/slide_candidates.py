"""Where on a slide tissue may be, by its overview: the rest of it is not read at full resolution."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation, generate_binary_structure

from dgno.arrays import Image
from dgno.io.slide import Slide, Window
from dgno.optics.blur_types import CELL
from dgno.restorable import check_finite
from dgno.restoration.blur_maps import pad_to_squares
from dgno.restoration.image import by_percentiles, by_range
from dgno.restoration.slide_overview import overview
from dgno.restoration.tissue import find_ground, is_bright_field, tissue_on

SOONER = 0.5  # of the flatness of the overview's ground: what differs less than that is empty

Grid = Bool[np.ndarray, "rows columns"]


@dataclass(frozen=True, eq=False)
class Candidates:
    """A coarse grid over a plane.

    grid : may tissue be there?
    step : how many px of level 0 one of its squares is high, and wide
    """

    grid: Grid
    step: tuple[float, float] = (np.inf, np.inf)

    def at(self, y: Float[np.ndarray, " n"], x: Float[np.ndarray, " m"]) -> Bool[np.ndarray, "n m"]:
        """Of the points at which these rows and columns meet, px."""
        places = [
            (values / step).astype(int).clip(0, n - 1)
            for values, step, n in zip((y, x), self.step, self.grid.shape, strict=True)
        ]
        found: np.ndarray = self.grid[np.ix_(*places)]
        return found

    def squares(self, rows: Window, columns: Window) -> Grid:
        """Of the squares of CELL px of a window, px."""
        y, x = ((np.arange(start // CELL, -(-stop // CELL)) + 0.5) * CELL for start, stop in (rows, columns))
        return self.at(y, x)


EVERYWHERE = Candidates(np.ones((1, 1), bool))


def find_candidates(slide: Slide, plane: int) -> Candidates:
    """The squares of CELL px of the overview that are not sure to be empty, and those next to them.

    At so low a resolution noise is averaged away, and small cells are faint: so less counts as flat than in images.
    """
    seen = overview(slide, plane)
    image = Image(seen.pixels, "YXS", slide.facts.value_range)
    check_finite(image)
    scale = (by_range if is_bright_field(image) else by_percentiles)(image, 0)
    squares = pad_to_squares(seen.pixels)
    ground = find_ground([squares], (scale.offset, scale.offset + scale.scale))
    _, core = tissue_on(squares, replace(ground, flat=ground.flat * SOONER))
    down, along = seen.scale
    return Candidates(binary_dilation(core, generate_binary_structure(2, 2)), (CELL * down, CELL * along))
