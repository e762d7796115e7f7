"""The JSON of an OME-Zarr that is written: NGFF 0.4 on Zarr 2, or 0.5 on Zarr 3.

Arrays have all five axes t, c, z, y, x, as bioformats2raw writes them. Colours are three channels, and the attribute
`dgno` says that they belong together; it has what NGFF has no place for, too. Specification: ngff.openmicroscopy.org.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dgno.io.provenance import software
from dgno.io.pyramid import TILE, Grid
from dgno.io.slide import SlideFacts
from dgno.io.tiff_write import DEFLATE_LEVEL
from dgno.io.tile_codecs import ZSTD_LEVEL, SlideCompression

Ngff = Literal["0.4", "0.5"]
Json = dict[str, Any]  # Any: whatever JSON holds

AXES = "TCZ"
KINDS = {"T": "time", "C": "channel", "Z": "space"}
RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
PALETTE = ("0000FF", "00FF00", "FF0000", "FF00FF", "00FFFF", "FFFF00", "FFFFFF")  # as DAPI, FITC, TRITC are shown


def lengths(facts: SlideFacts) -> tuple[int, int, int]:
    """Of the axes t, c and z of the arrays; colours count as channels."""
    known = dict(zip(facts.axes, facts.sizes, strict=True))
    return known.get("T", 1), known.get("C", 1) * facts.samples, known.get("Z", 1)


def chunk_key(facts: SlideFacts, grid: Grid, number: int) -> str:
    """Where the chunk of a tile stands in its array: t/c/z/row/column; the colours of a pixel are in one chunk."""
    plane, row, column = grid.place(number)
    index = dict.fromkeys(AXES, 0)
    for axis, size in reversed(list(zip(facts.axes, facts.sizes, strict=True))):
        plane, index[axis] = divmod(plane, size)
    return "/".join(str(at) for at in (*(index[axis] for axis in AXES), row, column))


def array_document(facts: SlideFacts, grid: Grid, compression: SlideCompression, ngff: Ngff) -> Json:
    """`.zarray`, or the `zarr.json` of an array."""
    shape = [*lengths(facts), *grid.shape]
    chunks = [1, facts.samples, 1, TILE, TILE]
    fill: float | str = float(facts.fill) if facts.dtype.kind == "f" else int(facts.fill)
    if not math.isfinite(facts.fill):
        fill = "NaN" if math.isnan(facts.fill) else ("Infinity" if facts.fill > 0 else "-Infinity")
    if ngff == "0.4":
        codecs = {"deflate": {"id": "zlib", "level": DEFLATE_LEVEL}, "zstd": {"id": "zstd", "level": ZSTD_LEVEL}}
        return {
            "zarr_format": 2,
            "shape": shape,
            "chunks": chunks,
            "dtype": facts.dtype.newbyteorder("<").str,
            "compressor": codecs.get(compression),
            "fill_value": fill,
            "filters": None,
            "order": "C",
            "dimension_separator": "/",
        }
    squeezers = {
        "deflate": [{"name": "gzip", "configuration": {"level": DEFLATE_LEVEL}}],
        "zstd": [{"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}}],
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": facts.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, *squeezers.get(compression, [])],
        "fill_value": fill,
        "dimension_names": ["t", "c", "z", "y", "x"],
        "attributes": {},
    }


def group_attributes(facts: SlideFacts, levels: int, ngff: Ngff, provenance: Mapping[str, str] | None) -> Json:
    """The attributes of the group: multiscales and omero (0.5: under "ome"), and `dgno`. No names, which are optional:
    an output is the same whatever it is called."""
    image: Json = {
        "axes": _axes(facts),
        "datasets": [_dataset(facts, level) for level in range(levels)],
        "type": "mean",
        "metadata": {"method": "dgno.io.pyramid.halved", "version": software()},
    }
    omero: Json = {"channels": _channels(facts), "rdefs": _rdefs(facts)}
    if ngff == "0.4":
        outer: Json = {"multiscales": [{"version": ngff} | image], "omero": {"version": ngff} | omero}
    else:
        outer = {"ome": {"version": ngff, "multiscales": [image], "omero": omero}}
    return outer | {"dgno": _own(facts, provenance)}


def _axes(facts: SlideFacts) -> list[dict[str, str]]:
    """A unit for each axis along which the step is known."""
    planes, um = facts.stored.planes, {"unit": "micrometer"}
    units = {"T": {"unit": "second"} if planes.time_step else {}, "C": {}, "Z": um if planes.z_step else {}}
    axes = [{"name": axis.lower(), "type": KINDS[axis]} | units[axis] for axis in AXES]
    return [*axes, *({"name": axis, "type": "space"} | (um if facts.pixel_size else {}) for axis in "yx")]


def _dataset(facts: SlideFacts, level: int) -> Json:
    """A level and where its first pixel is: in the middle of those of level 0 that it is the mean of."""
    planes, sides = facts.stored.planes, facts.pixel_size or (1.0, 1.0)
    factors = [2 ** min(level, length.bit_length() - 1) for length in facts.shape]  # a side of 1 px stays one
    wide = [side * factor for side, factor in zip(sides, factors, strict=True)]
    transforms: list[Json] = [{"type": "scale", "scale": [planes.time_step or 1.0, 1.0, planes.z_step or 1.0, *wide]}]
    z, *origin = planes.origin if planes.origin and facts.pixel_size else (0.0, 0.0, 0.0)
    places = [start + (large - side) / 2 for start, large, side in zip(origin, wide, sides, strict=True)]
    if any((z, *places)):
        transforms.append({"type": "translation", "translation": [0.0, 0.0, z, *places]})
    return {"path": str(level), "coordinateTransformations": transforms}


def _channels(facts: SlideFacts) -> list[Json]:
    low, high = facts.value_range
    if facts.samples == 3:
        looks = list(RGB)
    else:
        names = facts.channel_names or tuple(f"channel {number}" for number in range(facts.channels))
        colours: tuple[str, ...] = PALETTE if facts.channels > 1 else PALETTE[-1:]
        if len(facts.stored.planes.colours) == facts.channels:
            colours = facts.stored.planes.colours
        looks = [(name, colours[number % len(colours)]) for number, name in enumerate(names)]
    shown = facts.stored.planes.shown
    ranges = shown if len(shown) == len(looks) else ((low, high),) * len(looks)
    kept: Sequence[Mapping[str, Any]] = facts.stored.display.get("channels", ())
    kept = kept if len(kept) == len(looks) else [{}] * len(looks)
    return [
        {"active": True, **own, "label": label, "color": colour}
        | {"window": {**_slider(own, (low, high)), "start": start, "end": end}}
        for (label, colour), (start, end), own in zip(looks, ranges, kept, strict=True)
    ]


def _slider(own: Mapping[str, Any], value_range: tuple[float, float]) -> Json:
    return {end: own.get("window", {}).get(end, value) for end, value in zip(("min", "max"), value_range, strict=True)}


def _rdefs(facts: SlideFacts) -> Json:
    """How the image is shown first: as the input, as far as the planes are there."""
    times, channels, slices = lengths(facts)
    usual = {"model": "color" if channels > 1 else "greyscale", "defaultT": 0, "defaultZ": 0}
    rdefs = usual | facts.stored.display.get("rdefs", {})
    for axis, length in (("defaultT", times), ("defaultZ", slices)):
        rdefs[axis] = rdefs[axis] if rdefs[axis] < length else 0
    return rdefs


def _own(facts: SlideFacts, provenance: Mapping[str, str] | None) -> Json:
    own: Json = {"software": software(), "samples": facts.samples, "value_range": list(facts.value_range)}
    own["channel_names"] = list(facts.channel_names)  # in omero all have one
    if facts.limits is not None:
        own["limits"] = list(facts.limits)
    if facts.magnification is not None:
        own["magnification"] = facts.magnification
    if facts.icc_profile:
        own["icc_profile"] = base64.b64encode(facts.icc_profile).decode()
    return own | ({"provenance": dict(sorted(provenance.items()))} if provenance else {})
