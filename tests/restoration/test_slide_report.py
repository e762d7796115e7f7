"""What is said of a restored slide: borders only where they show, and what was left out."""

from __future__ import annotations

from typing import Any

import pytest

from dgno.restoration.slide_report import in_words, seams_show

FACTS: dict[str, Any] = {
    "blocks": 12, "blocks_restored": 9, "seam_index": 1.0, "borders": 40, "saturated": 0, "bad_tiles": [], "memory": [],
    "tile_delta": {"rms": 1e-6, "largest": 4e-3, "percentile": 0.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "shows"),
    [
        ({}, False),
        ({"seam_index": 1.4}, True),
        ({"seam_index": 1.4, "borders": 4}, False),  # of four borders one that lies on an edge decides
        ({"seam_index": None, "tile_delta": None}, False),
        ({"tile_delta": {"rms": 3e-3, "largest": 0.1, "percentile": 5e-3}}, True),
        ({"tile_delta": {"rms": 1e-3, "largest": 0.1, "percentile": 2e-2}}, True),
        ({"tile_delta": None, "seam_index": 1.4}, True),
    ],
)
def test_borders_are_said_to_show_where_the_measures_say_so(changes: dict[str, Any], shows: bool) -> None:
    assert seams_show(FACTS | changes) == shows
    assert any("borders" in text for text in in_words(FACTS | changes)) == shows


def test_values_that_were_newly_cut_are_told_with_their_share() -> None:
    more = {"saturated": 1234, "saturated_at": [0, 255], "values": 1_000_000}
    assert "1,234 values newly cut at 0 or 255, 0.12 %" in in_words(FACTS | more)
    assert not any("cut" in text for text in in_words(FACTS | more | {"saturated": 0}))


def test_tiles_that_could_not_be_read_are_told_with_the_place_of_the_first() -> None:
    bad = [{"level": 0, "plane": 0, "rows": (256, 512), "columns": (0, 240), "why": "cut"}] * 2
    assert "2 tiles could not be read, the first at rows 256 to 511, columns 0 to 239" in in_words(
        FACTS | {"bad_tiles": bad}
    )
