"""The two images of a record as a protocol gives them to restorers and measures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from dgno.arrays import Image
from dgno.data.loading import plane_of
from dgno.data.records import Record
from dgno.data.registration import inside, shifted
from dgno.errors import ConfigError, UnsupportedInput
from dgno.evaluation.protocols import DGNO, Protocol
from dgno.io.image import read_image


@dataclass(frozen=True, eq=False)
class Pair:
    """Blurred and sharp, of one shape and on each other; `counted` says which pixels count, None: all."""

    blurred: Image
    sharp: Image
    counted: Bool[Tensor, "h w"] | None = None


def read_pair(record: Record, protocol: Protocol = DGNO) -> Pair:
    """The pair of a record, with the values of black and white that the protocol gives it.

    By most protocols, those of the sharp image for both: a pair has one scale. Read alone, the blurred image gets one
    of its own where its file names none: noise below black makes float images leave [0, 1], and the guess is then their
    smallest and largest value (the files of `dgno simulate` name it). With the sharp one's, methods that work on the
    range (the classical ones, and weights with "range") see simulated pairs as they were made, and all methods the
    scale that `fidelity` scores on. By min-max protocols each image has its own. Methods with statistics of their own
    are not told. Protocols that compare unrounded values turn the blurred image into floats of the same values.
    A record's shift moves the blurred image before it is restored, and both are cropped to what they share.
    Raises ConfigError and InputError, which name the file.
    """
    if record.input is None:
        hint = "make pairs with `dgno simulate`, or take a layout that has them"
        raise ConfigError("a sharp image without a blurred one", path=record.target, hint=hint)
    blurred = _named_plane(record.input, record.input_plane)
    sharp = _named_plane(record.target, record.target_plane)
    if blurred.pixels.shape != sharp.pixels.shape:
        why = f"{blurred.pixels.shape} against {sharp.pixels.shape}"
        raise ConfigError("blurred and sharp differ in shape", path=record.input, why=why)
    counted = _mask(record, sharp)
    if record.shift != (0.0, 0.0):
        blurred, sharp, counted = _registered(record, blurred, sharp, counted)
    ranges = [_scale(image, protocol, path) for image, path in ((blurred, record.input), (sharp, record.target))]
    if protocol.unrounded:
        blurred = replace(blurred, pixels=blurred.pixels.astype(np.float32))
    blurred = replace(blurred, value_range=ranges[1] if protocol.shared else ranges[0])
    return Pair(blurred, replace(sharp, value_range=ranges[1]), counted)


def is_whole_file(record: Record) -> bool:
    """Is the blurred image what its file holds, as it is?"""
    return record.input_plane is None and record.shift == (0.0, 0.0)


def _named_plane(path: Path, number: int | None) -> Image:
    """The plane of that number; the image as it is if there is none."""
    image = read_image(path)
    return image if number is None else _one_plane(image, plane_of(image, number, path))


def _one_plane(image: Image, plane: np.ndarray) -> Image:
    colours = plane.shape[-1] > 1
    return Image(plane if colours else plane[..., 0], "YXS" if colours else "YX", image.value_range)


def _registered(
    record: Record, blurred: Image, sharp: Image, counted: Bool[Tensor, "h w"] | None
) -> tuple[Image, Image, Bool[Tensor, "h2 w2"] | None]:
    """The blurred image moved onto the sharp one, and all cropped to what they share."""
    planes = [plane_of(image, None, record.target) for image in (blurred, sharp)]
    rows, columns = inside(planes[1].shape[:2], record.shift)
    moved = shifted(planes[0], record.shift)[rows, columns]
    region = None if counted is None else counted[rows, columns]
    return _one_plane(blurred, moved), _one_plane(sharp, planes[1][rows, columns]), region


def _mask(record: Record, sharp: Image) -> Bool[Tensor, "h w"] | None:
    """Where the mask of a record is not 0."""
    if record.mask is None:
        return None
    counted = plane_of(read_image(record.mask), None, record.mask).any(axis=-1)
    wanted = next(iter(sharp.planes())).shape[:2]
    if counted.shape != wanted:
        why = f"{counted.shape} against {wanted}"
        raise ConfigError("the mask has another size than the image", path=record.mask, why=why)
    if not counted.any():
        raise UnsupportedInput("the mask counts no pixel", path=record.mask, hint="leave the pair out")
    return torch.from_numpy(counted)


def _scale(image: Image, protocol: Protocol, path: Path) -> tuple[float, float]:
    try:
        return protocol.scale(image)
    except ConfigError as error:
        raise ConfigError(error.what, path=path, why=f"protocol {protocol.name}", hint=error.hint) from error
