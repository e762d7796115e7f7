"""What a survey says of one scene of a slide, as numbers for all of it and as a map of fewer squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import generate_binary_structure, label

from dgno.optics.blur_types import BLUR_TYPES, IN_FOCUS
from dgno.restoration.assessment import BACKGROUND, Assessment, worst_of
from dgno.restoration.slide_survey import PlaneSurvey

LEAST_TIMES, MOST = 4, 1024  # squares that one of the map is wide, at least; squares across the map, at most
FLOATS = 2**16  # values of float16
SPECK = 256  # squares: smaller pieces of what seems to be tissue are dirt on the glass, if there is little of them
LITTLE = 0.1  # of all tissue

Counts = Int[np.ndarray, " 4"]


@dataclass(frozen=True, eq=False)
class Summary:
    """Several channels of one scene of a slide, every square as in the channel where it is blurred most.

    squares, tissue, unsure : how many there are, are tissue, and abstained
    counts : of the tissue, by type
    likelihoods : of the types, on average over the tissue; 0 without any
    strengths, sigmas : how many blurred squares have each strength, and each sigma above 0, by the bits of float16
    map : the same in larger squares. Tissue is where at least half of one is; its type is that of most of its tissue
    times : how many squares one of the map is wide
    """

    squares: int
    tissue: int
    unsure: int
    counts: Counts
    likelihoods: Float[np.ndarray, " 4"]
    strengths: Int[np.ndarray, " values"]
    sigmas: Int[np.ndarray, " values"]
    map: Assessment
    times: int

    @property
    def shares(self) -> dict[str, float]:
        """Of the tissue, the part of each type."""
        return dict(zip(BLUR_TYPES, (self.counts / max(self.tissue, 1)).tolist(), strict=True))

    @property
    def type(self) -> str:
        """The likeliest for the tissue as a whole; in focus if there is none, or no type is likely enough."""
        found = BLUR_TYPES[int(self.likelihoods.argmax())]
        return found if self.confidence >= self.map.min_confidence else IN_FOCUS

    @property
    def confidence(self) -> float:
        """The probability of the likeliest type for the whole, in [0, 1]; 0 without tissue."""
        return float(self.likelihoods.max())

    @property
    def median_strength(self) -> float:
        """px, over the blurred squares; 0 without any."""
        return _median(self.strengths)

    @property
    def median_sigma(self) -> float:
        """px, over the squares out of focus; 0 without any."""
        return _median(self.sigmas)

    def blurred(self, least: float = 0.0) -> float:
        """The share of the tissue that is blurred by at least so many px."""
        values = np.arange(FLOATS, dtype=np.uint16).view(np.float16)
        with np.errstate(invalid="ignore"):
            return float(self.strengths[values >= least].sum()) / max(self.tissue, 1)


def summarise(planes: Sequence[PlaneSurvey], *, is_bright: bool) -> Summary:
    """Of the channels of one scene; a block at a time.

    is_bright : bright field, where dirt on the cover glass is left out: it is out of focus when the tissue is in focus
    """
    shape, squares = planes[0].shape, planes[0].squares
    times = max(LEAST_TIMES, -(-max(squares) // MOST))
    sums = _Sums((-(-squares[0] // times), -(-squares[1] // times)), times)
    windows = sorted({window for plane in planes for window in plane.windows()})
    specks = _specks(planes[0], times) if is_bright and len(planes) == 1 else None
    for rows, columns in windows:
        found = worst_of([plane.assessment(rows, columns) for plane in planes])
        sums.add(found if specks is None else _without(found, specks, rows, columns, times), rows[0], columns[0])
    tissue = int(sums.counts.sum())
    return Summary(
        squares=squares[0] * squares[1],
        tissue=tissue,
        unsure=sums.unsure,
        counts=sums.counts.sum((1, 2)).astype(np.int64),
        likelihoods=sums.likelihoods.sum((1, 2), dtype=np.float64) / max(tissue, 1),
        strengths=sums.strengths,
        sigmas=sums.sigmas,
        map=sums.map(squares, shape, planes[0].min_confidence),
        times=times,
    )


def _specks(plane: PlaneSurvey, times: int) -> Bool[np.ndarray, "down along"]:
    """The squares of the map that hold small pieces alone; none where these are most of what there is, as of cells."""
    tissue = np.zeros([-(-n // times) for n in plane.squares], np.int64)
    for rows, columns in plane.windows():
        down, along = np.nonzero(plane.tissue_in(rows, columns))
        np.add.at(tissue, ((down + rows[0]) // times, (along + columns[0]) // times), 1)
    pieces, count = label(tissue > 0, generate_binary_structure(2, 2))
    sizes = np.bincount(pieces.ravel(), tissue.ravel(), count + 1)
    small = sizes < SPECK
    small[0] = False
    found: np.ndarray = small[pieces]
    return found if sizes[small].sum() <= LITTLE * sizes.sum() else np.zeros_like(found)


def _without(
    found: Assessment,
    specks: Bool[np.ndarray, "down along"],
    rows: tuple[int, int],
    columns: tuple[int, int],
    times: int,
) -> Assessment:
    """A window of squares, those of specks as background."""
    places = (np.arange(*window) // times for window in (rows, columns))
    kept = ~specks[np.ix_(*places)]
    return replace(
        found,
        likelihoods=found.likelihoods * kept,
        types=np.where(kept, found.types, BACKGROUND).astype(np.uint8),
        sigma=found.sigma * kept,
        length=found.length * kept,
        angle=found.angle * kept,
        abstained=found.abstained & kept,
    )


class _Sums:
    """Sums over the squares of tissue, by type, in a grid of larger squares."""

    def __init__(self, shape: tuple[int, int], times: int) -> None:
        self.times, self.unsure = times, 0
        self.counts = np.zeros((4, *shape), np.int64)
        self.likelihoods, self.sigma, self.length = (np.zeros((4, *shape)) for _ in range(3))
        self.strengths, self.sigmas = np.zeros(FLOATS, np.int64), np.zeros(FLOATS, np.int64)

    def add(self, found: Assessment, top: int, left: int) -> None:
        """The squares of a window that begins there."""
        down, along = np.nonzero(found.tissue)
        kinds, here = found.types[down, along], ((down + top) // self.times, (along + left) // self.times)
        np.add.at(self.counts, (kinds, *here), 1)
        np.add.at(self.sigma, (kinds, *here), found.sigma[down, along])
        np.add.at(self.length, (kinds, *here), found.length[down, along])
        for k in range(4):
            np.add.at(self.likelihoods[k], here, found.likelihoods[k, down, along])
        self.unsure += int(found.abstained.sum())
        self.strengths += _histogram(found.strength[found.blurred])
        self.sigmas += _histogram(found.sigma[found.sigma > 0])

    def map(self, squares: tuple[int, int], shape: tuple[int, int], min_confidence: float) -> Assessment:
        """The grid as an assessment, of an image that is so many times smaller."""
        tissue, kinds = self.counts.sum(0), self.counts.argmax(0)
        heights, widths = (
            np.minimum((np.arange(m) + 1) * self.times, n) - np.arange(m) * self.times
            for m, n in zip(tissue.shape, squares, strict=True)
        )
        is_tissue = 2 * tissue >= heights[:, None] * widths
        likelihoods = np.divide(self.likelihoods, tissue, where=tissue > 0, out=np.zeros_like(self.likelihoods))
        sigma, length = (
            np.take_along_axis(sums, kinds[None], 0)[0] / np.maximum(self.counts.max(0), 1) * is_tissue
            for sums in (self.sigma, self.length)
        )
        return Assessment(
            shape=(-(-shape[0] // self.times), -(-shape[1] // self.times)),
            likelihoods=(likelihoods * is_tissue).astype(np.float32),
            types=np.where(is_tissue, kinds, BACKGROUND).astype(np.uint8),
            sigma=sigma.astype(np.float32),
            length=length.astype(np.float32),
            angle=np.zeros(tissue.shape, np.float32),
            abstained=np.zeros(tissue.shape, bool),
            min_confidence=min_confidence,
        )


def _histogram(values: Float[np.ndarray, " n"]) -> Int[np.ndarray, " values"]:
    """How many there are of each float16."""
    return np.bincount(values.astype(np.float16).view(np.uint16), minlength=FLOATS)


def _median(histogram: Int[np.ndarray, " values"]) -> float:
    """Of values from 0 on; 0 without any. The bits of float16 are in the order of what they mean."""
    total = histogram.sum()
    if not total:
        return 0.0
    ends = np.searchsorted(histogram.cumsum(), [(total + 1) // 2, total // 2 + 1])
    return float(ends.astype(np.uint16).view(np.float16).astype(np.float64).mean())
