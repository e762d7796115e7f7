"""Which pages of a TIFF file are the planes and levels of its slide, and which are pictures beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from dgno.errors import InputError, UnreadableInput, UnsupportedInput
from dgno.io.colour import is_pseudo_colour
from dgno.io.limits import Limits, check_size
from dgno.io.opening import shortened
from dgno.io.slide import Level
from dgno.io.source import Source
from dgno.io.tiff_blocks import Blocks, blocks_of, following
from dgno.io.tiff_read import ALPHA, NO_DATA, PALETTE, RGB, YCBCR, codec_name, is_contiguous

COMPRESSIONS = {
    1: "none", 8: "deflate", 32946: "deflate", 33003: "jpeg 2000", 33004: "jpeg 2000", 33005: "jpeg 2000",
    34712: "jpeg 2000",
}  # fmt: skip
SKEW = 1.2  # a page whose rows and columns shrank by factors further apart is no level
TINY = 8  # px of a side that rounding may skew so much
PLANE_AXES = "TZC"
NO_ALPHA = "save it without transparency: as RGB, or its channels as planes"
LOOSE = ("generic", "shaped", "uniform")  # kinds of series in which tifffile guesses what is a level


@dataclass(frozen=True, eq=False)
class PlaneBlocks:
    """Where one plane of a level is: in the blocks of a page, all its samples or one of them (None: all)."""

    blocks: Blocks
    sample: int | None


@dataclass(frozen=True, eq=False)
class Pyramid:
    """What a TIFF file holds.

    keyframe, kind : the first page of the slide, and what tifffile takes its series for
    axes, sizes, samples : as in SlideFacts
    planes : of every level, the blocks of every plane
    pictures : label, macro, thumbnail, ... and other images
    """

    keyframe: TiffPage
    kind: str
    axes: str
    sizes: tuple[int, ...]
    samples: int
    levels: tuple[Level, ...]
    planes: tuple[tuple[PlaneBlocks, ...], ...]
    pictures: dict[str, Blocks] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def find_pyramid(tiff: TiffFile, source: Source, limits: Limits) -> Pyramid:
    """The largest image of the file, its levels, and the pictures beside it. Refuses what cannot be read as a slide."""
    main = _main(tiff.series)
    page, notes = main.keyframe, list[str]()
    axes, sizes, samples, channels = _axes(main, notes)
    unbounded = replace(limits, pixels=2**62)  # blocks are bounded, the slide is not
    wide = dict(zip(axes, sizes, strict=True)).get("C", samples)
    check_size(unbounded, page.imagewidth, page.imagelength, samples=wide)
    levels, planes, used = list[Level](), list[tuple[PlaneBlocks, ...]](), set[int]()
    for series in _level_series(main, tiff.series):
        parts = _planes(series, math.prod(sizes) // max(1, channels), channels, source, limits)
        level = level_of(series.keyframe, parts[0].blocks, levels)
        if level is None:
            notes.append(f"page {series.keyframe.index} looks like a level of the slide, but is none, and was left out")
            continue
        used.add(series.keyframe.offset)
        levels.append(level)
        planes.append(parts)
    pictures = _pictures(tiff.series, used, source, limits, notes)
    return Pyramid(page, main.kind, axes, sizes, samples, tuple(levels), tuple(planes), pictures, tuple(notes))


def _main(series: list[TiffPageSeries]) -> TiffPageSeries:
    """The largest image; of several, the first."""
    if not series:
        raise UnreadableInput("a TIFF file without images")
    data = [one for one in series if not (one.keyframe.is_reduced or one.keyframe.is_mask or one.keyframe.is_subifd)]
    data = [one for one in data if one.name.lower() not in NO_DATA or one.kind == "shaped"] or series
    return max(data, key=lambda one: one.keyframe.imagelength * one.keyframe.imagewidth)


def _axes(series: TiffPageSeries, notes: list[str]) -> tuple[str, tuple[int, ...], int, int]:
    """Axes of the planes, their lengths, colour samples of a pixel, and samples that are channels (0: none)."""
    page = series.keyframe
    lengths = dict(zip(series.axes, series.shape, strict=True))
    if "Y" not in lengths or "X" not in lengths:
        raise UnsupportedInput(f"a TIFF image with axes {series.axes}", hint="dgno reads slides of rows and columns")
    axes = [axis for axis in series.axes if axis not in "YXS" and lengths[axis] > 1]
    sizes = [lengths[axis] for axis in axes]
    named = plane_axes(axes)
    if named != axes:
        notes.append(f"the file does not say what its axes {''.join(axes)} are; they are taken as {''.join(named)}")
    samples = int(page.samplesperpixel)
    check_colours(page, samples)
    if samples == 1 or is_rgb(page):
        return "".join(named), tuple(sizes), samples, 0
    if "C" in named:
        raise UnsupportedInput(f"a TIFF image of {samples} samples a pixel", hint="save its channels as planes")
    return "".join(named) + "C", (*sizes, samples), 1, samples


def plane_axes(axes: list[str]) -> list[str]:
    """The same letters, those other than T, Z and C replaced by one of these that is free."""
    free = [letter for letter in "ZTC" if letter not in axes]
    if len(axes) > len(PLANE_AXES):
        raise UnsupportedInput(f"a TIFF image with axes {''.join(axes)}YX", hint="dgno reads T, Z and C before Y and X")
    return [axis if axis in PLANE_AXES else free.pop(0) for axis in axes]


def check_colours(page: TiffPage, samples: int) -> None:
    extra = [int(kind) for kind in page.extrasamples]
    is_rgb = int(page.photometric) in (RGB, YCBCR)
    if (is_rgb and samples == 4) or (samples == 2 and extra[-1:] and extra[-1] in ALPHA):
        raise UnsupportedInput("a slide with transparency", hint=NO_ALPHA)
    if is_rgb and samples != 3:
        raise UnsupportedInput(f"a colour slide of {samples} samples a pixel", hint="save its channels as planes")
    if int(page.photometric) == PALETTE and (page.colormap is None or not is_pseudo_colour(page.colormap)):
        raise UnsupportedInput("a slide of palette colours", hint="convert it to RGB first (vips, ImageMagick)")


def is_rgb(page: TiffPage) -> bool:
    return int(page.photometric) in (RGB, YCBCR) and int(page.samplesperpixel) == 3


def _level_series(main: TiffPageSeries, every: list[TiffPageSeries]) -> list[TiffPageSeries]:
    """Level 0, and what may be the others, the larger first.

    In files that no scanner wrote, tifffile takes any page half as large as another for a level; only tiled pages,
    and those that say so themselves, are. Levels that are pages with a description of their own it takes for images.
    """
    others = list(main.levels[1:])
    if main.kind in LOOSE:
        others = [one for one in others if _claims_level(one.keyframe) or one.keyframe.is_tiled]
        others += [one for one in every if one is not main and one.keyframe.is_reduced and _is_like(one, main)]
    others.sort(key=lambda one: -one.keyframe.imagelength * one.keyframe.imagewidth)
    return [main, *others]


def _claims_level(page: TiffPage) -> bool:
    return bool(page.is_reduced or page.is_subifd)


def _is_like(series: TiffPageSeries, main: TiffPageSeries) -> bool:
    """Same pixels and planes, and about the same shape, smaller?"""
    one, other = series.keyframe, main.keyframe
    if one.dtype != other.dtype or one.samplesperpixel != other.samplesperpixel or one.is_mask:
        return False
    down, across = other.imagelength / max(1, one.imagelength), other.imagewidth / max(1, one.imagewidth)
    near = abs(down - across) <= 1 + 0.02 * max(down, across)
    return len(series) == len(main) and min(down, across) > 1 and near and one.photometric == other.photometric


def level_of(page: TiffPage, blocks: Blocks, levels: Sequence[Level]) -> Level | None:
    """What a page is as the next level; None if it is none."""
    height, width = blocks.shape
    down, across = (levels[0].shape[0] / height, levels[0].shape[1] / width) if levels else (1.0, 1.0)
    factor = (down + across) / 2
    is_skewed = max(down, across) > SKEW * min(down, across) and min(height, width) > TINY
    if levels and (factor <= levels[-1].downsample or is_skewed):
        return None
    code = int(page.compression)
    return Level((height, width), factor, blocks.block, COMPRESSIONS.get(code) or codec_name(code).lower())


def _planes(
    series: TiffPageSeries, pages: int, channels: int, source: Source, limits: Limits
) -> tuple[PlaneBlocks, ...]:
    """The planes of a level, `pages` of them on pages of their own, or behind the first one."""
    keyframe, parts = series.keyframe, list(series)
    if any(part is None for part in parts):
        raise UnreadableInput("planes of the TIFF file are missing")
    blocks = [blocks_of(part, keyframe, source, limits) for part in parts if part is not None]
    if len(blocks) == 1 < pages and blocks[0].row_bytes and is_contiguous(series, source.size):
        blocks = [following(blocks[0], number) for number in range(pages)]
    if len(blocks) != pages:
        raise UnreadableInput(
            "the TIFF metadata do not fit its pages", why=f"{pages} planes are described, {len(blocks)} are there"
        )
    samples = range(channels) if channels else [None]
    return tuple(PlaneBlocks(one, sample) for one in blocks for sample in samples)


def _pictures(
    every: list[TiffPageSeries], used: set[int], source: Source, limits: Limits, notes: list[str]
) -> dict[str, Blocks]:
    """The other images that have one page: by their name, or their number."""
    pictures: dict[str, Blocks] = {}
    for series in (level for one in every for level in one.levels):
        page = series.keyframe
        if page.offset in used:
            continue
        used.add(page.offset)
        name = series.name.lower().removesuffix(" image")
        name = name if name in NO_DATA and name not in pictures else f"page {page.index}"
        try:
            if len(list(series)) > 1:
                notes.append(f"the stack that begins at page {page.index} is another image, and is not read")
                continue
            blocks = blocks_of(page, page, source, limits)
            check_size(limits, blocks.shape[1], blocks.shape[0])
            pictures[name] = blocks
        except InputError as error:
            notes.append(f"the picture {name} cannot be read: {shortened(error)}")
    return pictures


def whole(blocks: Blocks) -> np.ndarray:
    """All pixels (h, w, samples) of a page; UnreadableInput if a piece is missing."""
    rows = []
    for row in range(blocks.grid[0]):
        parts = [blocks.read(row, column) for column in range(blocks.grid[1])]
        if any(part is None for part in parts):
            raise UnreadableInput("tiles of the picture were never stored")
        rows.append(np.concatenate([part for part in parts if part is not None], axis=1))
    return np.concatenate(rows)
