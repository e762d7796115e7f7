"""Open a slide, whatever it is; and tell slides from images."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any  # of the options that all readers share

from dgno.errors import InputError, UnknownFormat, UnreadableInput, UnsupportedCodec, UnsupportedInput
from dgno.io.block_slide import CACHE_BYTES
from dgno.io.limits import DEFAULT_LIMITS, Limits
from dgno.io.opening import naming, open_input, open_regular
from dgno.io.slide import OnBadTile, Slide
from dgno.io.slide_openslide import EXTRA, OpenSlideReader, vendor_of
from dgno.io.slide_tiff import TiffSlide
from dgno.io.tiff_structure import NDPI, SUB_DIRECTORIES, TILES, Directory, Structure
from dgno.io.zarr import ZarrSlide
from dgno.io.zarr_metadata import is_zarr

StrPath = str | os.PathLike[str]
WIDTH, HEIGHT, PHOTOMETRIC, SAMPLES, RGB, PALETTE = 256, 257, 262, 277, 2, 3
LARGE = 2**26  # px of a plane above which an image is read as a slide
SMALL = 2**24  # px of all pages up to which tiles alone make no slide of a file whose pages are all of one size
ODD_TIFF = (b"<iScan", b"leica-microsystems.com/scn", b"DPUfsImport")  # Ventana, Leica, Philips: tiles that overlap,
# several areas, or levels that are padded: OpenSlide knows how they lie
FOREIGN = {128: (b"DICM",), 0: (b"ZISRAWFILE", b"[Virtual Microscope Specimen]")}
GENERIC = "generic-tiff"  # what OpenSlide calls tiled TIFF: it reads one plane of it, without its transparency
AS_IMAGE = "read it as an image"


def open_slide(
    path: StrPath,
    *,
    on_bad_tile: OnBadTile = "fail",
    limits: Limits = DEFAULT_LIMITS,
    cache_bytes: int = CACHE_BYTES,
) -> Slide:
    """The slide at `path`: a TIFF file, what OpenSlide reads, or the folder of an OME-Zarr. Close it, or use `with`.

    on_bad_tile : "fail": a broken tile raises UnreadableInput with its place; "mask": it comes as `fill`, and is
        listed in `bad_tiles`
    limits : `pixels` bounds single pieces, not the slide
    cache_bytes : of decoded pieces that are kept; where a file is in strips as wide as the slide, windows are read
        fast if all strips of a window fit
    Every failure is an InputError or OutOfMemory that names the file. What tifffile cannot read is tried with
    OpenSlide, if that is installed.
    """
    path = Path(path)
    options: dict[str, Any] = {"on_bad_tile": on_bad_tile, "limits": limits, "cache_bytes": cache_bytes}
    if path.is_dir():
        return ZarrSlide(path, **options)
    try:
        return _open_tiff(path, options)
    except (UnknownFormat, UnsupportedInput, UnsupportedCodec) as error:
        is_other = error.path is not None and Path(error.path) != path  # a file of the same set
        if not is_other and vendor_of(path) not in (None, GENERIC):
            return _with_openslide(path, options, error)
        if is_foreign(path) and importlib.util.find_spec("openslide") is None:
            raise UnsupportedCodec("this slide needs OpenSlide", path=path, hint=EXTRA) from error
        raise


def is_slide(path: StrPath, *, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Is this to be read as a slide: of a scanner, a pyramid, tiled and larger than 2^24 px, not tiled and larger than
    2^26 px a plane, or an OME-Zarr?

    Goes by the contents. False for what cannot be opened at all, and for tiled images of a kind that only images may
    be (with transparency or a palette): reading them as images says why, or works.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return is_zarr(path)
        with open_input(path) as opened:
            if opened.format != "tiff":
                return opened.format == "jpeg" and is_foreign(path)
            structure = Structure(opened.file, opened.size, limits)
            return _is_tiff_slide(structure, structure.first)
    except UnknownFormat:
        return is_foreign(path)
    except InputError:
        return False


def is_foreign(path: Path) -> bool:
    """Does the file look like DICOM, CZI or VMS, or like the head of a MIRAX folder? Then OpenSlide reads it."""
    try:
        with naming(path), open_regular(path) as file:
            head = file.read(256)
    except InputError:
        return False
    is_known = any(head[place:].startswith(magics) for place, magics in FOREIGN.items())
    return is_known or (path.suffix.lower() == ".mrxs" and (path.with_suffix("") / "Slidedat.ini").is_file())


def _open_tiff(path: Path, options: Mapping[str, Any]) -> Slide:  # Any: the options of `open_slide`
    with ExitStack() as undo:
        with open_input(path) as opened:
            if opened.format != "tiff":
                raise UnknownFormat(f"a {opened.format.upper()} image, and no slide", hint=AS_IMAGE)
            if _is_odd(Structure(opened.file, opened.size, options["limits"])) and vendor_of(path) is not None:
                return OpenSlideReader(path, **options)
            slide = TiffSlide(opened, **options)
            undo.callback(slide.close)  # the file may turn out to have changed meanwhile
        undo.pop_all()
    return slide


def _with_openslide(path: Path, options: Mapping[str, Any], refused: InputError) -> Slide:
    """What tifffile refused. Where OpenSlide has to refuse a codec as well, the first error says it better."""
    try:
        return OpenSlideReader(path, **options)
    except UnreadableInput:
        if isinstance(refused, UnsupportedCodec):
            raise refused from None
        raise


def _is_odd(structure: Structure) -> bool:
    return any(mark in structure.description() for mark in ODD_TIFF)


def _is_tiff_slide(structure: Structure, page: Directory) -> bool:
    def value(tag: int) -> int:
        numbers = structure.integers(page[tag]).tolist() if tag in page else []
        return int(numbers[0]) if numbers else 0

    if NDPI in page or structure.description().startswith(b"Aperio") or value(WIDTH) * value(HEIGHT) > LARGE:
        return True
    is_image_only = value(PHOTOMETRIC) == PALETTE or (value(PHOTOMETRIC) == RGB and value(SAMPLES) == 4)
    if SUB_DIRECTORIES in page or _is_odd(structure):
        return True
    pixels = value(WIDTH) * value(HEIGHT) * len(structure.kinds)
    return TILES in page and not is_image_only and (pixels > SMALL or len(set(structure.kinds)) > 1)
