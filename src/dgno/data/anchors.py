"""Places in an image that a crop of it has too, each with a number that tells its surroundings.

An anchor is where the band-passed image is larger, up or down, than everywhere within 8 px: the pixels decide, not the
border. Its token is 32 comparisons of smoothed values around it, 16 px each way; of the eight that its flips and
quarter turns have, the smallest is taken, so a turned crop has the same tokens. Compression, brightness, contrast and
gamma change few of them. Comparisons as in Calonder et al. 2010, doi:10.1007/978-3-642-15561-1_56.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped, UInt8, UInt16, UInt32
from scipy.ndimage import gaussian_filter, maximum_filter

FINE, COARSE = 2.5, 5.0  # px: the band that anchors are found in
APART = 8  # px: no anchor is closer to another
REACH, STEP = 16, 4  # px: how far the surroundings go, and how fine they are looked at
MOST = 256  # anchors of an image: the strongest
FAINT = 1e-3  # of the largest value: weaker structure is noise
CELLS = 2 * REACH // STEP + 1
BITS = 32


@dataclass(frozen=True, eq=False)
class Anchors:
    """Of one image.

    tokens : of the surroundings
    turns : which of the eight turns of `fingerprints.turns` gave the token
    at : (row, column) px
    """

    tokens: UInt32[np.ndarray, " n"]
    turns: UInt8[np.ndarray, " n"]
    at: UInt16[np.ndarray, "n 2"]


def find_anchors(plane: Shaped[np.ndarray, "h w c"]) -> Anchors:
    """The anchors of a plane, the strongest first; none where it is smaller than 33 px."""
    gray = plane.mean(-1, dtype=np.float32)
    smooth = gaussian_filter(gray, FINE)
    response = np.abs(smooth - gaussian_filter(gray, COARSE))
    strongest = maximum_filter(response, 2 * APART + 1, mode="constant")
    faint = FAINT * max(float(np.abs(gray).max()), 1e-12)
    inner = (slice(REACH, -REACH), slice(REACH, -REACH))
    at = np.argwhere((response[inner] == strongest[inner]) & (response[inner] > faint)) + REACH
    order = np.argsort(-response[at[:, 0], at[:, 1]], kind="stable")[:MOST]
    at = at[order]
    tokens = _tokens(_surroundings(smooth, at))
    turn = tokens.argmin(axis=1)
    return Anchors(tokens[np.arange(len(at)), turn], turn.astype(np.uint8), at.astype(np.uint16))


def _surroundings(smooth: Float[np.ndarray, "h w"], at: Shaped[np.ndarray, "n 2"]) -> Float[np.ndarray, "n k k"]:
    steps = np.arange(-REACH, REACH + 1, STEP)
    return smooth[at[:, 0, None, None] + steps[:, None], at[:, 1, None, None] + steps]


def _tokens(around: Float[np.ndarray, "n k k"]) -> UInt32[np.ndarray, "n 8"]:
    """Of every flip and quarter turn."""
    first, second = COMPARED
    found = []
    for quarters in range(4):
        turned = np.rot90(around, quarters, axes=(1, 2))
        for grid in (turned, turned[:, :, ::-1]):
            flat = grid.reshape(len(grid), CELLS * CELLS)
            bits = flat[:, first] > flat[:, second]
            found.append(bits @ (np.uint64(1) << np.arange(BITS, dtype=np.uint64)))
    return np.stack(found, axis=1).astype(np.uint32)


def _compared() -> tuple[np.ndarray, np.ndarray]:
    """Pairs of cells at least 3 apart, drawn once."""
    rng = np.random.default_rng(0)
    pairs: list[tuple[int, int]] = []
    while len(pairs) < BITS:
        a, b = (int(i) for i in rng.integers(CELLS * CELLS, size=2))
        if max(abs(a // CELLS - b // CELLS), abs(a % CELLS - b % CELLS)) >= 3:
            pairs.append((a, b))
    first, second = zip(*pairs, strict=True)
    return np.array(first), np.array(second)


COMPARED = _compared()
