"""Which format a slide is written in, and what that format holds: everything that is known before pixels are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from dgno.errors import ConfigError, NoSpace, OutputFormat, printable
from dgno.io.exif import TURNS
from dgno.io.ome_versions import left_out
from dgno.io.ome_write import TYPES
from dgno.io.output import StrPath
from dgno.io.plane_losses import losses_of_planes
from dgno.io.slide import SlideFacts
from dgno.io.tile_codecs import SlideCompression

SlideKind = Literal["ome-tiff", "tiff-pyramid", "ome-zarr"]
KINDS: dict[str, SlideKind] = {  # by the end of a name, the longer ones first
    ".ome.tiff": "ome-tiff",
    ".ome.tif": "ome-tiff",
    ".ome.zarr": "ome-zarr",
    ".zarr": "ome-zarr",
    ".tiff": "tiff-pyramid",
    ".tif": "tiff-pyramid",
}
NO_PROPERTIES = ("ngff.", "zarr.", "tiff.Software")  # of the format or the program, and said anew
ENDINGS: dict[SlideKind, str] = {"ome-tiff": ".ome.tif", "tiff-pyramid": ".tif", "ome-zarr": ".ome.zarr"}


def slide_kind(path: StrPath) -> SlideKind:
    """The format that a name asks for; OutputFormat if it asks for none."""
    name = Path(path).name.lower()
    for ending, kind in KINDS.items():
        if name.endswith(ending):
            return kind
    came = Path(name).suffix or "no extension"
    raise OutputFormat(f"dgno does not write slides as {came}", path=path, hint=f"choose one of {', '.join(KINDS)}")


def check_slide(facts: SlideFacts, kind: SlideKind, compression: SlideCompression, quality: int) -> None:
    """Refuse a slide that the format cannot hold (OutputFormat), and senseless settings (ConfigError)."""
    if facts.dtype.name not in TYPES:
        raise OutputFormat(f"slides cannot hold {facts.dtype}", hint=f"convert to one of {', '.join(TYPES)}")
    if facts.samples not in (1, 3):
        raise OutputFormat(f"{facts.samples} samples a pixel; slides have 1 or 3", hint="write them as channels")
    if min(facts.shape) < 1 or facts.plane_count < 1:
        raise OutputFormat(f"a slide of {facts.shape} px and {facts.plane_count} planes has no pixels")
    if set(facts.axes) - set("TZC") or len(set(facts.axes)) < len(facts.axes) or len(facts.axes) != len(facts.sizes):
        raise OutputFormat(f"axes {facts.axes!r} of lengths {facts.sizes}; slides have T, Z and C", hint="name them so")
    if kind == "tiff-pyramid" and facts.plane_count > 1:
        what = f"TIFF with levels as pages holds one plane, not {facts.plane_count} ({facts.axes})"
        raise OutputFormat(what, hint="write .ome.tif or .ome.zarr, which hold them")
    if kind == "ome-zarr" and facts.samples == 3 and "C" in facts.axes:
        what = "OME-Zarr holds colours as channels, and the slide has channels as well"
        raise OutputFormat(what, hint="write .ome.tif, which holds both")
    if kind == "ome-zarr" and compression in ("jpeg", "lzw"):
        raise OutputFormat(f"OME-Zarr has no {compression}", hint="choose deflate, zstd or none")
    if compression == "jpeg" and facts.dtype.name != "uint8":
        raise OutputFormat(f"JPEG holds 8 bits, not {facts.dtype}", hint="choose deflate or zstd")
    if not 1 <= quality <= 100:
        raise ConfigError(f"a JPEG quality of {quality}", hint="choose 1 to 100")


def check_room(
    facts: SlideFacts, compression: SlideCompression, *, output: Path, scratch: Path, is_sparse: bool
) -> None:
    """Refuse what cannot fit (NoSpace): the scratch files, and an output that is not compressed.

    output, scratch : folders that are there
    is_sparse : parts of the slide may be blank, which takes little room
    """
    needs = {scratch: 0 if is_sparse else facts.nbytes * 5 // 16}  # levels 1 and 2 lie there at the same time
    needs[output] = needs.get(output, 0) + (facts.nbytes * 4 // 3 if compression == "none" and not is_sparse else 0)
    for folder, needed in needs.items():
        disk = os.statvfs(folder)
        if (free := disk.f_bavail * disk.f_frsize) < needed:
            why = f"about {needed / 1e6:,.1f} MB are needed in {printable(folder)}, {free / 1e6:,.1f} MB are free"
            raise NoSpace("no space for the slide", why=why, hint="free some, or use another disk")


def slide_losses(facts: SlideFacts, kind: SlideKind, compression: SlideCompression, quality: int) -> tuple[str, ...]:
    """What the format does not keep of the slide, in words for the user."""
    notes = []
    if compression == "jpeg":
        notes.append(f"JPEG is lossy (quality {quality}, no chroma subsampling); deflate and zstd are not")
    if kind == "tiff-pyramid" and facts.magnification is not None:
        notes.append("the magnification stands in the description, where other programs do not look for it")
    if kind == "tiff-pyramid" and facts.dtype.name != "uint8":
        notes.append(f"OpenSlide reads {facts.dtype} as 8 bits or not at all; tifffile reads it as it is")
    if kind == "ome-tiff":
        notes += left_out(facts.stored.ome_xml)
    if kind == "ome-zarr" and (turn := TURNS.get(facts.stored.orientation)):
        notes.append(f"OME-Zarr does not keep the orientation: viewers show the pixels as stored, {turn}")
    notes += losses_of_planes(facts.stored, kind, facts.value_range)
    if unnamed := sum(not key.startswith(NO_PROPERTIES) for key in facts.properties):
        what = "1 property is" if unnamed == 1 else f"{unnamed} properties are"
        notes.append(f"{what} left out that only the maker of the input has names for")
    return tuple(notes)
