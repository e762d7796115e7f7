"""OME-TIFF whose planes are in several files beside each other, as its OME-XML says.

Only names inside the folder of the file that was given are opened; every file is checked like the first.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

from tifffile import TiffFile, TiffPage

from dgno.errors import UnreadableInput, UnsupportedInput
from dgno.io.limits import Limits, check_size
from dgno.io.ome import BadMetadataError, OmeImage, is_ome, parse_file_set
from dgno.io.opening import Opened, open_input
from dgno.io.slide import Level
from dgno.io.source import Source
from dgno.io.tiff_blocks import blocks_of
from dgno.io.tiff_levels import PlaneBlocks, Pyramid, check_colours, is_rgb, level_of
from dgno.io.tiff_read import ONE_FILE, WITHOUT_XML, Flags
from dgno.io.tiff_structure import Structure

MOST_FILES = 200  # that are open at once; systems allow 1,024 or fewer
HINT = "copy all its files, or save it as one"

Place = tuple[TiffPage, Source]


@dataclass(frozen=True)
class FileSet:
    """What the OME-XML says: the image, and the name of the file of each of its blocks ("": its own)."""

    ome: OmeImage
    names: tuple[str, ...]


def described_set(document: bytes, limits: Limits) -> FileSet | None:
    """The files that OME-XML describes; None if it is one, or the document is not used."""
    if not is_ome(document) or document.count(b"FileName") < 2:
        return None
    try:
        ome, names = parse_file_set(document, limits)
    except BadMetadataError:
        return None
    return FileSet(ome, names) if any(names) else None


def open_set(file_set: FileSet, opened: Opened, sources: list[Source], files: ExitStack, limits: Limits) -> Pyramid:
    """The planes and levels of a set of files. The sources of the others are added to `sources`, which holds the first
    one's; `files` closes the rest. Missing files are MissingInput."""
    ome = file_set.ome
    if len(set(file_set.names)) > MOST_FILES:
        raise UnsupportedInput(f"an OME-TIFF in more than {MOST_FILES} files", hint="save it as one")
    pages = _pages(file_set, opened, sources, files, limits)
    page = pages[0][0]
    check_colours(page, int(page.samplesperpixel))
    samples = 3 if is_rgb(page) else 1
    if int(page.samplesperpixel) != ome.samples or samples != ome.samples:
        raise UnsupportedInput(f"an OME-TIFF of {page.samplesperpixel} samples a pixel", hint="save channels as planes")
    if (page.imagelength, page.imagewidth) != (ome.sizes["Y"], ome.sizes["X"]):
        raise UnreadableInput("the pages of the OME-TIFF are of another size than its metadata say")
    lengths = {**ome.sizes, "C": ome.sizes["C"] // ome.samples}
    axes = [axis for axis in reversed(ome.order[2:]) if lengths[axis] > 1]
    check_size(replace(limits, pixels=2**62), page.imagewidth, page.imagelength, samples=lengths["C"])
    levels, planes = list[Level](), list[tuple[PlaneBlocks, ...]]()
    for places in _levels(pages):
        blocks = [blocks_of(one, one, source, limits) for one, source in places]
        level = level_of(places[0][0], blocks[0], levels)
        if level is not None:
            levels.append(level)
            planes.append(tuple(PlaneBlocks(one, None) for one in blocks))
    sizes = tuple(lengths[axis] for axis in axes)
    return Pyramid(page, "ome", "".join(axes), sizes, samples, tuple(levels), tuple(planes))


def _pages(file_set: FileSet, opened: Opened, sources: list[Source], files: ExitStack, limits: Limits) -> list[Place]:
    """The page of every plane, in the order of planes."""
    known: dict[str, tuple[TiffFile, Source]] = {}
    found: dict[int, Place] = {}
    for (plane, first, count), name in zip(file_set.ome.blocks, file_set.names, strict=True):
        if name not in known:
            known[name] = _file(name, opened, sources, files, limits)
        tiff, source = known[name]
        if first + count > len(tiff.pages):
            why = f"pages {first} to {first + count - 1} are described, it has {len(tiff.pages)}"
            raise UnreadableInput(
                f"the file {name or opened.path.name} of the OME-TIFF lacks pages", why=why, hint=HINT
            )
        for number in range(count):
            page = tiff.pages[first + number]
            assert isinstance(page, TiffPage)
            found[plane + number] = (page, source)
    if len(found) != file_set.ome.planes:
        raise UnreadableInput(f"the OME-TIFF has {len(found)} of {file_set.ome.planes} planes", hint=HINT)
    pages = [found[plane] for plane in range(file_set.ome.planes)]
    _check_alike([page for page, _ in pages])
    return pages


def _file(
    name: str, opened: Opened, sources: list[Source], files: ExitStack, limits: Limits
) -> tuple[TiffFile, Source]:
    """A file of the set; the one that was given has no name here."""
    source = sources[0]
    if name:
        opened = files.enter_context(open_input(opened.path.with_name(name)))
        if opened.format != "tiff":
            raise UnreadableInput(f"the file {name} of the OME-TIFF is {opened.format.upper()}", path=opened.path)
        source = Source(opened)
        sources.append(source)
        Structure(opened.file, opened.size, limits)
    opened.file.seek(0)
    flags: Flags = {**ONE_FILE, **WITHOUT_XML, "is_uniform": False, "_multifile": False}
    return files.enter_context(TiffFile(opened.file, name=opened.path.name, **flags)), source


def _levels(pages: list[Place]) -> list[list[Place]]:
    """The pages of level 0, and of the levels in their SubIFDs, where all planes have them."""
    below = [list(page.pages or ()) for page, _ in pages]
    levels = [pages]
    for number in range(min(map(len, below))):
        level = [(subs[number], source) for subs, (_, source) in zip(below, pages, strict=True)]
        places = [(page, source) for page, source in level if isinstance(page, TiffPage)]
        _check_alike([page for page, _ in places])
        levels.append(places)
    return levels


def _check_alike(pages: list[TiffPage]) -> None:
    """Pages of one level have one size, type and way of storing."""
    kinds = {(p.shape, p.dtype, p.samplesperpixel, p.planarconfig, p.photometric, p.chunks) for p in pages}
    if len(kinds) > 1:
        raise UnreadableInput("the pages of the OME-TIFF differ", why=f"{len(kinds)} sizes or types", hint=HINT)
