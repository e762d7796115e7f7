"""TIFF, BigTIFF, OME-TIFF, ImageJ hyperstacks and slides read as plain TIFF: decoded by tifffile and imagecodecs.

The skeleton of the file is checked first (tiff_structure.py); here the images among the pages are found, checked
against what they need from the file, decoded, and brought to axes (..., Y, X) or (..., Y, X, S).
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

from dgno.arrays import AlphaKind, Image
from dgno.errors import TruncatedInput, UnreadableInput, UnsupportedCodec, UnsupportedInput
from dgno.io.colour import apply_palette, is_pseudo_colour, palette_note, split_alpha, widened
from dgno.io.limits import Limits, check_ratio, check_size
from dgno.io.ome import BadMetadataError, OmeImage, is_ome, parse_ome, parse_xml, rewritten
from dgno.io.opening import Opened, shortened
from dgno.io.tiff_facts import described
from dgno.io.tiff_structure import Structure
from dgno.stored import Stored

WHITE_IS_ZERO, RGB, PALETTE, YCBCR = 0, 2, 3, 6  # values of PhotometricInterpretation
INKS = {4: "a transparency mask", 5: "CMYK", 8: "CIE Lab", 9: "ICC Lab", 10: "ITU Lab", 32803: "a raw camera mosaic"}
OLD_JPEG, NEW_JPEG, APERIO_YCC = 6, 7, 33003
OTHER_CODEC = "save the image with LZW, deflate or none (Fiji can)"
JPEG_END = b"\xff\xd9"
ALPHA: dict[int, AlphaKind] = {1: "premultiplied", 2: "straight"}  # values of ExtraSamples
DTYPES = ("b1", "u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")
NO_DATA = ("label", "macro", "map", "thumbnail", "label image", "macro image", "thumbnail image")
OWN_STRIPS = ("lsm", "stk")  # formats whose strips tifffile repairs
Flags = dict[str, Any]  # keyword arguments of TiffFile
WITHOUT_XML = dict.fromkeys(("is_ome", "is_scn", "is_qpi", "is_philips", "is_bif", "is_avs"), False)
ONE_FILE = {"is_mmstack": False, "is_ndtiff": False}  # these kinds open other files beside the one named


def read_tiff(opened: Opened, limits: Limits) -> list[Image]:
    """Every full-resolution image of a TIFF file; pyramid levels, thumbnails, label and macro pictures are left out."""
    structure = Structure(opened.file, opened.size, limits)
    flags, ome, notes = interpretation(structure, limits)
    opened.file.seek(0)
    with TiffFile(opened.file, name=opened.path.name, _multifile=False, **flags) as tiff:
        images = []
        described_by = assigned(tiff.series, ome)
        for series in full_resolution(tiff.series):
            check_messages(opened.messages)
            _check_series(series, structure, limits)
            image = _decoded(series)
            check_messages(opened.messages)
            facts = described_by.get(series.keyframe.index)
            images.append(described(image, series, facts, structure.description() if facts else b""))
    return [replace(image, notes=(*notes, *image.notes)) for image in images]


def interpretation(structure: Structure, limits: Limits) -> tuple[Flags, tuple[OmeImage, ...], list[str]]:
    """How tifffile is to take the file: its flags, the OME images, and notes on metadata that are not used."""
    description = structure.description()
    flags: Flags = dict(ONE_FILE)
    if len(set(structure.kinds)) > 1:
        flags["is_uniform"] = False
    if not description.lstrip().startswith(b"<") and not is_ome(description):
        return flags, (), []
    try:
        if is_ome(description):
            images = parse_ome(description, len(structure.kinds), limits)
            return {**flags, "omexml": rewritten(images)}, images, []
        parse_xml(description, limits)
        return flags, (), []
    except BadMetadataError as error:
        note = f"the XML metadata are not used, the pages are read in their order: {shortened(error)}"
        return {**flags, **WITHOUT_XML}, (), [note]


def full_resolution(series: list[TiffPageSeries]) -> list[TiffPageSeries]:
    """The series that are data.

    tifffile takes any page half as large as another for a level of its pyramid. Only tiled pages, and those that say
    so themselves, are.
    """
    candidates = []
    for one in series:
        candidates.append(one)
        if one.kind == "generic":
            levels = (level for level in one.levels[1:] if not level.keyframe.is_subifd)
            candidates += [level for level in levels if not (level.keyframe.is_reduced or level.keyframe.is_tiled)]
    keyframes = ((one, one.keyframe) for one in candidates)
    data = [one for one, page in keyframes if not (page.is_reduced or page.is_mask or page.is_subifd)]
    data = [one for one in data if one.kind == "shaped" or one.name.lower() not in NO_DATA]
    is_loose = any(one.kind == "generic" for one in data)  # levels that are none were put at the end
    return (sorted(data, key=lambda one: one.keyframe.index) if is_loose else data) or candidates[:1]


def assigned(series: list[TiffPageSeries], ome: tuple[OmeImage, ...]) -> dict[int, OmeImage]:
    """Which OME image describes the series that starts with a page; none if tifffile left one out."""
    found = [one for one in series if one.kind == "ome"]
    return {one.keyframe.index: image for one, image in zip(found, ome, strict=True)} if len(found) == len(ome) else {}


def check_messages(messages: list[logging.LogRecord]) -> None:
    """What tifffile logs as an error it has skipped or guessed; a result built on that is not what was stored."""
    for message in messages:
        if message.levelno >= logging.ERROR:
            raise UnreadableInput("broken TIFF", why=shortened(ValueError(message.getMessage())))


def _check_series(series: TiffPageSeries, structure: Structure, limits: Limits) -> None:
    """Refuse what cannot be decoded completely and correctly, before anything is decoded."""
    page = series.keyframe
    check_kind(page)
    height, width = page.imagelength, page.imagewidth
    planes = math.prod(series.shape) // max(1, height * width * page.samplesperpixel)
    check_size(limits, width, height, planes=planes, samples=page.samplesperpixel)
    check_size(limits, 1, 1, samples=dict(zip(series.axes, series.shape, strict=True)).get("C", 1))
    if 0 in series.shape:
        raise UnreadableInput("a TIFF page without pixels", why=f"shape {series.shape}")
    found = 0
    for part in series:
        if part is None:
            raise UnreadableInput("planes of the TIFF file are missing")
        if part.index < len(structure.kinds) and structure.kinds[part.index] != structure.kinds[page.index]:
            raise UnreadableInput(f"page {part.index} of the TIFF file differs from the others of its stack")
        _check_blocks(part, page, series, limits)
        found += math.prod(page.shape)
    if found != math.prod(series.shape) and not is_contiguous(series, structure.size):
        why = f"{math.prod(series.shape):,} values are described, {found:,} are there"
        raise UnreadableInput("the TIFF metadata do not fit its pages", why=why)


def check_kind(page: TiffPage) -> None:
    """Refuse colours and compressions that are not read."""
    photometric, compression = int(page.photometric), int(page.compression)
    if photometric in INKS:
        raise UnsupportedInput(f"a TIFF image in {INKS[photometric]}", hint="convert it to RGB or gray first")
    if compression == OLD_JPEG or compression not in (1, *_compressions()):
        raise UnsupportedCodec(f"TIFF compression {codec_name(compression)}", hint=OTHER_CODEC)
    if (photometric == YCBCR and compression != NEW_JPEG) or compression == APERIO_YCC:
        hint = "convert it to RGB first (vips, ImageMagick), or open slides with OpenSlide"
        raise UnsupportedInput("a TIFF image in YCbCr without JPEG compression", hint=hint)
    if page.dtype is None or page.dtype.str[1:] not in DTYPES:
        what = page.dtype or f"{page.bitspersample} bits of sample format {page.sampleformat}"
        raise UnsupportedInput(f"a TIFF image of {what}", hint="convert it to 8, 16 or 32 bits")


def codec_name(code: int) -> str:
    if code == OLD_JPEG:
        return "old-style JPEG"
    return tifffile.COMPRESSION(code).name if code in set(tifffile.COMPRESSION) else f"number {int(code)}"


def _compressions() -> tuple[int, ...]:
    """Numbers of the compressions that have a decoder here."""
    return tuple(int(code) for code in tifffile.COMPRESSION if _is_available(int(code)))


def _is_available(code: int) -> bool:
    try:
        return tifffile.TIFF.DECOMPRESSORS[code] is not None
    except KeyError:
        return False


def _check_blocks(part: TiffPage | TiffFrame, page: TiffPage, series: TiffPageSeries, limits: Limits) -> None:
    """Refuse pages whose strips or tiles are too few, empty, or would grow beyond the limits."""
    if series.kind in OWN_STRIPS:
        return
    wanted, counts = math.prod(page.chunked), part.databytecounts
    if len(part.dataoffsets) < wanted or len(counts) < wanted:
        raise UnreadableInput(f"page {part.index} of the TIFF file has {len(counts)} of {wanted} strips or tiles")
    if empty := sum(1 for offset, count in zip(part.dataoffsets, counts, strict=False) if not (offset and count)):
        why = "an interrupted program leaves such files"
        raise UnreadableInput(f"{empty} of {wanted} strips or tiles of page {part.index} have no data", why=why)
    if int(page.compression) != 1:
        check_ratio(limits, math.prod(page.chunks) * series.dtype.itemsize, min(counts))
    if int(page.compression) == NEW_JPEG and page.jpegheader is None:
        _check_jpeg_ends(part)


def _check_jpeg_ends(part: TiffPage | TiffFrame) -> None:
    """libjpeg fills missing data with gray; a whole block ends with the end marker, up to padding."""
    file = part.parent.filehandle
    for number, (offset, count) in enumerate(zip(part.dataoffsets, part.databytecounts, strict=False)):
        file.seek(max(offset, offset + count - 32))
        if not file.read(min(count, 32)).rstrip(b"\0\xff").endswith(JPEG_END):
            raise TruncatedInput(f"JPEG block {number} of page {part.index} of the TIFF file is not complete")


def is_contiguous(series: TiffPageSeries, size: int) -> bool:
    """Do all planes follow each other behind one page, as ImageJ stores large stacks?"""
    start = series.dataoffset
    return start is not None and start + math.prod(series.shape) * series.dtype.itemsize <= size


def _decoded(series: TiffPageSeries) -> Image:
    """The pixels of a series in standard axes, with what was done to them in the notes."""
    page = series.keyframe
    try:
        pixels = series.asarray(maxworkers=1)
    except (imagecodecs.DelayedImportError, NotImplementedError) as error:
        why, hint = shortened(error), f"install imagecodecs with this codec, or {OTHER_CODEC}"
        raise UnsupportedCodec(f"TIFF compression {codec_name(page.compression)}", why=why, hint=hint) from error
    if pixels.shape != series.shape:
        raise UnreadableInput("the TIFF image is not complete", why=f"{pixels.shape} of {series.shape} was decoded")
    pixels, axes = _standard_axes(pixels.astype(pixels.dtype.newbyteorder("="), copy=False), series.axes)
    notes: list[str] = []
    pixels, is_inverted = expanded(pixels, page, notes)
    stored = Stored(min_is_white=is_inverted, orientation=int(page.tags.valueof(274, 1)))
    if int(page.photometric) == PALETTE:
        return _through_palette(Image(pixels, axes, stored=stored), page, notes)
    return _with_samples(pixels, axes, page, stored, notes)


def _standard_axes(pixels: np.ndarray, axes: str) -> tuple[np.ndarray, str]:
    """Drop axes of length 1, and bring Y, X and the samples to the end."""
    if "Y" not in axes or "X" not in axes:
        raise UnsupportedInput(f"a TIFF image with axes {axes}", hint="dgno restores images with rows and columns")
    kept = [i for i, axis in enumerate(axes) if axis in "YX" or pixels.shape[i] > 1]
    last = [i for axis in "YXS" for i in kept if axes[i] == axis]
    order = [i for i in kept if i not in last] + last
    dropped = [i for i in range(len(axes)) if i not in kept]
    pixels = np.ascontiguousarray(pixels.transpose(*dropped, *order).reshape([pixels.shape[i] for i in order]))
    return pixels, "".join(axes[i] for i in order)


def expanded(pixels: np.ndarray, page: TiffPage, notes: list[str]) -> tuple[np.ndarray, bool]:
    """Values of 1 to 7 bits become 8 bits (palettes excepted), and white becomes the largest value."""
    bits, photometric = page.bitspersample, int(page.photometric)
    if isinstance(bits, int) and bits < 8 and photometric != PALETTE:
        notes.append(f"{bits}-bit values expanded to 8 bits")
        pixels = widened(pixels.view(np.uint8), bits)
    if photometric != WHITE_IS_ZERO:
        return pixels, False
    if pixels.dtype.kind == "f":
        notes.append("the file says that white is 0, which makes no sense for floats and is not heeded")
        return pixels, False
    notes.append("the file stores white as 0; values are turned over for reading, and back where a TIFF is written")
    top = 2**bits - 1 if isinstance(bits, int) and 8 < bits < 16 else -1  # -1: all bits
    return pixels ^ pixels.dtype.type(top) if top > 0 else ~pixels, True


def _through_palette(image: Image, page: TiffPage, notes: list[str]) -> Image:
    """Colours of a palette; values whose palette only rises, or is ImageJ's, are intensities, and stay."""
    table = page.colormap
    if table is None or table.ndim != 2 or table.shape[0] != 3:
        raise UnreadableInput("a TIFF image with a palette that is not there")
    if is_pseudo_colour(table) or (page.parent.is_imagej and table.shape[1] == 256):
        notes.append("shown in pseudo-colours; the values themselves are restored")
        stored = replace(image.stored, colour_table=table)
        return replace(image, notes=tuple(notes), stored=stored)
    if int(image.pixels.max()) >= table.shape[1]:
        raise UnreadableInput(f"a pixel has colour {image.pixels.max()} of a palette of {table.shape[1]}")
    palette = (table >> 8).astype(np.uint8).T
    notes.append(palette_note(palette))
    pixels = apply_palette(image.pixels, palette)
    axes = image.axes + "S" * (pixels.ndim - image.pixels.ndim)
    return replace(image, pixels=pixels, axes=axes, notes=tuple(notes))


def _with_samples(pixels: np.ndarray, axes: str, page: TiffPage, stored: Stored, notes: list[str]) -> Image:
    """Sort the samples of a pixel into colours, alpha and channels."""
    if not axes.endswith("S"):
        return Image(pixels, axes, notes=tuple(notes), stored=stored)
    samples, extra = pixels.shape[-1], [int(kind) for kind in page.extrasamples]
    is_rgb = int(page.photometric) in (RGB, YCBCR)
    colours = 3 if is_rgb else 1
    if samples == colours + 1 and (is_rgb or extra[-1:] in ([1], [2])):
        pixels, letter, alpha = split_alpha(pixels)
        kind = ALPHA.get((extra or [0])[-1], "unspecified")
        return Image(pixels, axes[:-1] + letter, alpha=alpha, alpha_kind=kind, notes=tuple(notes), stored=stored)
    if is_rgb and samples == colours:
        return Image(pixels, axes, notes=tuple(notes), stored=stored)
    if is_rgb or "C" in axes:
        raise UnsupportedInput(f"a TIFF image of {samples} samples a pixel", hint="save its channels as planes")
    channels = np.ascontiguousarray(np.moveaxis(pixels, -1, -3))
    stored = replace(stored, interleaved_channels=True)
    return Image(channels, axes[:-3] + "CYX", notes=tuple(notes), stored=stored)
