"""Which format an output gets, and whether it can be written at all: everything that can be known before computing."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dgno.arrays import Image
from dgno.errors import (
    NoSpace,
    OutputExists,
    OutputFormat,
    OutputName,
    OutputNotWritable,
    WouldOverwriteInput,
    printable,
)
from dgno.io.atomic import LONGEST_NAME, LONGEST_PATH, output_error, temporary_name
from dgno.io.bmp import check_bmp
from dgno.io.imagej import fits_imagej
from dgno.io.jpeg import check_jpeg
from dgno.io.ome_versions import elements_of, left_out
from dgno.io.ome_write import check_ome, fits_ome, ome_axes
from dgno.io.plane_facts import look_up_tables
from dgno.io.plane_losses import losses_of_planes
from dgno.io.png import check_png, is_seen_otherwise
from dgno.io.tiff_write import LARGEST_CLASSIC
from dgno.io.zarr_store import is_store

FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".bmp": "bmp", ".tif": "tiff", ".tiff": "tiff"}
CHECKS: dict[str, Callable[[Image], None]] = {
    "png": check_png,
    "jpeg": check_jpeg,
    "bmp": check_bmp,
    "ome-tiff": check_ome,
}
LISTED = 5  # kinds of elements that a note names
DEFLATED = 10  # times; measured: clean synthetic images reach 5

StrPath = str | os.PathLike[str]


def output_format(path: StrPath, images: Sequence[Image]) -> str:
    """The format that a name asks for: "png", "jpeg", "bmp", "tiff", "ome-tiff" or "imagej-tiff".

    A TIFF is OME-TIFF if its name says so or the input was one. It is ImageJ's if the input was one, or if the image
    has planes and was no file before; what ImageJ cannot hold becomes OME-TIFF, and what that cannot hold plain.
    """
    name = Path(path).name.lower()
    kind = FORMATS.get(Path(name).suffix)
    if kind is None:
        known = ", ".join([*FORMATS, ".ome.tif", ".ome.tiff"])
        came = Path(name).suffix or "no extension"
        raise OutputFormat(f"dgno does not write {came}", path=path, hint=f"choose one of {known}")
    if kind != "tiff" or not images:
        return kind
    origins = {image.stored.format for image in images}
    if name.endswith((".ome.tif", ".ome.tiff")) or origins == {"ome-tiff"}:
        return "ome-tiff"
    first = images[0]
    has_planes = first.axes.removesuffix("S")[:-2] not in ("", "I", "Q")
    is_imagej = len(images) == 1 and fits_imagej(first) and first.pixels.nbytes < LARGEST_CLASSIC
    if origins == {"imagej-tiff"} or (origins == {""} and has_planes):
        return "imagej-tiff" if is_imagej else ("ome-tiff" if all(map(fits_ome, images)) else "tiff")
    return "tiff"


def check_output(
    path: StrPath,
    *,
    images: Sequence[Image] = (),
    inputs: Iterable[StrPath] = (),
    overwrite: bool = False,
) -> str:
    """Refuse an output that could not be written at the end; gives its format. Nothing is left on the disk.

    images : what will be written, or stands in for it in dtype, shape and axes; without any only the name is checked
    inputs : files that must not be replaced, whatever name leads to them
    Errors: OutputName, OutputFormat, OutputNotWritable, OutputExists, WouldOverwriteInput, NoSpace.
    """
    path = Path(path)
    _check_name(path)
    kind = output_format(path, images)
    try:
        for image in images if kind in CHECKS else ():
            CHECKS[kind](image)
    except OutputFormat as error:
        error.path = path
        raise
    if len(images) > 1 and kind in ("png", "jpeg", "bmp"):
        raise OutputFormat(
            f"{kind.upper()} holds one image, not {len(images)}", path=path, hint="write .tif or .ome.tif"
        )
    try:
        _check_existing(path, tuple(inputs), overwrite=overwrite)
        _probe(Path(os.path.realpath(path)), images, kind)
    except OSError as error:
        raise output_error(error, path) from error
    return kind


def check_place(path: StrPath, *, inputs: Iterable[StrPath] = (), overwrite: bool = False, store: bool = False) -> None:
    """`check_output` for what is no image: the name, the folder, and what stands there already.

    store : a Zarr, which is a folder, and replaces nothing but another
    """
    path = Path(path)
    _check_name(path)
    try:
        _check_existing(path, tuple(inputs), overwrite=overwrite, store=store)
        _probe(Path(os.path.realpath(path)), (), "")
    except OSError as error:
        raise output_error(error, path) from error


def alike(name: StrPath) -> str:
    """What is equal for names that some file system takes for one: in another case, or composed in another way."""
    return unicodedata.normalize("NFC", os.fspath(name)).casefold()


def told_apart(short: Sequence[Path], whole: Sequence[Path]) -> list[Path]:
    """Names for outputs: the short ones, but the whole ones of those whose short ones are alike (`a.png`, `a.tif`)."""
    counts = Counter(map(alike, short))
    return [long if counts[alike(name)] > 1 else name for name, long in zip(short, whole, strict=True)]


def losses(image: Image, kind: str) -> tuple[str, ...]:
    """What the format does not keep of the image, in words for the user."""
    notes = []
    if kind == "jpeg":
        notes.append("JPEG is lossy (quality 95, no chroma subsampling); .png and .tif are not")
        if image.pixel_size and min(image.pixel_size) < 1e4 / 0xFFFF:
            notes.append("JPEG cannot hold pixel sizes below 0.153 um; it is left out")
    if kind == "ome-tiff" and (axes := ome_axes(image)) != (own := image.axes.removesuffix("S")[:-2]):
        notes.append(f"axes {own} are written as {axes}, the names that OME-TIFF has")
    if kind == "ome-tiff":
        notes += left_out(image.stored.ome_xml)
    if kind != "imagej-tiff":
        notes += losses_of_planes(image.stored, kind, image.value_range)
    if kind in ("png", "jpeg", "bmp"):
        notes += _losses_of_texts(image, kind)
    return (*notes, *_losses_of_colour(image, kind))


def _losses_of_texts(image: Image, kind: str) -> list[str]:
    """What formats of plain pictures have no place for."""
    lost = ["the description"] if image.stored.description else []
    lost += [f"the channel names ({', '.join(map(printable, image.channel_names))})"] if image.channel_names else []
    if elements := elements_of(image.stored.ome_xml):
        more = f" and {len(elements) - LISTED} more" if len(elements) > LISTED else ""
        lost.append(f"what else the OME-XML says ({', '.join(elements[:LISTED])}{more})")
    return [f"{kind.upper()} does not keep {one}" for one in lost]


def _losses_of_colour(image: Image, kind: str) -> list[str]:
    notes = []
    if kind == "bmp" and image.icc_profile:
        notes.append("BMP does not keep the colour profile")
    if kind != "png" and is_seen_otherwise(image):
        what = "gamma and primaries of the PNG, other than those of sRGB, are not kept"
        notes.append(f"{what}: colours may look different")
    is_told = bool(look_up_tables(image.stored.imagej))  # among what is lost of ImageJ
    if image.stored.colour_table is not None and not is_told and not kind.endswith("tiff"):
        notes.append(f"{kind.upper()} does not keep the pseudo-colours; values are written as grays")
    if image.alpha is not None and image.alpha_kind == "unspecified" and kind in ("png", "bmp"):
        notes.append("the last sample, whose meaning the input does not tell, is written as opacity")
    return notes


def _check_name(path: Path) -> None:
    encoded = os.fsencode(path)
    if b"\0" in encoded or path.name in ("", ".", ".."):
        raise OutputName("no file can have this name", path=path, hint="choose another")
    if len(os.fsencode(path.name)) > LONGEST_NAME or len(os.fsencode(path.absolute())) > LONGEST_PATH:
        why = f"names have up to {LONGEST_NAME} bytes, paths {LONGEST_PATH}"
        raise OutputName("the name of the output is too long", path=path, why=why, hint="choose a shorter one")


def _check_existing(path: Path, inputs: Sequence[StrPath], *, overwrite: bool, store: bool = False) -> None:
    """What stands under the name already?"""
    _check_nesting(path, inputs, store=store)
    try:
        there = path.stat()
    except FileNotFoundError:
        if path.is_symlink() and not overwrite:
            raise OutputExists("a link to nowhere has this name", path=path, hint="remove it") from None
        return
    for one in inputs:
        if Path(one).exists() and os.path.samestat(there, Path(one).stat()):
            why = f"it is the same file as the input {printable(one)}"
            raise WouldOverwriteInput(
                "the output would replace an input", path=path, why=why, hint="choose another name"
            )
    if stat.S_ISDIR(there.st_mode) and not (store and is_store(path)):
        what = "a folder that is not just a Zarr has this name" if store else "a folder has this name"
        raise OutputNotWritable(what, path=path, hint="choose another name" if store else "add the name of a file")
    if not stat.S_ISREG(there.st_mode) and not stat.S_ISDIR(there.st_mode):
        raise OutputNotWritable("this is a device or a pipe, not a file", path=path, hint="choose another name")
    if store and stat.S_ISREG(there.st_mode):
        raise OutputNotWritable("a file has this name, and a Zarr is a folder", path=path, hint="choose another name")
    if not overwrite:
        raise OutputExists("the output exists already", path=path, hint="say --overwrite, or choose another name")


def _check_nesting(path: Path, inputs: Iterable[StrPath], *, store: bool) -> None:
    """Does the output lie in an input that is a Zarr, or an input in the Zarr that would be replaced?"""
    real = Path(os.path.realpath(path))
    for one in inputs:
        source = Path(os.path.realpath(one))
        if (store and real in source.parents) or (source in real.parents and source.is_dir() and is_store(source)):
            why = f"one lies in the other, the input {printable(one)}"
            hint = "choose another name"
            raise WouldOverwriteInput("the output would change an input", path=path, why=why, hint=hint)


def _probe(path: Path, images: Sequence[Image], kind: str) -> None:
    """Can a file be made beside the output, and is there any chance that it fits?"""
    folder = path.parent
    if not folder.exists():
        if not folder.parent.is_dir():
            why = f"{printable(folder.parent)} is missing as well"
            raise OutputNotWritable("the folder of the output is missing", path=path, why=why, hint="create it first")
        folder = folder.parent  # the last folder is created when it is needed
    if not folder.is_dir():
        why = f"{printable(folder)} is not a folder"
        raise OutputNotWritable("the output cannot be written", path=path, why=why, hint="choose another folder")
    probe = temporary_name(folder / path.name)
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
    finally:
        probe.unlink(missing_ok=True)
    disk = os.statvfs(folder)
    size = sum(image.pixels.nbytes for image in images)
    needed = size if kind in ("bmp", "imagej-tiff") else size // DEFLATED
    if (free := disk.f_bavail * disk.f_frsize) < needed:
        why = f"about {needed / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free"
        raise NoSpace("no space for the output", path=path, why=why, hint="free some, or write to another disk")
