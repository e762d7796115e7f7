"""The metadata of an OME-Zarr: NGFF 0.4 (zarr 2: .zattrs) and 0.5 (zarr 3: zarr.json), read with suspicion.

Specification: ngff.openmicroscopy.org, "multiscales", "omero". dgno's own attribute `{"dgno": {"samples": 3}}` says
that the axis c is the colours of a pixel. Its `complete.json`, written last, has the CRC-32 of every chunk file by key
as eight hexadecimal digits, and null for chunks that were left out because all of them is the fill value:

    {"chunks": {"0/c/0/0/0": "9ae0daaf", "0/c/0/0/1": null}}
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dgno.errors import InputTooLarge, UnknownFormat, UnreadableInput, UnsupportedInput
from dgno.io import pixel_size
from dgno.io.limits import Limits
from dgno.io.opening import open_regular
from dgno.io.plane_facts import channels_of, display_of, of_omero, seconds, step
from dgno.io.slide import checked_magnification
from dgno.stored import PlaneFacts
from dgno.value_ranges import Range

Json = Mapping[str, Any]  # Any: whatever JSON holds
AXES = {"t": "T", "c": "C", "z": "Z", "y": "Y", "x": "X"}
KNOWN = ("ome", "multiscales", "omero", "dgno", "_creator", "image-label", "labels")
LONGEST_TEXT = 2000  # characters of an attribute
COMPLETE = "complete.json"
MANY_CHUNKS = 2**31  # bytes of complete.json


@dataclass(frozen=True)
class Multiscale:
    """What a group says of its image.

    version : of NGFF
    axes : letters of all axes, the first slowest
    paths : of the arrays of the levels
    pixel_size : (row, column) of level 0 in um, checked
    planes : steps along Z and T, and how channels are shown
    display : see `Stored`
    samples : 3 if the axis C is the colours of a pixel, else 1
    chunks : checksum of every chunk by its key, None where it was left out; empty without `complete.json`
    """

    version: str
    axes: str
    paths: tuple[str, ...]
    pixel_size: tuple[float, float] | None
    channel_names: tuple[str, ...]
    planes: PlaneFacts
    display: Json
    samples: int
    attributes: Json
    chunks: Mapping[str, str | None]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class OwnFacts:
    """What dgno writes of a slide, and NGFF has no place for; see SlideFacts. None, or nothing, where it is not said.

    channel_names : in omero every channel has a name, and so has every colour
    """

    value_range: Range | None = None
    limits: Range | None = None
    magnification: float | None = None
    channel_names: tuple[str, ...] | None = None
    icc_profile: bytes | None = None


def own_facts(attributes: Json) -> OwnFacts:
    """The attribute "dgno"; what makes no sense in it is passed over."""
    own = attributes.get("dgno")
    if not isinstance(own, Mapping):
        return OwnFacts()
    names = own.get("channel_names")
    try:
        profile = base64.b64decode(own["icc_profile"], validate=True)
    except (KeyError, TypeError, ValueError):
        profile = b""
    return OwnFacts(
        _range(own.get("value_range")),
        _range(own.get("limits")),
        checked_magnification(own.get("magnification")),
        tuple(map(str, names)) if isinstance(names, list) else None,
        profile or None,
    )


def more_attributes(attributes: Json) -> dict[str, str]:
    """Attributes of the group that neither NGFF nor dgno has, as text by name."""
    others = (key for key in attributes if key not in KNOWN and not key.startswith("bioformats2raw"))
    return {f"attributes.{key}": json.dumps(attributes[key])[:LONGEST_TEXT] for key in others}


def _range(said: object) -> Range | None:
    """Two numbers that rise; None for what is none."""
    try:
        low, high = (float(number) for number in said)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None
    return (low, high) if math.isfinite(high - low) and low < high else None


def is_zarr(folder: Path) -> bool:
    """Has the folder the metadata of a zarr group or array?"""
    return any((folder / name).is_file() for name in (".zgroup", ".zattrs", "zarr.json", ".zarray"))


def read_multiscale(folder: Path, limits: Limits) -> Multiscale:
    """The first multiscale image of a group; UnreadableInput or UnknownFormat if there is none that makes sense."""
    attributes = _attributes(folder, limits)
    inner = attributes.get("ome", attributes)
    images = inner.get("multiscales") if isinstance(inner, Mapping) else None
    if not isinstance(images, list) or not images:
        hint = "give the folder of one image: inside a plate or a collection they are folders of their own"
        raise UnknownFormat("a zarr without the multiscales of an OME-Zarr", hint=hint)
    try:
        return _multiscale(images[0], inner, attributes, _chunks(folder), len(images))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        why = f"{type(error).__name__}: {error}"
        raise UnreadableInput("the multiscales of the OME-Zarr make no sense", why=why) from error


def read_json(path: Path, limit: int) -> Json:
    """An object of a JSON file of up to `limit` bytes."""
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InputTooLarge(f"{path.name} has more than {limit:,} bytes")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(f"{path.name} is no JSON", why=str(error)[:200]) from error
    if not isinstance(value, dict):
        raise UnreadableInput(f"{path.name} holds no JSON object")
    return value


def _attributes(folder: Path, limits: Limits) -> Json:
    if (folder / "zarr.json").is_file():
        document = read_json(folder / "zarr.json", limits.metadata_bytes)
        if document.get("node_type") != "group":
            raise UnknownFormat("a zarr array, and no group", hint="give the folder of the OME-Zarr above it")
        attributes = document.get("attributes", {})
    elif (folder / ".zattrs").is_file():
        attributes = read_json(folder / ".zattrs", limits.metadata_bytes)
    else:
        raise UnknownFormat("a zarr without metadata of an image", why=".zattrs or zarr.json is missing")
    if not isinstance(attributes, dict):
        raise UnreadableInput("the attributes of the zarr are no JSON object")
    return attributes


def _multiscale(
    image: Json, inner: Json, attributes: Json, chunks: Mapping[str, str | None], images: int
) -> Multiscale:
    axes, units = _axes(image)
    datasets: Sequence[Json] = image["datasets"]
    paths = tuple(_inside(str(dataset["path"])) for dataset in datasets)
    if not paths:
        raise ValueError("no datasets")
    own = attributes.get("dgno", {})
    samples = int(own.get("samples", 1)) if isinstance(own, Mapping) else 1
    if samples not in (1, 3):
        raise ValueError(f"samples {samples}")
    scale, origin = _transformed(axes, [datasets[0], image])
    size, notes = _pixel_size(scale, units)
    more = (f"the first of the {images} images of the group",) if images > 1 else ()
    version = str(inner.get("version") or image.get("version") or "")
    names = _channel_names(inner.get("omero"))
    planes, display = _planes(axes, units, scale, origin, inner.get("omero")), display_of(inner.get("omero"))
    return Multiscale(version, axes, paths, size, names, planes, display, samples, attributes, chunks, (*more, *notes))


def _axes(image: Json) -> tuple[str, list[str]]:
    """Letters and units of the axes; before 0.3 there were always five."""
    axes = [{"name": a} if isinstance(a, str) else a for a in image.get("axes", list("tczyx"))]
    names = [str(axis["name"]).lower() for axis in axes]
    if len(set(names)) != len(names) or names[-2:] != ["y", "x"] or not set(names) <= set(AXES):
        hint = "dgno reads the axes t, c and z before y and x"
        raise UnsupportedInput(f"an OME-Zarr with axes {', '.join(names)}", hint=hint)
    return "".join(AXES[name] for name in names), [str(axis.get("unit", "")) for axis in axes]


def _inside(path: str) -> str:
    """A path that does not leave the group."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise ValueError(f"path {path!r}")
    return path


def _transformed(axes: str, parts: list[Json]) -> tuple[list[float] | None, list[float]]:
    """The product of all scales along each axis, None without any; and where the first pixel is."""
    scale, origin = [1.0] * len(axes), [0.0] * len(axes)
    found = False
    for transform in (t for part in parts for t in part.get("coordinateTransformations", ())):
        if transform.get("type") == "scale":
            by = [float(number) for number in transform["scale"]]
            scale = [a * b for a, b in zip(scale, by, strict=True)]
            origin = [a * b for a, b in zip(origin, by, strict=True)]
            found = True
        elif isinstance(transform.get("translation"), list):
            origin = [a + float(b) for a, b in zip(origin, transform["translation"], strict=True)]
    return scale if found else None, origin


def _pixel_size(scale: list[float] | None, units: list[str]) -> tuple[pixel_size.PixelSize | None, tuple[str, ...]]:
    """In um; None without a unit of length."""
    rows, columns = (pixel_size.micrometres(unit) for unit in units[-2:])
    if scale is None or rows is None or columns is None:
        return None, ()
    return pixel_size.checked(scale[-2] * rows, scale[-1] * columns, source="OME-Zarr")


def _planes(axes: str, units: list[str], scale: list[float] | None, origin: list[float], omero: object) -> PlaneFacts:
    steps, colours = dict(zip(axes, zip(scale or (), units, strict=False), strict=False)), of_omero(omero)
    z_step, z_unit = steps.get("Z", (0.0, ""))
    time_step, time_unit = steps.get("T", (0.0, ""))
    places = {
        axis: place * (pixel_size.micrometres(unit) or math.nan) if place else 0.0
        for axis, place, unit in zip(axes, origin, units, strict=True)
        if axis in "ZYX"
    }
    z, rows, columns = (places.get(axis, 0.0) for axis in "ZYX")
    return PlaneFacts(
        step(z_step, pixel_size.micrometres(z_unit)),
        step(time_step, seconds(time_unit)),
        *colours,
        (z, rows, columns) if math.isfinite(z + rows + columns) and any((z, rows, columns)) else None,
    )


def _channel_names(omero: Any) -> tuple[str, ...]:  # Any: JSON
    names = tuple(str(channel.get("label", "")) for channel in channels_of(omero))
    return names if any(names) else ()


def _chunks(folder: Path) -> Mapping[str, str | None]:
    path = folder / COMPLETE
    if not os.path.lexists(path):
        return {}
    chunks = read_json(path, MANY_CHUNKS).get("chunks", {})
    if not isinstance(chunks, dict):
        raise UnreadableInput(f"{COMPLETE} does not list chunks")
    return chunks
