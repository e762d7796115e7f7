"""The pixels of a record: blurred and sharp, of one shape, on each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from dgno.arrays import Image
from dgno.data.records import Record
from dgno.data.registration import inside, shifted
from dgno.errors import ConfigError, InputError, UnsupportedInput
from dgno.io.image import read_image
from dgno.restorable import check_finite, check_float32

Plane = Shaped[np.ndarray, "h w c"]


def load_pair(record: Record) -> tuple[Plane, Plane]:
    """(input, target) of one shape, each in the dtype of its file; the input moved onto the target, both cropped.

    A pair whose input is still to be simulated gives the target twice. Raises InputError and, where the two do not
    fit, what `refuse_misfit` does.
    """
    target = plane_of(read_image(record.target), record.target_plane, record.target)
    if record.input is None:
        return target, target
    blurred = plane_of(read_image(record.input), record.input_plane, record.input)
    refuse_misfit(record, blurred.shape, target.shape)
    rows, columns = inside(target.shape[:2], record.shift)
    return shifted(blurred, record.shift)[rows, columns], target[rows, columns]


def plane_of(image: Image, plane: int | None, path: Path) -> Plane:
    """A plane of an image by its number; of an image of one plane, None is that one.

    Raises UnsupportedInput where several planes are there and none is named, and where it is missing.
    """
    planes = list(image.planes())
    if plane is None and len(planes) > 1:
        why, hint = f"its axes are {image.axes}, {len(planes)} planes", "read it as a z-stack"
        raise UnsupportedInput("a stack where one plane was wanted", path=path, why=why, hint=hint)
    if not 0 <= (plane or 0) < len(planes):
        raise UnsupportedInput(f"there is no plane {plane}", path=path, why=f"it has {len(planes)}, counted from 0")
    return planes[plane or 0]


def refuse_unusable(image: Image, path: Path) -> None:
    """Refuse what no network can be trained on. Raises NonFiniteInput and InputOutOfRange that name the file."""
    try:
        check_finite(image)
        check_float32(image)
    except InputError as error:
        error.path, error.hint = path, "correct the image, or move it away"
        raise


def refuse_misfit(
    record: Record, blurred: tuple[int, ...], target: tuple[int, ...], *, samples: int | None = None
) -> None:
    """Refuse a pair of shapes (h, w, c) that are not one, or that have not the wanted number of samples.

    Raises UnsupportedInput for other channels, ConfigError for another size; both name the file.
    """
    for path, shape in ((record.input, blurred), (record.target, target)):
        if samples is not None and shape[-1] != samples:
            wanted = "gray images" if samples == 1 else f"{samples} samples a pixel"
            raise UnsupportedInput("other channels than the data set has", path=path, why=_misfit(shape[-1], wanted))
    if blurred[-1] != target[-1]:
        why = f"{blurred[-1]} against {target[-1]} of {record.target.name}"
        raise UnsupportedInput("blurred and sharp differ in channels", path=record.input, why=why)
    if blurred != target:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (blurred, target)]
        why = f"{sizes[0]} px against {sizes[1]} of {record.target.name}"
        raise ConfigError("blurred and sharp differ in size", path=record.input, why=why, hint="crop them alike")


def _misfit(came: int, wanted: str) -> str:
    return f"it has {came}, wanted {wanted}"
