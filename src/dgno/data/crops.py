"""Images of two splits that share a part: crops of one another, or of one larger image; perhaps turned or compressed.

Anchors with equal tokens vote for a pair of images, a turn and an offset; where two agree, the pixels of both images
decide. A token is looked up in no more than 8 images of a split, the first ones, so time and memory grow with the
number of images, at most 2.3 kB each, however often a pattern returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.ndimage import gaussian_filter

from dgno.data.anchors import Anchors
from dgno.data.fingerprints import turns

VOTES = 2  # anchors that agree
MEMBERS = 8  # images of a split that a token is looked up in
BIN = 4  # px: offsets that agree
SEARCH = 2  # px: anchors lie so far off at most
FINE, COARSE = 1.0, 8.0  # px: detail between the two is compared
SMALLEST = 32  # px of a side that two images share
ALIKE = 0.7  # correlation of the shared part

Plane = Shaped[np.ndarray, "h w c"]
Gray = Float[np.ndarray, "h w"]
Other = Shaped[np.ndarray, "rows columns samples"]  # of a shape that may differ
OtherGray = Float[np.ndarray, "rows columns"]


@dataclass(frozen=True)
class Candidate:
    """Pixel p of the second image is pixel turn p + offset of the first.

    turn : number of the matrix in `MATRICES`
    """

    first: int
    second: int
    turn: int
    offset: tuple[int, int]


def _matrices() -> Int[np.ndarray, "8 2 2"]:
    """What the turns of `fingerprints.turns` do to places: turned[p] = image[M p], both counted from the centre."""
    place = np.arange(9).reshape(3, 3)
    found = []
    for turned in turns(place):
        rows, columns = (np.subtract(divmod(int(turned[i, j]), 3), 1) for i, j in ((2, 1), (1, 2)))
        found.append(np.stack([rows, columns], axis=1))
    return np.stack(found)


MATRICES = _matrices()


def shared_parts(
    anchors: Sequence[Anchors], splits: Sequence[int], read: Callable[[int], Plane], *, alike: float = ALIKE
) -> Iterator[tuple[int, int, float]]:
    """Pairs of images of two splits that share a part, and how alike it is.

    splits : of every image, as numbers
    read : the pixels of an image; called for candidates alone
    """
    for candidate in find_candidates(anchors, splits):
        likeness = part_similarity(read(candidate.first), read(candidate.second), candidate)
        if likeness > alike:
            yield candidate.first, candidate.second, likeness


def find_candidates(anchors: Sequence[Anchors], splits: Sequence[int]) -> list[Candidate]:
    """For every pair of images in two splits the turn and offset that most anchors agree on, if `VOTES` of them do."""
    image = np.repeat(np.arange(len(anchors)), [len(a.tokens) for a in anchors])
    if not len(image):
        return []
    token, turn = (np.concatenate([getattr(a, name) for a in anchors]) for name in ("tokens", "turns"))
    at = np.concatenate([a.at for a in anchors]).astype(np.int64)
    split = np.asarray(splits)[image]
    order = np.lexsort((image, split, token))
    order = order[_rank(token[order], split[order]) < MEMBERS]
    votes: list[np.ndarray] = []
    for lag in range(1, MEMBERS * len(set(splits))):
        a, b = order[:-lag], order[lag:]
        equal = (token[a] == token[b]) & (split[a] != split[b])
        a, b = a[equal], b[equal]
        matrix = np.einsum("nij,nkj->nik", MATRICES[turn[a]], MATRICES[turn[b]])  # of the second into the first
        offset = at[a] - np.einsum("nij,nj->ni", matrix, at[b])
        votes.append(np.column_stack([image[a], image[b], _number(matrix), offset]))
    return _elected(np.concatenate(votes))


def part_similarity(first: Plane, second: Other, candidate: Candidate) -> float:
    """The largest correlation of the detail that both images show, over offsets up to 2 px from the candidate's."""
    a, b = _detail(first), _detail(second)
    matrix = MATRICES[candidate.turn]
    back = int(np.flatnonzero((matrix.T == MATRICES).all((1, 2)))[0])
    turned = list(turns(b))[back]
    corners = [matrix @ corner + candidate.offset for corner in ((0, 0), (b.shape[0] - 1, b.shape[1] - 1))]
    top, left = np.minimum(*corners)
    steps = range(-SEARCH, SEARCH + 1)
    return max(_correlation(a, turned, (int(top) + y, int(left) + x)) for y in steps for x in steps)


def _rank(token: Shaped[np.ndarray, " n"], split: Shaped[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The place of every entry among those of one token and split, which stand together."""
    places = np.arange(len(token))
    begins = np.r_[True, (token[1:] != token[:-1]) | (split[1:] != split[:-1])]
    return places - np.maximum.accumulate(np.where(begins, places, 0))


def _number(matrices: Int[np.ndarray, "n 2 2"]) -> Int[np.ndarray, " n"]:
    code = np.array([27, 9, 3, 1])
    known = MATRICES.reshape(8, 4) @ code
    order = np.argsort(known)
    return order[np.searchsorted(known[order], matrices.reshape(-1, 4) @ code)]


def _elected(votes: Int[np.ndarray, "n 5"]) -> list[Candidate]:
    """Images in the order of their numbers; the mean offset of those that agree."""
    coarse = votes.copy()
    coarse[:, 3:] = np.round(votes[:, 3:] / BIN)
    kinds, belongs, counts = np.unique(coarse, axis=0, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(belongs.ravel(), votes[:, i], len(kinds)) for i in (3, 4)], axis=1)
    best: dict[tuple[int, int], tuple[int, Candidate]] = {}
    for i in np.flatnonzero(counts >= VOTES):
        first, second, turn = (int(n) for n in kinds[i, :3])
        row, column = (round(float(n) / int(counts[i])) for n in sums[i])
        if counts[i] > best.get((first, second), (0, None))[0]:
            best[first, second] = int(counts[i]), Candidate(first, second, turn, (row, column))
    return [candidate for _, candidate in best.values()]


def _detail(plane: Plane) -> Gray:
    gray = plane.mean(-1, dtype=np.float64)
    return gaussian_filter(gray, FINE) - gaussian_filter(gray, COARSE)


def _correlation(a: Gray, b: OtherGray, corner: tuple[int, int]) -> float:
    """Of the part that both show where the first pixel of b lies on `corner` of a; -1 if it is too small."""
    ours = tuple(slice(max(c, 0), min(c + m, n)) for c, n, m in zip(corner, a.shape, b.shape, strict=True))
    if any(part.stop - part.start < SMALLEST for part in ours):
        return -1.0
    x = a[ours].ravel()
    y = b[tuple(slice(part.start - c, part.stop - c) for part, c in zip(ours, corner, strict=True))].ravel()
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-30))
