"""Restore only what is blurred, each region by the remedy for its type of blur.

Nothing here knows networks: a remedy is a restorer and how images are brought to [0, 1] for it, and what is blurred is
told by assessments. Jiang et al. 2020 (arXiv:2011.11879) choose one remedy for a whole image: `Assessment.as_one`.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.arrays import Affine, Image, Opacity, Plane, restored_plane, to_tensor
from dgno.errors import ConfigError
from dgno.optics.blur_types import BLUR_TYPES
from dgno.restorable import check_finite, check_float32
from dgno.restoration import TILE_SIZE
from dgno.restoration.assessment import BLURRED, Assessment, assess_image
from dgno.restoration.blur_maps import Reader
from dgno.restoration.feather import feather, touches
from dgno.restoration.image import (
    Batch,
    Normalizer,
    Progress,
    Restorer,
    answer_of,
    cut_in_words,
    fit_channels,
    flat_samples,
    is_constant,
    leaving,
    tiling_of,
)
from dgno.restoration.tiling import Tile, plan_tiles


@dataclass(frozen=True)
class Remedy:
    """What restores one type of blur, see `dgno.restoration.image`; and how values are brought to [0, 1] for it."""

    restorer: Restorer
    normalize: Normalizer


Remedies = Mapping[str, Remedy]  # by the types of BLURRED


@dataclass(frozen=True)
class InTurn:
    """Restorers one after the other, as one: for mixed blur, first the motion's and then the defocus's (DBMID)."""

    restorers: tuple[Restorer, ...]

    def __call__(self, x: Batch) -> Batch:
        return functools.reduce(lambda given, restorer: restorer(given), self.restorers, x)

    @property
    def halo(self) -> int:
        return sum(int(getattr(one, "halo", 0)) for one in self.restorers)

    @property
    def multiple(self) -> int:
        return math.lcm(*(int(getattr(one, "multiple", 1)) for one in self.restorers))

    @property
    def is_local(self) -> bool:
        return all(getattr(one, "is_local", True) for one in self.restorers)

    @property
    def is_whole(self) -> bool:
        return any(getattr(one, "is_whole", False) for one in self.restorers)

    @property
    def channels(self) -> int | None:
        return next((n for one in self.restorers if (n := getattr(one, "channels", None)) is not None), None)

    @property
    def bytes_per_pixel(self) -> int:
        return max(int(getattr(one, "bytes_per_pixel", 64)) for one in self.restorers)


READING = 0.2  # of the work, for the progress that is told: reading the blur takes far less than restoring


@dataclass(frozen=True)
class Routing:
    """How images are restored that may be blurred in any way, anywhere, or not at all.

    reader : finds the blur, see `dgno.restoration.blur_maps`
    min_confidence : of a square's likeliest type, if that is a blur; below it nothing is done
    as_one : choose one remedy for each whole plane, as published, rather than for each region
    reading_tile : side of the tiles that the reader gets, px
    """

    reader: Reader
    min_confidence: float = 0.0
    as_one: bool = False
    reading_tile: int = TILE_SIZE

    def restore(
        self,
        image: Image,
        remedies: Remedies,
        *,
        planes: Collection[int] | None = None,
        tile_size: int | Callable[[Restorer], int] = TILE_SIZE,
        overlap: int | None = None,
        replicate: bool = False,
        tell: Callable[[Mapping[int, Assessment]], None] = lambda found: None,
        progress: Progress = lambda share: None,
    ) -> Image:
        """Find the blur of these planes, or of all, and restore what is blurred; see `restore_routed`.

        tell : called with what was found, by the number of the plane
        """
        found = assess_image(
            image,
            self.reader,
            planes=planes,
            min_confidence=self.min_confidence,
            tile_size=self.reading_tile,
            progress=lambda share: progress(READING * share),
        )
        tell(found)
        if self.as_one:
            found = {number: assessment.as_one() for number, assessment in found.items()}
        return restore_routed(
            image,
            found,
            remedies,
            tile_size=tile_size,
            overlap=overlap,
            replicate=replicate,
            progress=lambda share: progress(READING + (1 - READING) * share),
        )


def restore_routed(
    image: Image,
    assessments: Mapping[int, Assessment],
    remedies: Remedies,
    *,
    tile_size: int | Callable[[Restorer], int] = TILE_SIZE,
    overlap: int | None = None,
    replicate: bool = False,
    progress: Progress = lambda share: None,
) -> Image:
    """The image with its blurred regions restored: same shape, dtype and facts, with a note on what was done.

    Pixels in focus or on the background, and planes without assessment, keep their bits. The change of a region fades
    in within its outermost squares, see `dgno.restoration.feather`. Tiles without blur are not computed.

    assessments : by the number of the plane
    remedies : of every type of blur that the assessments have
    tile_size, overlap, replicate : as in `restore_image`; or the size of tiles for a restorer
    """
    check_finite(image, assessments)
    check_float32(image)
    for assessment in assessments.values():
        _refuse_untreatable(assessment, remedies)
    works = [_Work(image, i, assessments[i], remedies, tile_size, overlap, replicate) for i in sorted(assessments)]
    steps, count = itertools.count(1), sum(work.tile_count for work in works)
    planes, cut = list(image.planes()), 0
    opacities = list(image.opacities())
    for work in works:
        if work.tile_count:
            plane, more = work.restored(
                planes[work.number], opacities[work.number], lambda: progress(next(steps) / count)
            )
            planes[work.number], cut = plane, cut + more
    progress(1.0)
    notes = [note for work in works for note in work.notes]
    notes += [what_was_done([assessments[i] for i in sorted(assessments)])] if assessments else []
    size = image.pixels.size // max(image.plane_count, 1) * len(assessments)
    notes += [text] if (text := cut_in_words(cut, size, image.ends)) else []
    return replace(image.with_planes(planes), notes=(*image.notes, *dict.fromkeys(notes)))


def what_was_done(assessments: Collection[Assessment]) -> str:
    """Which share of the squares was restored as what, in words."""
    total = sum(a.types.size for a in assessments)
    counts = {name: sum(int((a.types == BLUR_TYPES.index(name)).sum()) for a in assessments) for name in BLURRED}
    parts = [f"{_percent(counts[name], total)} restored as {name}" for name in BLURRED if counts[name]]
    unsure = sum(int(a.abstained.sum()) for a in assessments)
    rest = _percent(total - sum(counts.values()), total)
    parts.append(
        f"{rest} in focus or background, unchanged" + (f" ({_percent(unsure, total)} unsure)" if unsure else "")
    )
    return ", ".join(parts)


def _percent(part: int, total: int) -> str:
    return f"{100 * part / max(total, 1):.3g} %"


def _refuse_untreatable(assessment: Assessment, remedies: Remedies) -> None:
    for name in BLURRED:
        if name not in remedies and (assessment.types == BLUR_TYPES.index(name)).any():
            raise ConfigError(
                f"no remedy for blur of type {name!r}", hint=f"there are: {', '.join(remedies) or 'none'}"
            )


class _Work:
    """What is to be done to one plane: for each type of blur, the tiles that hold any."""

    def __init__(
        self,
        image: Image,
        number: int,
        assessment: Assessment,
        remedies: Remedies,
        tile_size: int | Callable[[Restorer], int],
        overlap: int | None,
        replicate: bool,
    ) -> None:
        self.image, self.number, self.types = image, number, assessment.types
        self.blurred = [BLUR_TYPES.index(name) for name in BLURRED]
        self.notes: list[str] = []
        self.parts: list[tuple[int, Restorer, Affine, list[Tile]]] = []
        for kind in np.unique(self.types[assessment.blurred]).tolist():
            remedy = remedies[BLUR_TYPES[kind]]
            adapted, note = fit_channels(remedy.restorer, image, replicate=replicate)
            self.notes += [note] if note else []
            size = tile_size if isinstance(tile_size, int) else tile_size(remedy.restorer)
            tiles = plan_tiles(assessment.shape, **tiling_of(remedy.restorer, size, overlap))
            tiles = [tile for tile in tiles if touches(self.types, kind, tile.rows.write, tile.columns.write)]
            self.parts.append((kind, adapted, remedy.normalize(image, image.channel_of(number)), tiles))

    @property
    def tile_count(self) -> int:
        return sum(len(tiles) for *_, tiles in self.parts)

    def weights(self, kind: int, tile: Tile) -> Float[Tensor, "h w"]:
        """How much of the remedy the pixels take where the tile lands."""
        return torch.from_numpy(feather(self.types, kind, self.blurred, tile.rows.write, tile.columns.write))

    def restored(self, plane: Plane, opacity: Opacity | None, on_tile: Callable[[], None]) -> tuple[Plane, int]:
        """The restored plane, and how many values it newly cut. Changes add up in the units of the first remedy."""
        if is_constant(plane):
            return plane, 0
        base = self.parts[0][2]
        given = to_tensor(plane, base, opacity=opacity)
        change = torch.zeros_like(given)
        flat = flat_samples(plane)
        for kind, fitted, affine, tiles in self.parts:
            restorer = leaving(fitted, flat)
            seen = given if affine == base else to_tensor(plane, affine, opacity=opacity)
            for tile in tiles:
                read = tile.read(seen)
                kept = tile.keep(answer_of(restorer, read) - read) * (affine.scale / base.scale)
                tile.add_to(change, kept * self.weights(kind, tile))
                on_tile()
        return restored_plane(plane, given, given + change, affine=base, ends=self.image.ends, opacity=opacity)
