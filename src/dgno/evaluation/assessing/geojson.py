"""Regions as GeoJSON in the form that QuPath reads: annotations, classified and measured."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence

from dgno.evaluation.assessing.regions import Region
from dgno.optics.blur_types import DEFOCUS, MIXED, MOTION

Colour = tuple[int, int, int]
COLOURS: dict[str, Colour] = {DEFOCUS: (0, 114, 255), MOTION: (255, 127, 0), MIXED: (0, 158, 60)}


def as_geojson(regions: Sequence[tuple[Region, Mapping[str, int]]], facts: Mapping[str, str]) -> str:
    """A feature collection: one annotation for each region, in px of full resolution.

    regions : each with its place in a stack, "z" and "t"; without any, it is the image's only plane
    facts : how they were found
    Equal regions give equal text.
    """
    features = [_feature(i, region, place, facts) for i, (region, place) in enumerate(regions)]
    return json.dumps({"type": "FeatureCollection", "features": features, "dgno": dict(facts)}) + "\n"


def _feature(number: int, region: Region, place: Mapping[str, int], facts: Mapping[str, str]) -> dict[str, object]:
    geometry: dict[str, object] = {"type": "Polygon", "coordinates": region.rings}
    if place:
        geometry["plane"] = {"c": -1, "z": place.get("z", 0), "t": place.get("t", 0)}
    measured = {"Blur strength px": region.strength, "Blur confidence": region.confidence, "Area px^2": region.area}
    if region.defocus is not None:
        measured["Defocus um"] = region.defocus
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{facts.get('input sha256', '')} {number} {region.rings}")),
        "geometry": geometry,
        "properties": {
            "objectType": "annotation",
            "classification": {"name": f"Blur: {region.type}", "color": COLOURS[region.type]},
            "measurements": {name: round(value, 4) for name, value in measured.items()},
        },
    }
