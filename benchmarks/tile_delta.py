"""How a restored image depends on its tiles: the difference from the whole, over tile sizes and overlaps.

    python benchmarks/tile_delta.py WEIGHTS IMAGE [--side 1024] [--tiles 256 512 768] [--overlaps 32 64 128]

WEIGHTS is a name or a file, IMAGE is blurred (sigma 2 px) and cut to SIDE px from its middle. Local weights end at the
halo that their header has; global ones (a scan over the whole tile, instance norms, as published) never do, and are
faded into each other. Of the value range: RMS, 99.9th percentile, largest, and the seam index.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from dgno.arrays import Plane
from dgno.io.image import read_image
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.image import restore_plane, tiling_of
from dgno.restoration.slide_plan import plan_blocks
from dgno.restoration.slide_seams import seam_index
from dgno.restoration.tiling import Span, plan_tiles, smallest_tile

SIGMA = 2.0  # px


def scene(path: Path, side: int, channels: int) -> torch.Tensor:
    """The middle of an image, blurred, its 0.1 and 99.9 percentiles at 0 and 1."""
    plane = next(read_image(path).planes()).astype(np.float64)
    plane = plane[..., :channels] if channels > 1 else plane.mean(-1, keepdims=True)
    top, left = ((n - min(n, side)) // 2 for n in plane.shape[:2])
    plane = gaussian_filter(plane[top : top + side, left : left + side], (SIGMA, SIGMA, 0))
    low, high = np.percentile(plane, [0.1, 99.9])
    return torch.from_numpy(((plane - low) / (high - low)).astype(np.float32)).permute(2, 0, 1)[None]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("weights")
    parser.add_argument("image", type=Path)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--tiles", type=int, nargs="+", default=[256, 512, 768])
    parser.add_argument("--overlaps", type=int, nargs="+", default=[32, 64, 128])
    asked = parser.parse_args()
    weights, path, side = asked.weights, asked.image, asked.side
    restorer, _ = make_restorer(weights)
    given = scene(path, side, restorer.channels or 1)
    with torch.no_grad():
        whole = restorer(given)
    size = f"{given.shape[3]} x {given.shape[2]}"
    print(f"{weights}: local {restorer.is_local}, halo {restorer.halo}, {path.name} {size}")
    print(f"{'tile':>6} {'overlap':>8} {'RMS':>10} {'99.9 %':>10} {'largest':>10} {'seam index':>11} {'work':>6}")
    for tile in asked.tiles:
        for overlap in asked.overlaps:
            if tile < smallest_tile(overlap, restorer.multiple):
                continue
            tiling = tiling_of(restorer, tile, overlap)
            shape = (given.shape[2], given.shape[3])
            tiles = plan_tiles(shape, **tiling)
            found = restore_plane(given, restorer, tiles)
            difference = (found - whole).abs().flatten().numpy()
            index = seam_index(_reading(given), _reading(found), plan_blocks(shape, [0], **tiling), lambda number: True)
            work = sum(one.rows.read.length * one.columns.read.length for one in tiles) / given[0, 0].numel()
            values = [np.sqrt((difference**2).mean()), np.quantile(difference, 0.999), difference.max()]
            numbers = " ".join(f"{value:>10.2e}" for value in values)
            print(f"{tile:>6} {overlap:>8} {numbers} {index or 0:>11.3f} {work:>6.2f}", flush=True)


def _reading(image: torch.Tensor):  # a `Reading`
    array = image[0].permute(1, 2, 0).numpy()

    def read(rows: Span, columns: Span, plane: int) -> Plane:
        return array[slice(*rows), slice(*columns)]

    return read


if __name__ == "__main__":
    main()
