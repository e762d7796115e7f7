"""TIFF, OME-TIFF and ImageJ TIFF, written by tifffile: lossless, and byte for byte the same for the same image.

Plain and OME files are deflated, integers of 8 and 16 bits as differences (predictor 2, which all readers know; the
predictor for floats is not read by ImageJ and Bio-Formats). ImageJ files are not compressed, as ImageJ writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Literal

import numpy as np
from tifffile import FileHandle, TiffWriter

from dgno.arrays import Image
from dgno.io.colour import joined
from dgno.io.imagej import imagej_arguments, kept_resolution
from dgno.io.ome_write import facts_of, ome_document
from dgno.io.provenance import software
from dgno.io.tiff_facts import LARGEST_VALUE, SMALLEST_VALUE, holds, turned_range
from dgno.value_ranges import guess_value_range

Compression = Literal["deflate", "lzw", "zstd", "none"]
CODECS = {"deflate": "zlib", "lzw": "lzw", "zstd": "zstd", "none": None}
DEFLATE_LEVEL = 6
LARGEST_CLASSIC = 2**32 - 2**26  # leaves room for tags and for data that grow when deflated
STRIP_BYTES = 2**18
ORIENTATION = 274
VENDORS = ("Aperio", "ImageJ=", "SCIFIO=", "shape=", "{", "<")  # texts that make readers take a file for another kind


def write_tiff(
    file: BinaryIO,
    images: Sequence[Image],
    kind: str,
    *,
    compression: Compression,
    provenance: Mapping[str, str] | None,
) -> None:
    """Write the images one after the other; `kind` is "tiff", "ome-tiff" or "imagej-tiff" (one image)."""
    handle = FileHandle(file, name="image.tif")
    size = sum(image.pixels.nbytes + (image.alpha.nbytes if image.alpha is not None else 0) for image in images)
    if kind == "imagej-tiff":
        with TiffWriter(handle, imagej=True, byteorder=">") as writer:
            writer.write(**imagej_arguments(images[0], provenance), extratags=_tags(images[0]))
        return
    document = ome_document([facts_of(image) for image in images], provenance) if kind == "ome-tiff" else None
    with TiffWriter(handle, bigtiff=size >= LARGEST_CLASSIC, byteorder="<", ome=False, shaped=False) as writer:
        for number, image in enumerate(images):
            text = _plain_text(image, len(images), provenance) if document is None else (b"" if number else document)
            writer.write(
                **_samples(image, is_ome=document is not None),
                **_encoding(image, compression),
                **_resolution(image),
                description=text or None,
                metadata=None,
                software=software(),
                iccprofile=image.icc_profile,
                extratags=_tags(image),
                maxworkers=1,
            )


def _samples(image: Image, *, is_ome: bool) -> dict[str, Any]:  # Any: arguments of tifffile
    """The array as planes of samples, and what the samples mean."""
    pixels, photometric = image.pixels, "rgb" if image.is_colour else "minisblack"
    if image.stored.min_is_white and pixels.dtype.kind in "ui" and not image.is_colour:
        pixels, photometric = ~pixels, "miniswhite"  # reading turned it over
    if image.stored.interleaved_channels and image.axes.endswith("CYX") and not is_ome:
        samples = np.moveaxis(pixels, -3, -1)
        extra = ["unspecified"] * (samples.shape[-1] - 1)
    else:
        samples = joined(pixels, image.axes, image.alpha)
        names = {"straight": "unassalpha", "premultiplied": "assocalpha", "unspecified": "unspecified"}
        kind = image.alpha_kind if image.is_colour or image.alpha_kind != "unspecified" else "straight"
        extra = [names[kind]] if image.alpha is not None else []
    height, width, count = samples.shape[-3:]
    data = np.ascontiguousarray(samples).reshape(-1, height, width, *([count] if count > 1 else []))
    arguments: dict[str, Any] = {"data": data, "photometric": photometric}
    if count > 1:
        arguments |= {"planarconfig": "contig", "extrasamples": extra or None}
    if image.stored.colour_table is not None and data.dtype == np.uint8 and count == 1:
        arguments |= {"photometric": "palette", "colormap": image.stored.colour_table}
    return arguments


def _encoding(image: Image, compression: Compression) -> dict[str, Any]:
    codec = CODECS[compression]
    row = image.pixels.shape[image.axes.index("X")] * (image.samples + 1) * image.pixels.dtype.itemsize
    rows = {"rowsperstrip": max(1, STRIP_BYTES // row)}
    if codec is None:
        return rows
    has_table = image.stored.colour_table is not None
    is_short = image.pixels.dtype.kind in "ui" and image.pixels.dtype.itemsize <= 2
    arguments = {"compression": codec, "predictor": 2 if is_short and not has_table else None, **rows}
    return arguments | ({"compressionargs": {"level": DEFLATE_LEVEL}} if codec == "zlib" else {})


def _resolution(image: Image) -> dict[str, Any]:
    """Pixels a centimetre; tags of another meaning as they were."""
    if image.pixel_size:
        rows, columns = image.pixel_size
        return {"resolution": (1e4 / columns, 1e4 / rows), "resolutionunit": "CENTIMETER"}
    return kept_resolution(image)


def _tags(image: Image) -> list[tuple[int, str, int, Any, bool]]:
    """Orientation, and black and white where reading would take others; not what is only guessed."""
    tags: list[tuple[int, str, int, Any, bool]] = []
    if image.stored.orientation != 1:
        tags.append((ORIENTATION, "H", 1, image.stored.orientation, False))
    low, high = image.value_range
    is_known = image.pixels.dtype.itemsize == 1 and guess_value_range(image.pixels).value_range == (low, high)
    if image.limits is None and holds((low, high), image.pixels) and not is_known:
        if image.stored.min_is_white:
            low, high = turned_range((low, high), image.pixels.dtype)
        count = image.samples + (image.alpha is not None)
        count = image.channels if image.stored.interleaved_channels else count
        tags += range_tags((low, high), image.pixels.dtype, count)
    return tags


def range_tags(
    value_range: tuple[float, float], dtype: np.dtype[Any], samples: int
) -> list[tuple[int, str, int, Any, bool]]:
    """Black and white as tags, for each sample of a pixel."""
    kind = {"uint8": "B", "uint16": "H", "uint32": "I", "int8": "b", "int16": "h", "int32": "i", "float64": "d"}
    code = kind.get(dtype.name, "f")
    tags: list[tuple[int, str, int, Any, bool]] = []
    for tag, value in zip((SMALLEST_VALUE, LARGEST_VALUE), value_range, strict=True):
        number = float(value) if code in "fd" else int(value)
        tags.append((tag, code, samples, number if samples == 1 else (number,) * samples, False))
    return tags


def _plain_text(image: Image, images: int, provenance: Mapping[str, str] | None) -> str:
    """The description of a plain file: its own text, or JSON as tifffile writes it where more is to be said.

    tifffile reads axes from "shape" and "axes", and needs them for every image of a file if for one.
    """
    text = "" if image.stored.description.startswith(VENDORS) else image.stored.description
    leading = image.axes.removesuffix("S")[:-2]
    if images == 1 and not provenance and leading in ("", "I") and not image.channel_names and text.isascii():
        return text  # TIFF holds ASCII; the escapes of JSON hold the rest
    facts: dict[str, Any] = {"shape": list(image.pixels.shape), "axes": image.axes}
    if image.stored.interleaved_channels and image.axes.endswith("CYX"):
        facts = {"shape": list(np.moveaxis(image.pixels, -3, -1).shape), "axes": image.axes[:-3] + "YXS"}
    elif image.alpha is not None:
        facts = {"shape": [*image.shape_without_samples, image.samples + 1], "axes": image.axes.removesuffix("S") + "S"}
    facts |= {"channel_names": list(image.channel_names)} if image.channel_names else {}
    facts |= {"description": image.stored.description} if image.stored.description else {}
    facts |= {"dgno": dict(sorted(provenance.items()))} if provenance else {}
    return json.dumps(facts)
