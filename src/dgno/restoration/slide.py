"""Restore a slide block by block; and give windows of the result, made of restored blocks and untouched pixels.

A block's result is a function of the pixels that it reads, the treatments and the plan, of nothing else: not of the
order, the machine, or what was done before. Statistics for normalising are the slide's, never a block's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from dgno.arrays import Affine, Plane, from_tensor, restored_plane, to_tensor
from dgno.io.slide import Slide, Window
from dgno.restoration.feather import Weights
from dgno.restoration.image import Batch, Restorer, answer_of, leaving
from dgno.restoration.journal import Journal
from dgno.restoration.nonfinite import REFUSE, put_back
from dgno.restoration.slide_finite import finite_plane
from dgno.restoration.slide_parts import parts_of
from dgno.restoration.slide_plan import Block, SlidePlan
from dgno.restoration.tiling import Cut, Span, Tile

EVERYTHING = -1  # for `kind`: all pixels are treated, whatever their blur


@runtime_checkable
class Blurred(Protocol):
    """Where a plane is blurred how, as `dgno.restoration.slide_survey.PlaneSurvey` knows it."""

    def touches(self, wanted: int, rows: Span, columns: Span) -> bool:
        """Has the type any weight in this window of pixels?"""

    def weights_in(self, wanted: int, blurred: Sequence[int], rows: Span, columns: Span) -> Weights:
        """How much of a type's treatment the pixels of a window take; see `dgno.restoration.feather`."""


@dataclass(frozen=True, eq=False)
class Treatment:
    """What is done to one type of blur.

    kind : its number in BLUR_TYPES; EVERYTHING where nobody asks for types
    restorer : see `dgno.restoration.image`; takes the samples that the slide has
    affines : for each channel the map of its values to [0, 1], from statistics of the slide
    flat : for each channel the samples that have one value wherever the slide was looked at, with it
    """

    kind: int
    restorer: Restorer
    affines: Mapping[int, Affine]
    flat: Mapping[int, Mapping[int, float]] = field(default_factory=dict)

    def restorer_of(self, channel: int, pixels: Plane) -> Restorer:
        """What restores a block of these pixels: colours without signal stay as they are."""
        flat = self.flat.get(channel, {})
        return leaving(self.restorer, [i for i, value in flat.items() if (pixels[..., i] == value).all()])


@dataclass(frozen=True, eq=False)
class SlideWork:
    """How a slide is restored.

    blur : of each plane; None where all is treated
    overlap, multiple : px, of the tiling: within a block, too, a restorer sees no more than what it changes and context
    nonfinite : what becomes of pixels that are NaN or infinite, see `dgno.restoration.nonfinite`; unless they are
        refused, their neighbours are restored as if they had the values around
    """

    plan: SlidePlan
    treatments: Sequence[Treatment]
    blur: Mapping[int, Blurred] | None = None
    overlap: int = 0
    multiple: int = 1
    nonfinite: str = REFUSE

    def is_needed(self, slide: Slide, block: Block) -> bool:
        """Is there anything in the kept part that may change? Not where nothing was scanned."""
        rows, columns = block.tile.rows.write, block.tile.columns.write
        if slide.is_blank(rows, columns, plane=block.plane):
            return False
        return bool(self.treated(block))

    def treated(self, block: Block) -> list[Treatment]:
        """The treatments that the block needs."""
        if self.blur is None:
            return list(self.treatments)
        plane, window = self.blur[block.plane], (block.tile.rows.write, block.tile.columns.write)
        return [one for one in self.treatments if plane.touches(one.kind, *window)]

    def weights(self, block: Block, kind: int) -> Batch:
        """How much of a treatment the pixels of the kept part take, (1, 1, h, w) in [0, 1]."""
        rows, columns = block.tile.rows.write, block.tile.columns.write
        if self.blur is None:
            return torch.ones(1, 1, rows.length, columns.length)
        kinds = [one.kind for one in self.treatments]
        return torch.from_numpy(self.blur[block.plane].weights_in(kind, kinds, rows, columns))[None, None]

    def parts(self, block: Block, weights: Batch) -> list[Tile]:
        """The parts of a block that a treatment of these weights needs, counted from what the block reads; none if all
        weights are 0. Restorers that are not local get the whole, which their answer depends on."""
        changed = (weights[0, 0] > 0).numpy()
        if self.plan.is_blended:
            whole = (Cut(Span(0, cut.read.length), cut.keep, 0, 0) for cut in (block.tile.rows, block.tile.columns))
            return [Tile(*whole)] if changed.any() else []
        return parts_of(block.tile, changed, overlap=self.overlap, multiple=self.multiple)


@dataclass(frozen=True, eq=False)
class Restored:
    """The result of a block: its kept part in the slide's dtype; where parts overlap, the change in units of the
    slide's values, faded, float32. And how many values were newly cut at the ends of the range."""

    pixels: Plane
    saturated: int


def read_block(slide: Slide, block: Block) -> Plane:
    """What the block needs to see."""
    return slide.read(block.tile.rows.read, block.tile.columns.read, plane=block.plane)


def restore_block(slide: Slide, work: SlideWork, block: Block, seen: Plane) -> Restored:
    """Restore one block of what `read_block` gave. Raises NonFiniteInput, InputOutOfRange, OutOfMemory."""
    tile, channel = block.tile, slide.facts.channel_of(block.plane)
    keep = (slice(*tile.rows.keep), slice(*tile.columns.keep))
    origin = (tile.rows.read.start, tile.columns.read.start)
    filled, bad = finite_plane(seen, origin, keep=work.nonfinite != REFUSE)
    treatments = work.treated(block)
    base = treatments[0].affines[channel] if treatments else Affine(0.0, 1.0)
    given = to_tensor(filled, base)
    change = torch.zeros_like(tile.keep(given))
    for one in treatments:
        affine, weights = one.affines[channel], work.weights(block, one.kind)
        asked = given if affine == base else to_tensor(filled, affine)
        restorer = one.restorer_of(channel, filled)
        for part in work.parts(block, weights):
            seen_part = part.read(asked)
            answer = part.keep(answer_of(restorer, seen_part) - seen_part) * (affine.scale / base.scale)
            rows = part.rows.write.seen_from(tile.rows.keep.start)
            columns = part.columns.write.seen_from(tile.columns.keep.start)
            place = (..., slice(*rows), slice(*columns))
            change[place] += answer * weights[place]
    change[0, torch.from_numpy(np.ascontiguousarray(bad[keep].transpose(2, 0, 1)))] = 0
    if work.plan.is_blended:
        fade = tile.rows.weights()[:, None] * tile.columns.weights()
        return Restored(from_tensor(change * fade * base.scale), 0)
    kept = tile.keep(given)
    ends = slide.facts.ends
    pixels, saturated = restored_plane(filled[keep], kept, kept + change, affine=base, ends=ends)
    return Restored(np.where(bad[keep], seen[keep], pixels), saturated)


class RestoredSlide:
    """Windows of a restored slide: restored where the journal has a block, and as they were everywhere else.

    saturated : values of blended blocks that were newly cut, as far as windows were read
    filled : values of restored planes that were NaN or infinite, as far
    """

    def __init__(self, slide: Slide, work: SlideWork, journal: Journal) -> None:
        self.slide, self.plan, self.journal = slide, work.plan, journal
        self.nonfinite = work.nonfinite
        self.saturated = self.filled = 0

    def read(self, rows: Window, columns: Window, plane: int) -> Plane:
        """The pixels (h, w, samples) of a window of level 0."""
        rows, columns = Span(*rows), Span(*columns)
        pixels = self.slide.read(rows, columns, plane=plane)
        if plane not in self.plan.planes:
            return pixels
        _, bad = finite_plane(pixels, (rows.start, columns.start), keep=self.nonfinite != REFUSE)
        result = self._restored(pixels, rows, columns, plane)
        if not bad.any():
            return result
        self.filled += int(bad.sum())
        return put_back(result, pixels, bad, self.nonfinite, self.slide.facts.value_range[0])

    def _restored(self, pixels: Plane, rows: Span, columns: Span, plane: int) -> Plane:
        blocks = [b for b in self.plan.landing_in(rows, columns, plane) if b.number in self.journal]
        if not blocks:
            return pixels
        result = self._blended(pixels, blocks, rows, columns) if self.plan.is_blended else pixels.copy()
        for block in [] if self.plan.is_blended else blocks:
            here, there = _common(block, rows, columns)
            result[here] = self.journal.get(block.number)[there]
        for bad in self.slide.bad_tiles:  # what could not be read stays the declared fill
            if (bad.level, bad.plane) == (0, plane):
                place = _inside(rows, bad.rows), _inside(columns, bad.columns)
                result[place] = pixels[place]
        return result

    def is_blank(self, rows: Window, columns: Window, plane: int) -> bool:
        """Is all of the window what was never scanned, and untouched?"""
        if any(block.number in self.journal for block in self.plan.landing_in(Span(*rows), Span(*columns), plane)):
            return False
        return self.slide.is_blank(rows, columns, plane=plane)

    def _blended(self, pixels: Plane, blocks: Sequence[Block], rows: Span, columns: Span) -> Plane:
        """The changes of overlapping blocks add up in the order of their numbers, whoever finished first."""
        change = np.zeros(pixels.shape, np.float32)
        for block in blocks:
            here, there = _common(block, rows, columns)
            change[here] += self.journal.get(block.number)[there]
        after = torch.from_numpy(change).permute(2, 0, 1)[None]
        ends, unit = self.slide.facts.ends, Affine(0.0, 1.0)
        result, more = restored_plane(pixels, torch.zeros_like(after), after, affine=unit, ends=ends)
        self.saturated += more
        return result


Place = tuple[slice, slice]


def _common(block: Block, rows: Span, columns: Span) -> tuple[Place, Place]:
    """Where the window and the block's kept part overlap: in the window, and in the kept part."""
    cuts = (block.tile.rows.write, block.tile.columns.write)
    both = [Span(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(cuts, (rows, columns), strict=True)]
    here, there = (
        [slice(*span.seen_from(origin.start)) for span, origin in zip(both, origins, strict=True)]
        for origins in ((rows, columns), cuts)
    )
    return (here[0], here[1]), (there[0], there[1])


def _inside(window: Span, part: Window) -> slice:
    """The pixels of `part` that lie in the window, counted from its start; none gives an empty slice."""
    start, stop = max(part[0], window.start), min(part[1], window.stop)
    return slice(start - window.start, max(stop, start) - window.start)
