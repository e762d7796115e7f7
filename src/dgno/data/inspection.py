"""Look at every image of a data set: what is there, and what is wrong with it. A bad file does not stop the others."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from dgno.arrays import Image
from dgno.data.focus import gray
from dgno.data.leaks import Place, Seen, find_leaks, places_of
from dgno.data.loading import plane_of, refuse_misfit
from dgno.data.records import Record
from dgno.data.registration import find_shift
from dgno.errors import ConfigError, DataLeak, DgnoError, NonFiniteInput, printable
from dgno.io.image import read_image

CENTRE = 512  # px of a side that the shift of a pair is found in
MISALIGNED = 0.5  # px

Plane = Shaped[np.ndarray, "h w c"]
Other = Shaped[np.ndarray, "rows columns samples"]  # of a shape that may differ


@dataclass
class Inspection:
    """What a data set holds.

    pairs, groups : how many in every split, "" for none
    sizes, dtypes, pixel_sizes : images by "w x h x samples", by type, by um
    constant : images of one value
    shifts : pairs whose images lie more than 0.5 px apart, with (row, column) px
    problems : what makes the set unfit, each with code, path, message and hint: unreadable images, pairs that do not
        fit, leaks between splits
    """

    pairs: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    pixel_sizes: Counter[str] = field(default_factory=Counter)
    constant: list[str] = field(default_factory=list)
    shifts: dict[str, tuple[float, float]] = field(default_factory=dict)
    problems: list[dict[str, object]] = field(default_factory=list)
    images: int = 0

    def problem(self, error: DgnoError) -> None:
        """Note an error, each once."""
        if (facts := error.as_json()) not in self.problems:
            self.problems.append(facts)


def inspect(
    records: Sequence[Record], *, samples: int | None = None, progress: Callable[[float], None] = lambda share: None
) -> Inspection:
    """Read every image of the records.

    samples : that every pixel should have; None: any
    """
    found = Inspection(_count(records, lambda r: r.key), _count(records, lambda r: r.group))
    seen: dict[Place, Seen] = {}
    failed: set[Place] = set()
    read = functools.lru_cache(maxsize=3)(read_image)  # a target serves several inputs, a stack all its planes
    for i, record in enumerate(records):
        planes = [_plane(place, read, found, seen, failed) for place in places_of(record)]
        if len(planes) == 2 and planes[0] is not None and planes[1] is not None:
            _look_at_pair(record, planes[0], planes[1], samples, found)
        elif len(planes) == 1 and planes[0] is not None:
            _refuse(record, planes[0], planes[0], samples, found)
        if record.mask is not None:
            _look_at_mask(record, planes[-1], found)
        progress((i + 1) / len(records))
    found.images = len(seen) + len(failed)
    for leak in find_leaks(records, seen):
        path = leak.what[0] if leak.kind != "group" else None
        found.problem(DataLeak(str(leak), path=path, hint="put all that belongs together into one split"))
    return found


def _plane(
    place: Place, read: Callable[[Path], Image], found: Inspection, seen: dict[Place, Seen], failed: set[Place]
) -> Plane | None:
    if place in failed:
        return None
    try:
        image = read(place[0])
        plane = plane_of(image, place[1], place[0])
        if place not in seen:
            if plane.dtype.kind == "f" and not np.isfinite(plane).all():
                raise NonFiniteInput("NaN or infinite pixels", path=place[0], hint="replace or leave out the image")
            seen[place] = Seen.of(place[0], plane)
            _note(found, place, image, plane)
    except DgnoError as error:
        failed.add(place)
        found.problem(error)
        return None
    return plane


def _note(found: Inspection, place: Place, image: Image, plane: Plane) -> None:
    height, width, samples = plane.shape
    found.sizes[f"{width} x {height}" + (f" x {samples}" if samples > 1 else "")] += 1
    found.dtypes[str(plane.dtype)] += 1
    size = image.pixel_size
    found.pixel_sizes["unknown" if size is None else f"{size[1]:.4g} x {size[0]:.4g} um"] += 1
    if (plane == plane[:1, :1]).all():
        found.constant.append(_told(place))


def _look_at_pair(record: Record, blurred: Plane, target: Other, samples: int | None, found: Inspection) -> None:
    if not _refuse(record, blurred, target, samples, found) or record.shift != (0.0, 0.0):
        return
    middle = tuple(slice(max((n - CENTRE) // 2, 0), (n + CENTRE) // 2) for n in target.shape[:2])
    shift = find_shift(gray(blurred[middle]), gray(target[middle]))
    if max(map(abs, shift)) > MISALIGNED:
        found.shifts[record.key] = shift


def _look_at_mask(record: Record, target: Plane | None, found: Inspection) -> None:
    assert record.mask is not None
    try:
        mask = plane_of(read_image(record.mask), None, record.mask)
        if target is not None and mask.shape[:2] != target.shape[:2]:
            why = f"{mask.shape[1]} x {mask.shape[0]} px against {target.shape[1]} x {target.shape[0]}"
            raise ConfigError("mask and target differ in size", path=record.mask, why=why)
    except DgnoError as error:
        found.problem(error)


def _refuse(record: Record, blurred: Plane, target: Other, samples: int | None, found: Inspection) -> bool:
    try:
        refuse_misfit(record, blurred.shape, target.shape, samples=samples)
    except DgnoError as error:
        found.problem(error)
        return False
    return True


def _count(records: Sequence[Record], name: Callable[[Record], str]) -> dict[str, int]:
    splits = dict.fromkeys(record.split for record in records)
    return {split: len({name(record) for record in records if record.split == split}) for split in splits}


def _told(place: Place) -> str:
    return printable(place[0]) + (f", plane {place[1]}" if place[1] is not None else "")
