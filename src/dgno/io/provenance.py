"""What an output says of how it was made: text by key, stored where the format has a place for it.

TIFF: the JSON of the description, under "dgno"; OME-TIFF: a map annotation; ImageJ: a line of the Info text; PNG: text
under the keyword "dgno"; JPEG: a comment; BMP: text between palette and pixels; OME-Zarr: the attribute "dgno" of the
group.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import tifffile

from dgno.io import bmp
from dgno.io.jpeg import read_header
from dgno.io.limits import DEFAULT_LIMITS, Limits, check_file
from dgno.io.ome import BadMetadataError, is_ome, local, parse_xml
from dgno.io.opening import Opened, naming, open_input
from dgno.io.png import text_of
from dgno.io.tiff_structure import Structure

NAMESPACE = "dgno"
INFO_KEY = "dgno: "


@cache
def software() -> str:
    """Name and version of this program."""
    return f"dgno {version('dgno')}"


def encoded(provenance: Mapping[str, str] | None) -> bytes:
    """JSON in ASCII, keys in order; nothing for nothing."""
    return json.dumps(provenance, sort_keys=True).encode() if provenance else b""


def read_provenance(path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> dict[str, str] | None:
    """What `write_images` was told of the file at `path`; None if it was not written by dgno, or says nothing."""
    if Path(path).is_dir():
        return _of_zarr(Path(path), limits)
    with open_input(path) as opened:
        if opened.format != "tiff":
            check_file(limits, opened.size)
        if opened.format == "png":
            return _decoded(text_of(opened, b"dgno", limits))
        if opened.format == "jpeg":
            return _decoded(read_header(opened.file.read()).comment)
        if opened.format == "bmp":
            return _decoded(bmp.text_of(opened.file.read()))
        return _of_tiff(opened, limits) if opened.format == "tiff" else None


def differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The keys of `wanted` that `found` has otherwise; of values that are JSON objects, which of their keys too."""
    return [_named(key, found.get(key), value) for key, value in wanted.items() if found.get(key) != value]


def _named(key: str, one: str | None, other: str) -> str:
    ours, theirs = _json((one or "").encode()), _json(other.encode())
    inner = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    return f"{key} ({', '.join(inner)})" if ours and inner else key


def _of_tiff(opened: Opened, limits: Limits) -> dict[str, str] | None:
    description = Structure(opened.file, opened.size, limits).description()
    if is_ome(description):
        return _of_ome(description, limits)
    if description.startswith(b"{"):
        return _texts(_json(description).get("dgno"))
    if not description.startswith(b"ImageJ="):
        return None
    opened.file.seek(0)
    with tifffile.TiffFile(opened.file, name=opened.path.name) as tiff:
        lines = str((tiff.imagej_metadata or {}).get("Info", "")).splitlines()
    return next((_decoded(line[len(INFO_KEY) :].encode()) for line in lines if line.startswith(INFO_KEY)), None)


def _of_ome(description: bytes, limits: Limits) -> dict[str, str] | None:
    try:
        root = parse_xml(description, limits)
    except BadMetadataError:
        return None
    ours = (e for e in root.iter() if local(e) == "MapAnnotation" and e.get("Namespace") == NAMESPACE)
    pairs = {e.get("K", ""): e.text or "" for annotation in ours for e in annotation.iter() if local(e) == "M"}
    return pairs or None


def _of_zarr(folder: Path, limits: Limits) -> dict[str, str] | None:
    """Of a group of Zarr 2 or 3; None for any other folder."""
    for name in (".zattrs", "zarr.json"):
        if not (folder / name).is_file():
            continue
        with naming(folder), (folder / name).open("rb") as file:
            document = _json(file.read(limits.metadata_bytes))
        inner = document.get("attributes", {}) if name == "zarr.json" else document
        own = inner.get("dgno") if isinstance(inner, dict) else None
        return _texts(own.get("provenance")) if isinstance(own, dict) else None
    return None


def _decoded(text: bytes | None) -> dict[str, str] | None:
    return _texts(_json(text or b""))


def _json(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> dict[str, str] | None:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) and value else None
