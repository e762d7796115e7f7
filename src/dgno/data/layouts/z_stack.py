"""Stacks through focus: one plane is the sharp one, the others are its blurred images.

SET/STACK.tif          every file with an axis Z, or with pages of one size, is a stack
SET/STACK/PLANE.png    every folder of planes is one; the number at the end of a name is z: -3.png, a_z07.tif
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dgno.checks import refuse_choice
from dgno.data.focus import MEASURES, Gray, gray, sharpest
from dgno.data.loading import plane_of
from dgno.data.records import NO_SET, Record, entries, images_in, split_folders
from dgno.data.registration import find_shift
from dgno.errors import ConfigError, UnsupportedInput
from dgno.io.image import read_image
from dgno.io.output import FORMATS

DEPTHS = "ZIQ"  # the axes that may be depth: named so, or pages of no stated meaning
NUMBER = re.compile(r"(?:^|[_ zZ])([+-]\d+)$|(\d+)$")


@dataclass(frozen=True)
class _Stack:
    """One channel of a stack: for every plane its number z, its file, its place in it, and how to read it."""

    name: str
    channel: str
    numbers: Sequence[int]
    files: Sequence[Path]
    places: Sequence[int | None]
    read: Callable[[int], Gray]


def read_z_stack(
    folder: Path, *, sharp_plane: int | None = None, measure: str = "tenengrad", step: float | None = None,
    register: bool = True,
) -> list[Record]:  # fmt: skip
    """A pair of every plane of every stack with the sharp plane of its stack.

    sharp_plane : the number z of the sharp plane; None: the sharpest by `measure`
    measure : "tenengrad", "laplacian" or "variance"
    step : um between planes, which makes `defocus` known
    register : find the shift of every plane onto the sharp one, by sub-pixel phase correlation
    The group is the stack. Raises ConfigError, UnsupportedInput (a file that is no stack), InputError.
    """
    if problems := refuse_choice("measure", measure, MEASURES):
        raise ConfigError(problems[0])
    records: list[Record] = []
    for split, place in split_folders(folder).items():
        for stack in _stacks(place):
            best = (
                _index(stack, sharp_plane) if sharp_plane is not None else sharpest(_Planes(stack), MEASURES[measure])
            )
            records += _records(stack, best, split, step, register=register)
    return records


class _Planes(Sequence[Gray]):  # read one at a time: a stack need not fit into memory
    def __init__(self, stack: _Stack) -> None:
        self.stack = stack

    def __len__(self) -> int:
        return len(self.stack.numbers)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]  # of a Sequence: whole numbers alone are asked for
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self.stack.read(i)


def _records(stack: _Stack, best: int, split: str, step: float | None, *, register: bool) -> list[Record]:
    fixed = stack.read(best)
    group = "/".join(filter(None, (split, stack.name)))
    records = []
    for i, z in enumerate(stack.numbers):
        if i == best:
            continue
        moving = _alike(stack, i, fixed)
        shift = find_shift(moving, fixed) if register else (0.0, 0.0)
        key = f"{group}{f'/{stack.channel}' if stack.channel else ''}/z{z:+d}"
        defocus = None if step is None else (z - stack.numbers[best]) * step
        records.append(
            Record(
                key, stack.files[i], stack.files[best], group, split, stack.channel, z, defocus,
                input_plane=stack.places[i], target_plane=stack.places[best], shift=shift,
                meta={"sharp z": str(stack.numbers[best])},
            )
        )  # fmt: skip
    return records


def _alike(stack: _Stack, i: int, fixed: Float[np.ndarray, "rows columns"]) -> Gray:
    plane = stack.read(i)
    if plane.shape != fixed.shape:
        why = f"{plane.shape[1]} x {plane.shape[0]} px against {fixed.shape[1]} x {fixed.shape[0]} of its sharp plane"
        raise ConfigError("the planes of a stack differ in size", path=stack.files[i], why=why)
    return plane


def _index(stack: _Stack, z: int) -> int:
    if z not in stack.numbers:
        why = f"it has {', '.join(map(str, stack.numbers))}"
        raise ConfigError(f"the stack has no plane {z}", path=stack.files[0], why=why, hint="name one of them")
    return list(stack.numbers).index(z)


def _stacks(folder: Path) -> list[_Stack]:
    images = [path for path in entries(folder) if path.is_file() and path.suffix.lower() in FORMATS]
    images = [path for path in images if not path.name.startswith(".")]
    folders = [path for path in entries(folder) if path.is_dir() and not path.name.startswith(".")]
    if not images and not folders:
        raise ConfigError(NO_SET, path=folder, why="it holds no images", hint="put the planes or the stacks there")
    if images and read_image(images[0]).axes.removesuffix("S") == "YX":
        if folders:
            raise ConfigError(NO_SET, path=folder, why="planes lie beside folders", hint="give every stack a folder")
        return [_of_folder(folder)]
    return [stack for path in images for stack in _of_file(path)] + [_of_folder(path) for path in folders]


def _of_folder(folder: Path) -> _Stack:
    numbered: dict[int, Path] = {}
    for path in images_in(folder):
        match = NUMBER.search(path.stem)
        if match is None:
            hint = "name the planes by numbers, or move the file away"
            raise ConfigError("the name has no plane number at its end", path=path, hint=hint)
        z = int(match.group(1) or match.group(2))
        if z in numbered:
            raise ConfigError(f"two files are plane {z}", path=path, why=f"the other is {numbered[z].name}")
        numbered[z] = path
    _refuse_single(folder, len(numbered))
    numbers = sorted(numbered)
    files = [numbered[z] for z in numbers]

    def read(i: int) -> Gray:
        return gray(plane_of(read_image(files[i]), None, files[i]))

    return _Stack(folder.name, "", numbers, files, [None] * len(files), read)


def _of_file(path: Path) -> list[_Stack]:
    image = read_image(path)
    lengths = dict(zip(image.axes.removesuffix("S")[:-2], image.shape_without_samples[:-2], strict=True))
    depth = [axis for axis in lengths if axis in DEPTHS]
    if len(depth) != 1 or set(lengths) - {*depth, "C"}:
        why = f"its axes are {image.axes}, wanted one of depth (Z or pages), and channels (C) at most"
        raise UnsupportedInput("no stack through focus", path=path, why=why, hint="save one stack a file")
    _refuse_single(path, lengths[depth[0]])
    planes, axes = list(image.planes()), list(lengths)
    stacks = []
    for c in range(image.channels):
        at = {"C": c}
        places = [
            int(np.ravel_multi_index([at.get(axis, z) for axis in axes], list(lengths.values())))
            for z in range(lengths[depth[0]])
        ]
        name = image.channel_names[c] if c < len(image.channel_names) else f"c{c}"
        read = _Reader(planes, places)
        numbers = range(len(places))
        stacks.append(
            _Stack(path.stem, name if image.channels > 1 else "", numbers, [path] * len(places), places, read)
        )
    return stacks


@dataclass(frozen=True)
class _Reader:
    planes: Sequence[np.ndarray]
    places: Sequence[int]

    def __call__(self, i: int) -> Gray:
        return gray(self.planes[self.places[i]])


def _refuse_single(path: Path, planes: int) -> None:
    if planes < 2:
        raise ConfigError("a stack of one plane has no pairs", path=path, hint="wanted two planes or more")
