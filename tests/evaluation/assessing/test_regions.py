"""Regions as polygons: what they enclose is what was found, and they are what GeoJSON calls valid."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from skimage.draw import polygon2mask

from dgno.evaluation.assessing.geojson import as_geojson
from dgno.evaluation.assessing.regions import outlines, regions_of, signed_area
from dgno.optics.blur_types import BLUR_TYPES
from dgno.restoration.assessment import BACKGROUND, BLURRED, Assessment

RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
PINCH = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)  # the hole touches the outside at a corner


def assessment_of(types: np.ndarray, shape: tuple[int, int]) -> Assessment:
    nothing = np.zeros(types.shape, np.float32)
    likelihoods = np.stack([types == i for i in range(4)]).astype(np.float32)
    return Assessment(shape, likelihoods, types.astype(np.uint8), nothing + 2, nothing, nothing, nothing.astype(bool))


def random_types(shape: tuple[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice([0, 1, 1, 1, 2, 3, BACKGROUND], shape)


def test_a_square_is_a_square() -> None:
    (ring,) = outlines(np.ones((2, 3), bool))
    assert ring[0] == ring[-1]
    assert set(ring) == {(0, 0), (3, 0), (3, 2), (0, 2)}
    assert len(ring) == 5
    assert signed_area(ring) == 6


def test_holes_go_round_the_other_way() -> None:
    outer, hole = outlines(RING)
    assert (signed_area(outer), signed_area(hole)) == (9, -1)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("is_turned_over", [False, True])
def test_no_ring_touches_itself(turns: int, is_turned_over: bool) -> None:
    """A hole that meets the outside at a corner is a ring of its own."""
    rings = outlines(np.rot90(PINCH.T if is_turned_over else PINCH, turns))
    assert [signed_area(ring) for ring in rings] == [8, -1]
    for ring in rings:
        assert len(set(ring[:-1])) == len(ring) - 1


@pytest.mark.parametrize("seed", range(4))
def test_polygons_cover_what_was_found(seed: int) -> None:
    """Drawn again, squares of every type are just those of the polygons; partial squares end with the image."""
    shape = (117, 93)
    types = random_types((15, 12), seed)
    regions = regions_of(assessment_of(types, shape))
    pixels = np.kron(types, np.ones((8, 8), int))[: shape[0], : shape[1]]
    for name in BLURRED:
        drawn = np.zeros(shape, int)
        for region in regions:
            if region.type == name:
                for ring in region.rings:
                    corners = np.array([(y - 0.5, x - 0.5) for x, y in ring])
                    drawn += np.sign(signed_area(ring)) * polygon2mask(shape, corners)
        np.testing.assert_array_equal(drawn == 1, pixels == BLUR_TYPES.index(name))
    assert sum(r.area for r in regions) == np.isin(pixels, [1, 2, 3]).sum()
    for ring in (ring for region in regions for ring in region.rings):
        assert len(set(ring[:-1])) == len(ring) - 1
        assert all((a[0] == b[0]) != (a[1] == b[1]) for a, b in itertools.pairwise(ring))


def test_geojson_is_as_qupath_reads_it() -> None:
    types = np.zeros((6, 6), int)
    types[:3, :3] = RING
    types[5, 5] = 3
    found = assessment_of(types, (46, 44))
    regions = [(region, {}) for region in regions_of(found, np.full((6, 6), 1.5))]
    text = as_geojson([*regions, (regions[0][0], {"z": 4})], {"use": "research"})
    collection = json.loads(text)
    assert collection["type"] == "FeatureCollection"
    first, second, third = collection["features"]
    assert first["geometry"]["type"] == "Polygon"
    assert len(first["geometry"]["coordinates"]) == 2
    assert first["properties"]["objectType"] == "annotation"
    assert first["properties"]["classification"] == {"name": "Blur: defocus", "color": [0, 114, 255]}
    assert first["properties"]["measurements"] == {
        "Blur strength px": 2.0, "Blur confidence": 1.0, "Area px^2": 512, "Defocus um": 1.5
    }  # fmt: skip
    assert second["properties"]["classification"]["name"] == "Blur: mixed"
    assert [44, 46] in second["geometry"]["coordinates"][0]
    assert "plane" not in first["geometry"]
    assert third["geometry"]["plane"] == {"c": -1, "z": 4, "t": 0}
    assert len({feature["id"] for feature in collection["features"]}) == 3
    assert collection["dgno"] == {"use": "research"}


def test_regions_of_a_map_in_the_pixels_of_the_slide() -> None:
    """Corners times as large, cut at the border of the slide; the area is that of what is left."""
    (region,) = regions_of(assessment_of(np.ones((3, 4), int), (24, 32)))
    large = region.enlarged(4, (90, 1000))
    x, y = zip(*large.rings[0], strict=True)
    assert (max(x), max(y)) == (4 * 32, 90)
    assert large.area == 128 * 90
    assert (large.type, large.strength) == (region.type, region.strength)
