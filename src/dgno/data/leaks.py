"""What stands in two splits and must not: a group, a file, a copy of a file, or nearly the same pixels.

Near duplicates are told by `fingerprints`, which see through compression, brightness, contrast, blur, flips and quarter
turns. Measured on 315 real images: two fields of one slide that may overlap reach 0.53, all other different images stay
below 0.36; a sharp field of BBBC006 and itself 32 um out of focus have 0.81; an image and its flipped copy, as JPEG of
quality 60 and with other brightness, gamma and contrast, 0.993 at least.

Crops, and images that overlap, are told by `crops`. Measured on 621 real images, a random crop of each that is larger:
of 256, 192, 128, 96 and 64 px 99, 98, 90, 70 and 19 % are found, within 3 % as many if turned and flipped; with gamma
0.8 99, 97, 86, 63 and 11 %; as JPEG of quality 60 84, 58, 32, 16 and 3 %. No pair was told wrongly. Scaled crops, other
angles than quarter turns, and crops below 64 px are not found. 100,000 images of 140 anchors take 63 s and 1.4 GB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Shaped

from dgno.data.anchors import Anchors, find_anchors
from dgno.data.crops import shared_parts
from dgno.data.fingerprints import Fingerprint, fingerprint, similarity, turns
from dgno.data.loading import plane_of
from dgno.data.records import Record
from dgno.errors import DataLeak, printable
from dgno.io.checksum import file_sha256
from dgno.io.image import read_image

ALIKE = 0.7  # of the fine grids: one scene
CANDIDATE = 0.5  # of the coarse grids: worth a look at the fine ones
BLOCK = 1024  # images compared at a time

Place = tuple[Path, int | None]  # a file, and a plane of it
Key = TypeVar("Key")
Plane = Shaped[np.ndarray, "h w c"]


@dataclass(frozen=True)
class Seen:
    """What an image is recognised by: the SHA-256 of its file, its fingerprint, and the anchors of its parts."""

    digest: str
    fingerprint: Fingerprint
    anchors: Anchors

    @classmethod
    def of(cls, path: Path, pixels: Plane) -> Seen:
        """An image that has been read already."""
        return cls(file_sha256(path), fingerprint(pixels), find_anchors(pixels))


@dataclass(frozen=True)
class Leak:
    """Something in two splits.

    kind : "group", "file", "copy" (equal bytes), "near duplicate" or "crop": both show one part of a scene
    what : the group, or both files
    splits : both, in order
    similarity : of the pixels; 1 for all kinds but the last two
    """

    kind: str
    what: tuple[str, ...]
    splits: tuple[str, str]
    similarity: float = 1.0

    def __str__(self) -> str:
        names = " and ".join(map(printable, self.what))
        close = f" ({self.similarity:.2f} alike)" if self.kind in ("near duplicate", "crop") else ""
        return f"{self.kind} in {self.splits[0]} and {self.splits[1]}: {names}{close}"


def refuse_leaks(records: Sequence[Record], *, pixels: bool = True) -> None:
    """Raise DataLeak if anything stands in two splits; see `find_leaks`."""
    if leaks := find_leaks(records, look_at_all(records) if pixels else {}):
        hint = "put all that belongs together into one split, and correct the groups"
        raise DataLeak(f"{len(leaks)} leaks between splits", why=f"the first is a {leaks[0]}", hint=hint)


def find_leaks(records: Sequence[Record], seen: Mapping[Place, Seen], *, alike: float = ALIKE) -> list[Leak]:
    """All leaks: groups, files, copies, near duplicates, crops; two images are told once, by the first that applies.

    seen : the images by place, from `look_at_all`; those that are left out are compared by name alone
    Flat images are compared by their bytes alone: they have nothing else to be recognised by.
    """
    groups: dict[str, list[str]] = {}
    files: dict[Path, list[str]] = {}
    places: dict[Place, list[str]] = {}
    for record in records:
        _add(groups, record.group, record.split)
        for path in record.files:
            _add(files, path.resolve(), record.split)
        for place in places_of(record):
            _add(places, place, record.split)
    leaks = [Leak("group", (group,), (s[0], other)) for group, s in groups.items() for other in s[1:]]
    leaks += [Leak("file", (str(path),), (s[0], other)) for path, s in files.items() for other in s[1:]]
    known = [place for place in places if place in seen]
    copies = _copies(known, places, seen)
    told = {frozenset(leak.what) for leak in copies}
    near = [leak for leak in _near(known, places, seen, alike) if frozenset(leak.what) not in told]
    told |= {frozenset(leak.what) for leak in near}
    crops = [leak for leak in _crops(known, places, seen, alike) if frozenset(leak.what) not in told]
    return leaks + copies + near + crops


def look_at_all(records: Iterable[Record]) -> dict[Place, Seen]:
    """Every input and target of the records, looked at once. Raises InputError for one that cannot be read."""
    return {place: look_at(*place) for place in dict.fromkeys(p for r in records for p in places_of(r))}


def look_at(path: Path, plane: int | None) -> Seen:
    """What one image is recognised by."""
    return Seen.of(path, plane_of(read_image(path), plane, path))


def places_of(record: Record) -> tuple[Place, ...]:
    """The images of a record: the input, if it has one, and the target."""
    target = (record.target, record.target_plane)
    return (target,) if record.input is None else ((record.input, record.input_plane), target)


def _add(table: dict[Key, list[str]], key: Key, split: str) -> None:
    splits = table.setdefault(key, [])
    if split not in splits:
        splits.append(split)


def _copies(known: Sequence[Place], splits: Mapping[Place, Sequence[str]], seen: Mapping[Place, Seen]) -> list[Leak]:
    first: dict[tuple[str, int | None], list[Place]] = {}
    for path, plane in known:
        first.setdefault((seen[path, plane].digest, plane), []).append((path, plane))
    return [
        Leak("copy", (str(a[0]), str(b[0])), pair)
        for alike in first.values()
        for i, b in enumerate(alike)
        for a in alike[:i]
        if a[0].resolve() != b[0].resolve() and (pair := _two_splits(splits[a], splits[b]))
    ]


def _near(
    known: Sequence[Place], splits: Mapping[Place, Sequence[str]], seen: Mapping[Place, Seen], alike: float
) -> list[Leak]:
    structured = [place for place in known if not seen[place].fingerprint.is_flat]
    if not structured:
        return []
    coarse = np.stack([seen[place].fingerprint.coarse for place in structured])
    flat = coarse.reshape(len(coarse), -1)
    order = {name: i for i, name in enumerate(sorted({s for place in structured for s in splits[place]}))}
    codes = np.array([sum(1 << order[s] for s in splits[place]) for place in structured])
    leaks = []
    for start in range(0, len(flat), BLOCK):
        best = np.full((len(coarse[start : start + BLOCK]), len(flat)), -1.0, np.float32)
        for turned in zip(*(list(turns(grid)) for grid in coarse[start : start + BLOCK]), strict=True):
            np.maximum(best, np.stack(turned).reshape(len(best), -1) @ flat.T, out=best)
        apart = codes[start : start + BLOCK, None] != codes[None]
        for i, j in zip(*np.nonzero((best > CANDIDATE) & apart), strict=True):
            a, b = structured[start + int(i)], structured[int(j)]
            pair = _two_splits(splits[a], splits[b])
            if start + i < j and pair and a[0].resolve() != b[0].resolve():
                likeness = similarity(seen[a].fingerprint, seen[b].fingerprint)
                if likeness > alike:
                    leaks.append(Leak("near duplicate", (str(a[0]), str(b[0])), pair, likeness))
    return leaks


def _crops(
    known: Sequence[Place], splits: Mapping[Place, Sequence[str]], seen: Mapping[Place, Seen], alike: float
) -> list[Leak]:
    def read(i: int) -> Plane:
        path, plane = known[i]
        return plane_of(read_image(path), plane, path)

    numbers = {name: i for i, name in enumerate(dict.fromkeys(s for place in known for s in splits[place]))}
    parts = shared_parts(
        [seen[place].anchors for place in known], [numbers[splits[place][0]] for place in known], read, alike=alike
    )
    return [
        Leak("crop", (str(known[i][0]), str(known[j][0])), (splits[known[i]][0], splits[known[j]][0]), likeness)
        for i, j, likeness in parts
        if known[i][0].resolve() != known[j][0].resolve()
    ]


def _two_splits(a: Sequence[str], b: Sequence[str]) -> tuple[str, str] | None:
    """Two different splits, one of each."""
    return next(((x, y) for x in a for y in b if x != y), None)
