"""What formats do not keep of the planes of a stack, and of ImageJ's metadata."""

from __future__ import annotations

import numpy as np

from dgno.io.plane_facts import look_up_tables
from dgno.io.provenance import INFO_KEY
from dgno.stored import Stored

BLOCKS = {"Labels": "labels of slices", "Overlays": "overlays", "ROI": "region", "Properties": "properties"}


def losses_of_planes(stored: Stored, kind: str, value_range: tuple[float, float]) -> tuple[str, ...]:
    """What of this a format other than the input's own does not keep, in words for the user.

    kind : of the output: "tiff", "tiff-pyramid", "ome-tiff", "ome-zarr", "png", "jpeg" or "bmp"
    """
    facts, imagej, lost = stored.planes, stored.imagej, []
    has_steps = kind in ("ome-tiff", "ome-zarr")
    if imagej.get("spacing") and not (has_steps and facts.z_step):
        lost.append("spacing")
    if imagej.get("finterval") and not (has_steps and facts.time_step):
        lost.append("frame interval")
    tables = look_up_tables(imagej)
    if tables and not (has_steps and facts.colours):
        lost.append("look-up tables")
    elif not all(map(_is_ramp, tables)):
        lost.append("look-up tables but for the colours at their ends")
    info = str(imagej.get("Info", "")).splitlines()
    lost += ["info"] if any(line and not line.startswith(INFO_KEY) for line in info) else []
    lost += [name for key, name in BLOCKS.items() if imagej.get(key)]
    notes = [f"ImageJ's {', '.join(lost)}: left out, the format has no place for it"] if lost else []
    if kind != "ome-zarr" and any(shown != value_range for shown in facts.shown):
        notes.append("the ranges that the channels are shown in are left out")
    if kind != "ome-zarr" and facts.origin and any(facts.origin):
        notes.append("the place of the image (translation) is left out")
    return tuple(notes)


def _is_ramp(table: np.ndarray) -> bool:
    """Do colours rise evenly from black to that of the end?"""
    ramp = table[:, -1:] * np.linspace(0, 1, table.shape[1])
    return bool(np.abs(ramp - table).max() <= 1)
