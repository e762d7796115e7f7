"""What is known of a slide before anything is done to it: where tissue is, how it is blurred, its scale of values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Bool, Float, UInt8

from dgno.arrays import Affine, Image
from dgno.errors import ResumeError
from dgno.io.atomic import write_atomically, write_bytes
from dgno.io.checksum import file_sha256
from dgno.io.opening import os_error
from dgno.optics.blur_types import CELL
from dgno.restoration.assessment import BACKGROUND, Assessment
from dgno.restoration.block_store import Blocks, BlockStore, unpack
from dgno.restoration.feather import REACH, feather, touches
from dgno.restoration.image import Normalizer, by_percentiles, by_range, flat_samples
from dgno.restoration.tiling import Span

FACTS, SAMPLES, BLOCKS = "survey.json", "samples.npz", "blocks.bin"
LAYOUT = 1  # of these files


@dataclass(frozen=True, eq=False)
class PlaneSurvey:
    """How one plane of a slide is blurred, in squares of CELL px, kept on disk and asked for by windows.

    shape : (h, w) of level 0 in px
    min_confidence : how likely a type of blur had to be
    """

    shape: tuple[int, int]
    blocks: Blocks
    min_confidence: float = 0.0

    @property
    def squares(self) -> tuple[int, int]:
        """(rows, columns) of all squares; the last may reach beyond the plane."""
        return self.blocks.shape

    def assessment(self, rows: tuple[int, int], columns: tuple[int, int]) -> Assessment:
        """Of a window of squares, as of an image of its own."""
        height, width = (
            min(stop * CELL, n) - start * CELL for (start, stop), n in zip((rows, columns), self.shape, strict=True)
        )
        return unpack(self.blocks.read(rows, columns), (height, width), self.min_confidence)

    def types_in(self, rows: tuple[int, int], columns: tuple[int, int]) -> UInt8[np.ndarray, "rows columns"]:
        """Numbers of types in a window of squares; BACKGROUND where there is no tissue."""
        types: np.ndarray = self.blocks.read(rows, columns)["types"]
        return types

    def tissue_in(self, rows: tuple[int, int], columns: tuple[int, int]) -> Bool[np.ndarray, "rows columns"]:
        """Where there is tissue in a window of squares."""
        return self.types_in(rows, columns) != BACKGROUND

    def weights_in(self, wanted: int, blurred: Sequence[int], rows: Span, columns: Span) -> Float[np.ndarray, "h w"]:
        """`feather` at the pixels of a window, as it would be of the types of the whole plane."""
        types, down, along = self._around(rows, columns)
        return feather(types, wanted, blurred, down, along)

    def touches(self, wanted: int, rows: Span, columns: Span) -> bool:
        """Has the type any weight in this window of pixels?"""
        types, down, along = self._around(rows, columns)
        return touches(types, wanted, down, along)

    def has_tissue(self, rows: Span, columns: Span) -> bool:
        """Is there tissue in this window of pixels?"""
        squares = [(span.start // CELL, -(-span.stop // CELL)) for span in (rows, columns)]
        return bool(self.tissue_in(squares[0], squares[1]).any())

    def windows(self) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """The windows of squares, rows and columns, outside of which there is no tissue; row by row."""
        for i, j in np.argwhere(self.blocks.starts >= 0).tolist():
            down, along = self.blocks.block_shape(i, j)
            top, left = i * self.blocks.side, j * self.blocks.side
            yield (top, top + down), (left, left + along)

    def _around(self, rows: Span, columns: Span) -> tuple[UInt8[np.ndarray, "rows columns"], Span, Span]:
        """The types in and REACH px around a window, and the window counted from the first of them."""
        bounds = [
            (max(span.start - REACH, 0) // CELL, min(-(-(span.stop + REACH) // CELL), n))
            for span, n in zip((rows, columns), self.squares, strict=True)
        ]
        down, along = (span.seen_from(first * CELL) for span, (first, _) in zip((rows, columns), bounds, strict=True))
        return self.types_in(bounds[0], bounds[1]), down, along


@dataclass(frozen=True, eq=False)
class SlideSurvey:
    """The look at a slide.

    planes : those that were looked at, by their number
    samples : of each channel of theirs, windows spread evenly over the slide, as an image: what scales are taken from
    is_bright : are these colours on a bright ground?
    facts : how it was made, by key: what another run must agree with
    """

    planes: Mapping[int, PlaneSurvey]
    samples: Mapping[int, Image]
    is_bright: bool
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def usual(self) -> Normalizer:
        """The range of bright-field slides, the percentiles of others."""
        return by_range if self.is_bright else by_percentiles

    def affine(self, channel: int, normalize: Normalizer | None = None) -> Affine:
        """The map of a channel's values to [0, 1], the same for all of the slide."""
        return (normalize or self.usual)(self.samples[channel], 0)

    @property
    def flat(self) -> dict[int, dict[int, float]]:
        """Of each channel the samples that have one value wherever it was looked at."""
        return {channel: flat_samples(next(iter(image.planes()))) for channel, image in self.samples.items()}

    def types(self, plane: int, rows: Span, columns: Span) -> UInt8[np.ndarray, "rows columns"]:
        """Numbers of types in a window of squares of a plane; BACKGROUND where there is no tissue."""
        return self.planes[plane].types_in((rows.start, rows.stop), (columns.start, columns.stop))

    def save(self, folder: Path) -> None:
        """Write the survey as files into a folder; a missing last folder is made. The same survey gives the same bytes.

        The facts are written last: without them, or with others of the files beside them, nothing is loaded.
        """
        pieces = next((one.blocks.store.pieces() for one in self.planes.values()), iter(()))
        write_atomically(folder / BLOCKS, lambda file: file.writelines(pieces), lambda path: None)
        write_atomically(folder / SAMPLES, self._write_arrays, lambda path: None)
        known = {
            "layout": LAYOUT,
            "is_bright": self.is_bright,
            "facts": dict(self.facts),
            "planes": {
                str(i): {
                    "shape": one.shape,
                    "squares": one.squares,
                    "side": one.blocks.side,
                    "least": one.min_confidence,
                }
                for i, one in self.planes.items()
            },
            "ranges": {str(i): image.value_range for i, image in self.samples.items()},
            "sha256": {name: file_sha256(folder / name) for name in (BLOCKS, SAMPLES)},
        }
        text = json.dumps(known, sort_keys=True).encode() + b"\n"
        write_bytes(folder / FACTS, text)

    @classmethod
    def load(cls, folder: Path) -> SlideSurvey:
        """Read what `save` wrote. Raises ResumeError where that is not whole."""
        try:
            known = json.loads((folder / FACTS).read_bytes())
            same = known["layout"] == LAYOUT and all(
                file_sha256(folder / name) == digest for name, digest in known["sha256"].items()
            )
            if not same:
                raise ValueError("the files are not those of one survey")
            with np.load(folder / SAMPLES, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            store = BlockStore((folder / BLOCKS).open("rb"))
        except OSError as error:
            raise os_error(error, folder / FACTS) from error
        except (ValueError, KeyError, TypeError) as error:
            hint = "remove the folder, so that the slide is looked at again"
            raise ResumeError(
                "what was kept of the look at the slide is broken", path=folder, why=str(error), hint=hint
            ) from error
        planes = {
            int(i): PlaneSurvey(
                (one["shape"][0], one["shape"][1]),
                Blocks((one["squares"][0], one["squares"][1]), one["side"], found[f"starts {i}"], store),
                one["least"],
            )
            for i, one in known["planes"].items()
        }
        samples = {
            int(i): Image(found[f"sample {i}"], "YXS"[: found[f"sample {i}"].ndim], (low, high))
            for i, (low, high) in known["ranges"].items()
        }
        return cls(planes, samples, known["is_bright"], known["facts"])

    def _write_arrays(self, file: BinaryIO) -> None:
        arrays = {f"starts {i}": one.blocks.starts for i, one in self.planes.items()}
        arrays |= {f"sample {i}": image.pixels for i, image in self.samples.items()}
        np.savez(file, allow_pickle=False, **arrays)  # numpy stores no times in it
