"""Look at a slide: where tissue is, how it is blurred, what its values are. In memory that does not grow with it.

1. An overview of each plane tells where tissue may be; it is generous.
2. Windows spread over the slide, half of them there, give the scales, and what the empty ground is like.
3. Tile by tile, at full resolution, the tissue is found, and the reader asked how it is blurred. A tile's answer
   depends on its own pixels and context alone, and on what the whole slide is like: not on the order of tiles.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import binary_dilation, generate_binary_structure

from dgno.arrays import Affine, Image, Plane
from dgno.checks import refuse_number
from dgno.errors import ConfigError
from dgno.io.slide import Slide, Window
from dgno.optics.blur_types import CELL
from dgno.restorable import check_finite, check_float32
from dgno.restoration.assessment import Assessment, decide
from dgno.restoration.block_store import Blocks, BlockStore, pack
from dgno.restoration.blur_maps import Maps, Reader, pad_to_squares, read_maps, reading_context
from dgno.restoration.image import Normalizer, Progress
from dgno.restoration.slide_candidates import EVERYWHERE, Candidates, find_candidates
from dgno.restoration.slide_sample import as_image, sample_plane, windows_of
from dgno.restoration.slide_survey import PlaneSurvey, SlideSurvey
from dgno.restoration.smoothing import RADIUS, smooth_maps
from dgno.restoration.tiling import smallest_tile
from dgno.restoration.tissue import MARGIN, REACH, Ground, find_ground, is_bright_field, tissue_on

SLIDE_TILE = 2048  # px; of TILE_SIZE, half would be context

Grid = Bool[np.ndarray, "rows columns"]


def survey_slide(
    slide: Slide,
    reader: Reader,
    *,
    normalize: Normalizer | None = None,
    planes: Collection[int] | None = None,
    min_confidence: float = 0.0,
    tile_size: int = SLIDE_TILE,
    scratch: Path | None = None,
    facts: Mapping[str, str] | None = None,
    check: Callable[[Image], None] = lambda image: None,
    progress: Progress = lambda share: None,
) -> SlideSurvey:
    """How every plane of a slide is blurred, by its number, and what scales its channels have.

    It is that of `assess_image` but for two things: tissue is looked for only where the overview shows some, and the
    scale and the ground are those of a sample where the slide has more than SAMPLED px in a channel.

    normalize, min_confidence : as in `assess_image`
    planes : numbers of those to look at; None: all
    tile_size : side of the tiles in px, context included
    scratch : folder on a disk that has 11 bytes for every 64 px of tissue; the system's folder for such files if None
    facts : what the survey is to say of how it was made
    check : refuses, by raising, what the sample of a channel shows not to be light

    An interruption leaves nothing behind. Raises NonFiniteInput, ChannelMismatch, ConfigError, OutOfMemory, OutputError
    (scratch), and what reading the slide raises.
    """
    if problems := refuse_number("min_confidence", min_confidence, 0, 1):
        raise ConfigError("nothing can be decided", why="; ".join(problems))
    wanted = list(range(slide.facts.plane_count)) if planes is None else sorted(planes)
    cuts = Cuts.of(reader, tile_size)
    near, samples, windows, is_bright = _sampled(slide, wanted)
    for sample in samples.values():
        check(sample)
    survey = SlideSurvey({}, samples, is_bright, dict(facts or {}))
    looks = []
    for i in wanted:
        channel = slide.facts.channel_of(i)
        scale = survey.affine(channel)
        ground = find_ground([pad_to_squares(w) for w in windows.pop(i)], (scale.offset, scale.offset + scale.scale))
        looks.append(_Look(slide, i, reader, survey.affine(channel, normalize), ground, near[i], cuts, min_confidence))
    store = BlockStore.scratch(scratch)
    count = max(sum(len(look.tiles()) for look in looks), 1)
    done = itertools.count(1)
    found = {look.plane: look.survey(store, lambda: progress(next(done) / count)) for look in looks}
    progress(1.0)
    return replace(survey, planes=found)


def sample_slide(
    slide: Slide,
    planes: Collection[int] | None = None,
    *,
    facts: Mapping[str, str] | None = None,
    check: Callable[[Image], None] = lambda image: None,
) -> SlideSurvey:
    """The scales of a slide's channels alone: nobody is asked where it is blurred. facts, check : see above"""
    wanted = list(range(slide.facts.plane_count)) if planes is None else sorted(planes)
    _, samples, _, is_bright = _sampled(slide, wanted)
    for sample in samples.values():
        check(sample)
    return SlideSurvey({}, samples, is_bright, dict(facts or {}))


def _sampled(
    slide: Slide, planes: Sequence[int]
) -> tuple[dict[int, Candidates], dict[int, Image], dict[int, list[Plane]], bool]:
    """Where tissue may be in each plane; the sample of each channel, and its windows in each plane; is it bright?"""
    channels: dict[int, list[int]] = {}
    for i in planes:
        channels.setdefault(slide.facts.channel_of(i), []).append(i)
    near, windows, samples = {}, {}, {}
    for channel, members in channels.items():
        count = windows_of(slide, len(members))
        for i in members:
            near[i] = find_candidates(slide, i) if count else EVERYWHERE
            windows[i] = sample_plane(slide, i, near[i], windows=count)
        samples[channel] = as_image([w for i in members for w in windows[i]], slide)
        check_finite(samples[channel])
        check_float32(samples[channel])
    return near, samples, windows, is_bright_field(samples[min(samples)])


@dataclass(frozen=True)
class Cuts:
    """How planes are cut into tiles: every kept part begins at a multiple of `side`.

    side : of the kept parts, px
    overlap : context on each side, px: what a reading needs, around the squares over which it is smoothed
    """

    side: int
    overlap: int

    @classmethod
    def of(cls, reader: Reader, tile_size: int) -> Cuts:
        """Tiles of `tile_size` px for a reader. Raises ConfigError."""
        context = reading_context(reader)
        multiple = context["multiple"]
        overlap = -(-(max(context["overlap"], REACH) + RADIUS * CELL) // multiple) * multiple
        side = (tile_size - 2 * overlap) // multiple * multiple
        if side <= 0:
            least = smallest_tile(overlap, multiple)
            raise ConfigError(f"tiles of {tile_size} px on a slide", hint=f"give tiles of at least {least} px")
        return cls(side, overlap)

    def kept(self, i: int, length: int) -> Window:
        """Of the i-th tile along an axis of so many px."""
        return i * self.side, min((i + 1) * self.side, length)

    def read(self, i: int, length: int) -> Window:
        """The kept part and its context."""
        start, stop = self.kept(i, length)
        return max(start - self.overlap, 0), min(stop + self.overlap, length)


@dataclass(frozen=True, eq=False)
class _Look:
    """What is known of a plane before it is read at full resolution.

    ask : the map of its values to [0, 1] for the reader
    near : where tissue may be
    """

    slide: Slide
    plane: int
    reader: Reader
    ask: Affine
    ground: Ground
    near: Candidates
    cuts: Cuts
    min_confidence: float

    def tiles(self) -> list[tuple[int, int]]:
        """Those in which tissue may be, row by row."""
        height, width = self.slide.facts.shape
        counts = [-(-n // self.cuts.side) for n in (height, width)]
        return [
            (i, j)
            for i, j in np.ndindex(*counts)
            if self.near.squares(self.cuts.kept(i, height), self.cuts.kept(j, width)).any()
        ]

    def survey(self, store: BlockStore, on_tile: Callable[[], None]) -> PlaneSurvey:
        """The plane, tile by tile."""
        shape, side = self.slide.facts.shape, self.cuts.side // CELL
        squares = (-(-shape[0] // CELL), -(-shape[1] // CELL))
        starts = np.full([-(-n // side) for n in squares], -1, np.int64)
        for i, j in self.tiles():
            if (found := self.tile(i, j)) is not None:
                starts[i, j] = store.append(pack(found))
            on_tile()
        return PlaneSurvey(shape, Blocks(squares, side, starts, store), self.min_confidence)

    def tile(self, i: int, j: int) -> Assessment | None:
        """The kept part of one tile; None if there is no tissue in it."""
        shape = self.slide.facts.shape
        ends = [(self.cuts.read(k, n), self.cuts.kept(k, n)) for k, n in zip((i, j), shape, strict=True)]
        (rows, columns), kept = (ends[0][0], ends[1][0]), tuple(_in_squares(keep, read[0]) for read, keep in ends)
        pixels = pad_to_squares(self.slide.read(rows, columns, plane=self.plane))
        check_finite(Image(pixels, "YXS"))
        tissue, core = tissue_on(pixels, self.ground)
        core &= self.near.squares(rows, columns)
        tissue &= binary_dilation(core, generate_binary_structure(2, 2), iterations=MARGIN)
        if not tissue[kept].any():
            return None
        maps = smooth_maps(self._maps(pixels, tissue, kept), core)
        return decide((maps[:, *kept], tissue[kept]), shape, min_confidence=self.min_confidence)

    def _maps(self, pixels: Plane, tissue: Grid, kept: tuple[slice, ...]) -> Maps:
        """What the reader says, asked no farther around the tissue than is needed."""
        maps = np.zeros((7, *tissue.shape), np.float32)
        inside = np.zeros_like(tissue)
        inside[kept] = tissue[kept]
        multiple, context = reading_context(self.reader)["multiple"] // CELL, self.cuts.overlap // CELL
        box = []
        for axis, n in enumerate(tissue.shape):
            full = np.flatnonzero(inside.any(1 - axis))
            box.append(slice(max(full[0] - context, 0) // multiple * multiple, min(full[-1] + 1 + context, n)))
        down, along = (slice(part.start * CELL, part.stop * CELL) for part in box)
        maps[:, *box] = read_maps(pixels[down, along], self.reader, self.ask, tile_size=0)
        return maps


def _in_squares(window: Window, origin: int) -> slice:
    """Pixels as squares, counted from `origin`."""
    return slice((window[0] - origin) // CELL, -(-(window[1] - origin) // CELL))
