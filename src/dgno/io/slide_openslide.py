"""Slides that OpenSlide reads and tifffile does not: MIRAX, Hamamatsu VMS, Zeiss, DICOM, odd vendors' TIFF.

OpenSlide gives RGBA, premultiplied; what was never scanned is transparent. Here that is laid on the background colour
of the slide, white if it names none. After an error OpenSlide refuses everything, so the slide is opened anew then.
OpenSlide takes corners in whole pixels of level 0: a block of a level whose factor is not whole begins between pixels
of the level, and is interpolated.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from dgno.arrays import Plane
from dgno.errors import ConfigError, UnknownFormat, UnreadableInput, UnsupportedCodec
from dgno.io import pixel_size
from dgno.io.block_slide import CACHE_BYTES, Block, BlockSlide
from dgno.io.limits import DEFAULT_LIMITS, Limits, check_size
from dgno.io.opening import naming, shortened
from dgno.io.slide import Level, OnBadTile, SlideFacts
from dgno.stored import Stored

EXTRA = "pip install 'dgno[slides]'"
BLOCK = 512  # px of a block where OpenSlide does not name its tiles
LONGEST_TEXT = 2000


class OpenSlideReader(BlockSlide):
    """A slide read by OpenSlide."""

    reader = "openslide"

    def __init__(
        self,
        path: Path,
        *,
        on_bad_tile: OnBadTile = "fail",
        limits: Limits = DEFAULT_LIMITS,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        super().__init__(on_bad_tile=on_bad_tile, cache_bytes=cache_bytes)
        self.path, self._lock_slide = path, threading.Lock()
        with naming(path):
            self._library = openslide_library()
            self._slide = self._opened()
            try:
                self._describe(limits)
            except BaseException:
                self._slide.close()
                raise

    def fetch(self, level: int, plane: int, block: Block) -> Plane:
        return _on_background(self._region(level, block), self._background)

    def is_stored(self, level: int, plane: int, block: Block) -> bool:
        return True  # OpenSlide does not tell without reading

    def read_associated(self, name: str) -> Shaped[np.ndarray, "h w c"]:
        if name not in self.associated:
            there = ", ".join(self.associated) or "none"
            raise ConfigError(f"the slide has no picture {name!r}", hint=f"those it has: {there}")
        with naming(self.path), self._lock_slide:
            try:
                return _on_background(np.asarray(self._slide.associated_images[name]), self._background)
            except self._library.OpenSlideError as error:
                self._slide = self._opened()
                raise UnreadableInput(f"the picture {name} cannot be read", why=shortened(error)) from error

    def fingerprint(self) -> tuple[int, ...]:
        """Of the file, and of those in the folder of its name beside it, where MIRAX has its pixels."""
        beside = self.path.with_suffix("")
        files = [self.path, *(sorted(p for p in beside.iterdir() if p.is_file()) if beside.is_dir() else ())]
        facts = [file.stat() for file in files]
        return tuple(n for f in facts for n in (f.st_dev, f.st_ino, f.st_size, f.st_mtime_ns))

    def close(self) -> None:
        super().close()
        with self._lock_slide:
            self._slide.close()

    def _opened(self) -> Any:  # Any: the package has no types that mypy could check without it
        try:
            return self._library.OpenSlide(os.fspath(self.path))
        except self._library.OpenSlideUnsupportedFormatError as error:
            raise UnknownFormat("not a slide that OpenSlide knows", why=shortened(error)) from error
        except self._library.OpenSlideError as error:
            raise UnreadableInput("OpenSlide cannot open the slide", why=shortened(error)) from error

    def _region(self, level: int, block: Block) -> UInt8[np.ndarray, "h w 4"]:
        """RGBA of a block. OpenSlide wants the corner in px of level 0, and the size in px of the level."""
        (top, bottom), (left, right) = block.rows, block.columns
        factor = self._slide.level_downsamples[level]
        corner, size = (round(left * factor), round(top * factor)), (right - left, bottom - top)
        with self._lock_slide:
            try:
                return np.asarray(self._slide.read_region(corner, level, size))
            except self._library.OpenSlideError as error:
                self._slide.close()
                self._slide = self._opened()
                raise UnreadableInput("OpenSlide cannot read it", why=shortened(error)) from error

    def _describe(self, limits: Limits) -> None:
        slide, facts = self._slide, dict(self._slide.properties)
        self.format = str(facts.get("openslide.vendor", "openslide"))
        levels: list[Level] = []
        for number, (width, height) in enumerate(slide.level_dimensions):
            tall, wide = (
                int(facts.get(f"openslide.level[{number}].tile-{side}", BLOCK)) for side in ("height", "width")
            )
            block = (min(tall, height), min(wide, width))
            check_size(limits, block[1], block[0])
            levels.append(Level((height, width), float(slide.level_downsamples[number]), block, "unknown"))
        self.levels = tuple(levels)
        self.associated = _pictures(facts)
        colour = str(facts.get("openslide.background-color", "ffffff"))
        self._background = np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)], np.uint8)
        size, notes = _pixel_size(facts)
        self.facts = SlideFacts(
            self.levels[0].shape, np.dtype(np.uint8), 3, value_range=(0.0, 255.0),
            pixel_size=size,
            magnification=_number(facts.get("openslide.objective-power")),
            icc_profile=_profile(slide),
            fill=float(self._background[1]),
            properties={key: str(value)[:LONGEST_TEXT] for key, value in facts.items() if len(key) < LONGEST_TEXT},
            stored=Stored(),
        )  # fmt: skip
        self.notes = notes


def openslide_library() -> Any:  # Any: the package is optional
    """The package openslide, or UnsupportedCodec that says how to get it."""
    try:
        import openslide
    except ImportError as error:
        raise UnsupportedCodec("this slide needs OpenSlide", why=shortened(error), hint=EXTRA) from error
    return openslide


def vendor_of(path: Path) -> str | None:
    """What OpenSlide takes the file for; None if it does not know it, or is not installed."""
    try:
        library = openslide_library()
        vendor = library.OpenSlide.detect_format(os.fspath(path))
    except Exception:  # whatever a look at a strange file raises; opening it will say more
        return None
    return None if vendor is None else str(vendor)


def _pictures(facts: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Sizes of label, macro, ... without decoding them."""
    prefix, ending = "openslide.associated.", ".height"
    names = [key[len(prefix) : -len(ending)] for key in facts if key.startswith(prefix) and key.endswith(ending)]
    return {name: (int(facts[f"{prefix}{name}.height"]), int(facts[f"{prefix}{name}.width"])) for name in names}


def _on_background(
    pixels: UInt8[np.ndarray, "h w 4"], background: UInt8[np.ndarray, " 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Straight RGBA on a colour: alpha colour + (1 - alpha) background, rounded."""
    alpha = pixels[..., 3:].astype(np.uint16)
    if (alpha == 255).all():
        return np.ascontiguousarray(pixels[..., :3])
    mixed = pixels[..., :3] * alpha + background * (255 - alpha)
    return ((mixed.astype(np.uint32) + 127) // 255).astype(np.uint8)


def _pixel_size(facts: dict[str, str]) -> tuple[pixel_size.PixelSize | None, tuple[str, ...]]:
    x, y = (_number(facts.get(f"openslide.mpp-{axis}")) for axis in "xy")
    if x is None or y is None:
        return None, ()
    return pixel_size.checked(y, x, source="OpenSlide mpp")


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _profile(slide: Any) -> bytes | None:
    profile = getattr(slide, "color_profile", None)
    return profile.tobytes() if profile is not None else None
