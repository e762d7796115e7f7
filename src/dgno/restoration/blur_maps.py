"""Read the blur of a plane, tile by tile: a reading for each of its squares.

A reader is a callable from (b, c, h, w) in [0, 1], h and w multiples of CELL, to a `BlurReading`. Of its attributes,
all optional, `multiple` and `halo` (px) say how it may be tiled, and `channels` which it takes (any).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.arrays import Affine, Opacity, Plane, to_tensor
from dgno.errors import ChannelMismatch, CheckpointError
from dgno.optics.blur_types import CELL, BlurReading
from dgno.restoration import TILE_SIZE
from dgno.restoration.image import enough_memory
from dgno.restoration.tiling import Tile, plan_tiles

Reader = Callable[[Float[Tensor, "b c h w"]], BlurReading]
Maps = Float[np.ndarray, "7 rows columns"]  # the probabilities of BLUR_TYPES, sigma, length, angle


def read_maps(
    plane: Plane,
    reader: Reader,
    affine: Affine,
    *,
    tile_size: int = TILE_SIZE,
    opacity: Opacity | None = None,
    on_tile: Callable[[], None] = lambda: None,
) -> Maps:
    """What the reader says of every square of the plane.

    plane : (h, w, c), h and w multiples of CELL
    affine : the map of its values to [0, 1]
    """
    maps = np.empty((7, len(plane) // CELL, plane.shape[1] // CELL), np.float32)
    for tile in tiles_of(reader, (len(plane), plane.shape[1]), tile_size):
        rows, columns = slice(*tile.rows.read), slice(*tile.columns.read)
        seen = None if opacity is None else opacity[rows, columns]
        answer = _ask(reader, fit_samples(to_tensor(plane[rows, columns], affine, opacity=seen), reader))
        kept, landed = _squares(tile)
        maps[:, *landed] = answer[:, *kept]
        on_tile()
    return maps


def tiles_of(reader: Reader, shape: tuple[int, int], tile_size: int = TILE_SIZE) -> list[Tile]:
    """The tiles of a plane, for a reader: in whole squares."""
    return plan_tiles(shape, tile_size=tile_size, **reading_context(reader))


def reading_context(reader: Reader) -> dict[str, int]:
    """The overlap of its tiles and what their origins are multiples of, px: whole squares."""
    halo = -(-int(getattr(reader, "halo", 0)) // CELL) * CELL
    return {"overlap": halo, "multiple": math.lcm(CELL, int(getattr(reader, "multiple", 1)))}


def fit_samples(plane: Float[Tensor, "1 c h w"], reader: Reader) -> Float[Tensor, "1 c2 h w"]:
    """The plane as the reader takes it: colours as their mean, or a gray image as equal colours."""
    wanted, samples = getattr(reader, "channels", None), plane.shape[1]
    if wanted in (None, samples):
        return plane
    if wanted == 1:
        return plane.mean(1, keepdim=True)
    if samples == 1:
        return plane.expand(-1, wanted, -1, -1)
    what = f"an image of {samples} samples with a reader of blur for {wanted} channels"
    raise ChannelMismatch(what, hint="assess its channels apart, or choose another reader")


def pad_to_squares(array: np.ndarray) -> np.ndarray:
    """(h, w, ...) continued by reflection to whole squares."""
    missing = [-n % CELL for n in array.shape[:2]]
    widths = [(0, n) for n in missing] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, widths, mode="reflect") if any(missing) else array


def _ask(reader: Reader, tile: Float[Tensor, "1 c h w"]) -> Maps:
    with enough_memory(tile.shape[-2:]), torch.no_grad():
        reading = reader(tile)
    parts = (reading.types[0], reading.sigma, reading.length, reading.angle)
    maps: np.ndarray = torch.cat([part.float().cpu() for part in parts]).numpy()
    wanted = (7, tile.shape[-2] // CELL, tile.shape[-1] // CELL)
    if maps.shape != wanted:
        raise ValueError(f"the reader made maps of {maps.shape}; wanted {wanted}")
    if not np.isfinite(maps).all():
        raise CheckpointError("the reader of blur gave values that are NaN or infinite", hint="try another reader")
    return maps


def _squares(tile: Tile) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The kept part of a tile, and where it lands, in squares."""
    cuts = (tile.rows, tile.columns)
    kept = [slice(cut.keep.start // CELL, cut.keep.stop // CELL) for cut in cuts]
    landed = [slice(cut.write.start // CELL, cut.write.stop // CELL) for cut in cuts]
    return (kept[0], kept[1]), (landed[0], landed[1])
