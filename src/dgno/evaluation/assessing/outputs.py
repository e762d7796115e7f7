"""The files that an assessment of one image leaves: a picture of each scene, maps, and polygons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from dgno.arrays import Image
from dgno.evaluation.assessing.geojson import as_geojson
from dgno.evaluation.assessing.overlay import draw_overlay
from dgno.evaluation.assessing.scenes import Scene
from dgno.evaluation.saving import save_text
from dgno.io.atomic import write_bytes
from dgno.io.image import write_image
from dgno.io.output import check_place
from dgno.optics.blur_types import CELL

MAPS = {"types": "types.tif", "strength": "strength.tif", "defocus": "defocus.tif"}
POLYGONS = "geojson"


def overlay_names(stem: Path, scenes: int) -> list[Path]:
    """The names of the pictures: numbered where there are several."""
    if scenes == 1:
        return [_named(stem, "overlay.png")]
    digits = len(str(scenes - 1))
    return [_named(stem, f"{i:0{digits}}.overlay.png") for i in range(scenes)]


def check_outputs(stem: Path, scenes: int, *, inputs: Iterable[Path], overwrite: bool) -> None:
    """Refuse outputs that could not be written, before anything is computed. Raises OutputError."""
    others = [_named(stem, ending) for ending in (*MAPS.values(), POLYGONS)]
    for path in (*overlay_names(stem, scenes), *others):
        if path.parent.exists():
            check_place(path, inputs=inputs, overwrite=overwrite)


def write_outputs(
    stem: Path, scenes: Sequence[Scene], facts: Mapping[str, str], *, inputs: Iterable[Path], overwrite: bool
) -> None:
    """Write STEM.overlay.png, STEM.types.tif, STEM.strength.tif, STEM.geojson and, with optics, STEM.defocus.tif.

    The maps have one value for each square of CELL px, on slides for several together; types are numbered as in
    BLUR_TYPES, 255 is background. Raises OutputError.
    """
    for path, scene in zip(overlay_names(stem, len(scenes)), scenes, strict=True):
        write_bytes(path, draw_overlay(scene, facts))
    maps = {
        "types": [scene.assessment.types for scene in scenes],
        "strength": [scene.assessment.strength.astype(np.float32) for scene in scenes],
        "defocus": [scene.defocus for scene in scenes if scene.defocus is not None],
    }
    for name, values in maps.items():
        if values:
            image = _stack(values, scenes)
            write_image(_named(stem, MAPS[name]), image, overwrite=overwrite, inputs=inputs, provenance=facts)
    places = [{axis: n for axis, n in scene.place.items() if axis in "zt"} for scene in scenes]
    regions = [(region, place) for scene, place in zip(scenes, places, strict=True) for region in scene.regions]
    save_text(_named(stem, POLYGONS), as_geojson(regions, facts))


def _stack(values: Sequence[np.ndarray], scenes: Sequence[Scene]) -> Image:
    """Maps of all scenes as one image, with the size of its squares."""
    size = scenes[0].image.pixel_size
    pixels = values[0] if len(values) == 1 else np.stack(values)
    axes = "YX" if len(values) == 1 else ("ZYX" if set(scenes[0].place) == {"z"} else "TYX")
    top = 255.0 if pixels.dtype == np.uint8 else max(float(pixels.max()), 1.0)
    return Image(pixels, axes, (0.0, top), pixel_size=None if size is None else (size[0] * CELL, size[1] * CELL))


def _named(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}.{ending}")
