"""Write slides with all their levels, streamed: memory does not grow with the slide.

ome-tiff        one file, levels as SubIFDs: QuPath, Bio-Formats, tifffile
tiff-pyramid    one file, levels as pages, one plane: OpenSlide, tiffslide, libvips, QuPath
ome-zarr        a folder of chunks: napari, ome-zarr, QuPath
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from dgno.errors import OutputNotWritable, about
from dgno.io.atomic import write_atomically
from dgno.io.output import StrPath, check_place
from dgno.io.pyramid import Blank, Pyramid, Source
from dgno.io.slide import SlideFacts
from dgno.io.slide_output import SlideKind, check_room, check_slide, slide_losses
from dgno.io.tiff_pyramid import TiffPyramid
from dgno.io.tile_codecs import SlideCompression
from dgno.io.zarr_documents import Ngff
from dgno.io.zarr_store import write_store
from dgno.io.zarr_write import ZarrPyramid

__all__ = ["write_slide"]


def write_slide(  # noqa: PLR0913  # as the command has options
    path: StrPath,
    facts: SlideFacts,
    source: Source,
    *,
    kind: SlideKind,
    compression: SlideCompression = "deflate",
    quality: int = 90,
    provenance: Mapping[str, str] | None = None,
    overwrite: bool = False,
    inputs: Iterable[StrPath] = (),
    blank: Blank | None = None,
    progress: Callable[[float], None] = lambda share: None,
    scratch: StrPath | None = None,
    workers: int = 1,
    ngff: Ngff = "0.4",
) -> tuple[str, ...]:
    """Write a slide, level 0 from `source` and the others from that.

    source : (rows, columns, plane) -> (h, w, samples) in the dtype of the facts; windows of level 0 in px, asked once
        for each tile of each plane, plane by plane and row by row
    compression : "deflate", "lzw" (not for OME-Zarr), "zstd", "none", or "jpeg" (TIFF of 8 bits) with its `quality`
    provenance : what made the slide, by key; see `read_provenance`
    overwrite : replace what has that name
    inputs : files that are never replaced, whatever name leads to them
    blank : (rows, columns, plane) -> is the window all `fill`? Then `source` is not asked
    progress : told the share that is done, in [0, 1]
    scratch : folder for what the smaller levels are made of, up to a third of the pixels; that of `path` if not given
    workers : threads that halve and encode; `source` is always asked by the caller's
    ngff : version of OME-Zarr: "0.4" (Zarr 2), which all readers know, or "0.5" (Zarr 3)
    Returns notes on what the format does not keep. Every failure is an OutputError, OutOfMemory or what `source`
    raised; then nothing has changed on the disk. Equal arguments give equal bytes.
    """
    path = Path(path)
    with about(path):
        check_slide(facts, kind, compression, quality)
    check_place(path, inputs=tuple(inputs), overwrite=overwrite, store=kind == "ome-zarr")
    with about(path):
        folder = _scratch_folder(path, scratch, facts, compression, is_sparse=blank is not None)
    with Pyramid(facts, source, blank=blank, folder=folder) as pyramid:
        done = _Progress(pyramid.tile_count, progress)
        if kind == "ome-zarr":
            store = ZarrPyramid(
                pyramid, ngff, compression=compression, provenance=provenance, workers=workers, done=done
            )
            write_store(path, store.write, store.check)
        else:
            tiff = TiffPyramid(
                pyramid,
                kind,
                compression=compression,
                quality=quality,
                provenance=provenance,
                workers=workers,
                done=done,
            )
            write_atomically(path, tiff.write, tiff.check)
    return slide_losses(facts, kind, compression, quality)


def _scratch_folder(
    path: Path, scratch: StrPath | None, facts: SlideFacts, compression: SlideCompression, *, is_sparse: bool
) -> Path:
    """Where scratch files go; refuses a folder that is missing, and a slide for which there is no room."""
    if scratch is not None and not Path(scratch).is_dir():
        raise OutputNotWritable("the folder for scratch files is missing", path=scratch, hint="create it first")
    parent = path.resolve().parent
    here = parent if parent.exists() else parent.parent  # the last folder is created when it is needed
    check_room(facts, compression, output=here, scratch=Path(scratch or here), is_sparse=is_sparse)
    return Path(scratch or parent)


class _Progress:
    """Counts tiles."""

    def __init__(self, tiles: int, tell: Callable[[float], None]) -> None:
        self.tiles, self.tell, self.written = tiles, tell, 0

    def __call__(self) -> None:
        self.written += 1
        self.tell(self.written / self.tiles)
