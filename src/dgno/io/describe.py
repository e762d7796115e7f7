"""What a file says of itself, as plain values: for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from dgno.arrays import Image
from dgno.errors import ConfigError
from dgno.io.image import read_images
from dgno.io.limits import DEFAULT_LIMITS, Limits
from dgno.io.open_slide import is_slide, open_slide
from dgno.io.opening import open_input
from dgno.io.provenance import read_provenance
from dgno.io.slide import Slide
from dgno.io.tiff_levels import COMPRESSIONS
from dgno.io.tiff_read import codec_name
from dgno.io.tiff_structure import Structure
from dgno.io.zarr_metadata import read_multiscale

COMPRESSION = 259
PLAIN = {"png": "deflate", "jpeg": "jpeg", "bmp": "none"}


@dataclass(frozen=True)
class Described:
    """One image of a file. Sizes are (h, w) in px, pixel sizes (row, column) in um.

    axes : letters and lengths of the axes before Y and X
    levels : from the largest on: shape, downsample, tile and compression
    associated : (h, w) of label, macro, thumbnail, ... by name
    icc_profile : its length in bytes, 0 without one
    """

    kind: str
    format: str
    reader: str
    shape: tuple[int, int]
    axes: Mapping[str, int]
    samples: int
    dtype: str
    value_range: tuple[float, float]
    channel_names: tuple[str, ...]
    pixel_size: tuple[float, float] | None
    magnification: float | None
    icc_profile: int
    levels: tuple[Mapping[str, object], ...]
    associated: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, str] | None = None
    properties: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def describe(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> list[Described]:
    """The images of a file, or of the folder of an OME-Zarr. The pixels of slides are not decoded, but for samples of
    those whose range the file does not declare. Every failure is an InputError or OutOfMemory that names the file."""
    if path.is_dir() or is_slide(path, limits=limits):
        with open_slide(path, limits=limits) as slide:
            return [_of_slide(slide, _provenance(path, limits))]
    images = read_images(path, limits=limits)
    compression = _compression(path, limits)
    return [_of_image(image, compression, _provenance(path, limits)) for image in images]


def associated_image(path: Path, name: str, *, limits: Limits = DEFAULT_LIMITS) -> Image:
    """The label, macro, thumbnail, ... of a slide. Raises ConfigError if it has none of that name."""
    if not (path.is_dir() or is_slide(path, limits=limits)):
        raise ConfigError(f"{path.name} is no slide and has no picture {name!r}", hint="give a slide")
    with open_slide(path, limits=limits) as slide:
        return _picture(slide.read_associated(name))


def _picture(pixels: Shaped[np.ndarray, "h w c"]) -> Image:
    top = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in "iu" else 1.0
    if pixels.shape[-1] == 3:
        return Image(pixels, "YXS", (0.0, top))
    return Image(np.ascontiguousarray(pixels[..., 0]), "YX", (0.0, top))


def _of_slide(slide: Slide, provenance: Mapping[str, str] | None) -> Described:
    facts = slide.facts
    levels = [asdict(level) for level in slide.levels]
    return Described(
        "slide", slide.format, slide.reader, facts.shape, dict(zip(facts.axes, facts.sizes, strict=True)),
        facts.samples, str(facts.dtype), facts.value_range, facts.channel_names, facts.pixel_size,
        facts.magnification, len(facts.icc_profile or b""), tuple(levels), dict(slide.associated), slide.notes,
        provenance, dict(facts.properties),
    )  # fmt: skip


def _of_image(image: Image, compression: str, provenance: Mapping[str, str] | None) -> Described:
    *sizes, height, width = image.shape_without_samples
    level = {"shape": (height, width), "downsample": 1.0, "block": (height, width), "compression": compression}
    alpha = (f"with an alpha channel ({image.alpha_kind})",) if image.alpha is not None else ()
    return Described(
        "image", image.stored.format, "dgno", (height, width), dict(zip(image.axes, sizes, strict=False)),
        image.samples, str(image.pixels.dtype), image.value_range, image.channel_names, image.pixel_size,
        None, len(image.icc_profile or b""), (level,), notes=(*alpha, *image.notes), provenance=provenance,
    )  # fmt: skip


def _provenance(path: Path, limits: Limits) -> Mapping[str, str] | None:
    """What dgno wrote into the file; of an OME-Zarr, into the attribute "dgno"."""
    if path.is_dir():
        own = read_multiscale(path, limits).attributes.get("dgno")
        texts = own.get("provenance") if isinstance(own, Mapping) else None
        return {str(key): str(value) for key, value in texts.items()} if isinstance(texts, Mapping) else None
    with open_input(path) as opened:
        if opened.format not in ("tiff", "png", "jpeg"):
            return None
    return read_provenance(path, limits=limits)


def _compression(path: Path, limits: Limits) -> str:
    with open_input(path) as opened:
        if opened.format != "tiff":
            return PLAIN[opened.format]
        structure = Structure(opened.file, opened.size, limits)
        code = int(structure.integers(structure.first[COMPRESSION])[0]) if COMPRESSION in structure.first else 1
    return COMPRESSIONS.get(code) or codec_name(code).lower()
