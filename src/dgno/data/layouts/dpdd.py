"""DPDD: 500 scenes of a dual-pixel camera, defocused and all in focus; 350 for training, 74 for validation, 76 to test.

Abuolaim & Brown 2020, doi:10.1007/978-3-030-58607-2_7. Two layouts:
  as published       {train,val,test}_{c,l,r}/{source,target}/*.png   16 bit
  as for Restormer   {train,val,test}/DPDD/{inputC,inputL,inputR,target}/*.png, with indoor and outdoor index files
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dgno.checks import refuse_choice
from dgno.data.records import NO_SET, Record, by_key, entries, images_in, matched, subfolder, wanted_subfolder
from dgno.errors import ConfigError, UnreadableInput

VIEWS = ("c", "l", "r")  # the combined image, and the left and right sub-apertures
SPLITS = ("train", "val", "test")
PLACES = ("indoor", "outdoor")
NUMBER = re.compile(r"(\d+)\D*$")


def read_dpdd(folder: Path, *, view: str = "c") -> list[Record]:
    """Pairs of one view, "c", "l" or "r", with the official split; every scene is a group.

    Raises ConfigError, MissingInput, NotAFile, UnreadableInput (an index file).
    """
    if problems := refuse_choice("view", view, VIEWS):
        raise ConfigError(problems[0])
    places = _published(folder, view) or _restormer(folder, view)
    if not places:
        why = f"it has neither test_{view}/source nor test/DPDD/input{view.upper()}"
        raise ConfigError(NO_SET, path=folder, why=why)
    records: list[Record] = []
    for split, (blurred, sharp) in places.items():
        scenes = _indoor_or_outdoor(sharp)
        for name, image, target in _joined(blurred, sharp):
            meta = {"view": view} | ({"place": scenes[target]} if target in scenes else {})
            group = f"{split}/{name}"
            records.append(Record(group, image, target, group, split, meta=meta))
    return records


def _published(folder: Path, view: str) -> dict[str, tuple[Path, Path]]:
    found = {}
    for split in SPLITS:
        if place := subfolder(folder, (f"{split}_{view}",)):
            found[split] = (wanted_subfolder(place, ("source",)), wanted_subfolder(place, ("target",)))
    return found


def _restormer(folder: Path, view: str) -> dict[str, tuple[Path, Path]]:
    """With the split folders, or the innermost folder alone, which is the test set then."""
    found = {}
    for split, place in [*((split, subfolder(folder, (split,))) for split in SPLITS), ("test", folder)]:
        inner = place and (subfolder(place, ("DPDD",)) or place)
        if inner and split not in found and (blurred := subfolder(inner, (f"input{view}",))):
            found[split] = (blurred, wanted_subfolder(inner, ("target",)))
    return found


def _joined(blurred: Path, sharp: Path) -> list[tuple[str, Path, Path]]:
    """By name; where the two exposures of a scene have numbers of their own, target and image in turn as they were
    taken, else by nearest number of the camera."""
    images, targets = images_in(blurred), images_in(sharp)
    if {path.stem for path in images} & {path.stem for path in targets}:
        return list(matched(by_key(images), by_key(targets)))
    taken = sorted(
        [(_number(path), True, path) for path in images] + [(_number(path), False, path) for path in targets]
    )
    if [is_image for _, is_image, _ in taken] == [False, True] * len(images):
        return [(image.stem, image, target) for (*_, target), (*_, image) in zip(taken[::2], taken[1::2], strict=True)]
    numbers = [(_number(path), path) for path in images], [(_number(path), path) for path in targets]
    nearest = {path: min(numbers[1], key=lambda other: abs(other[0] - n))[1] for n, path in numbers[0]}
    back = {path: min(numbers[0], key=lambda other: abs(other[0] - n))[1] for n, path in numbers[1]}
    for path, other in [*nearest.items(), *back.items()]:
        if (back if path in nearest else nearest)[other] != path:
            why = f"the nearest number is that of {other.name}, which lies nearer to another"
            raise ConfigError("an image has no partner", path=path, why=why, hint="give both images of a pair one name")
    return [(path.stem, path, nearest[path]) for path in images]


def _number(path: Path) -> int:
    match = NUMBER.search(path.stem)
    if match is None:
        why = "neither its name nor a number in it is that of a partner"
        raise ConfigError("an image has no partner", path=path, why=why, hint="give both images of a pair one name")
    return int(match.group(1))


def _indoor_or_outdoor(sharp: Path) -> dict[Path, str]:
    """Which targets are indoor and outdoor scenes: the index files beside the folder count from 1, in sorted order."""
    found: dict[Path, str] = {}
    targets = images_in(sharp)
    for place in PLACES:
        for path in (p for p in entries(sharp.parent) if p.name == f"{place}_labels.npy"):
            for index in _indices(path):
                if not 1 <= index <= len(targets) or targets[index - 1] in found:
                    why = f"index {index} is beyond the {len(targets)} images, or said twice"
                    raise ConfigError("the index file does not fit the images", path=path, why=why)
                found[targets[index - 1]] = place
    return found


def _indices(path: Path) -> list[int]:
    try:
        return [int(i) for i in np.load(path, allow_pickle=False).ravel()]
    except (OSError, ValueError, EOFError) as error:
        raise UnreadableInput("the index file cannot be read", path=path, why=str(error)[:200]) from error
