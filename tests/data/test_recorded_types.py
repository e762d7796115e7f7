"""Crops of recorded images by type: each as often as the others, and of the right folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from set_maker import save, texture

from dgno.data.layouts.dbmid import read_dbmid
from dgno.data.recorded_types import RecordedTypes, type_of
from dgno.data.records import Record
from dgno.data.typed_crops import IGNORED
from dgno.errors import ConfigError
from dgno.optics.blur_types import BLUR_TYPES, IN_FOCUS

FOLDERS = ("in-focus", "defocus", "motion", "mixed")  # in the order of BLUR_TYPES
COUNTS = {"in-focus": 1, "defocus": 5, "motion": 2, "mixed": 1}


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Images whose values tell their folder: 0 to 59, 60 to 119, ..."""
    for number, folder in enumerate(FOLDERS):
        for i in range(COUNTS[folder]):
            name = "a.png" if folder == "in-focus" else f"a_{i}.png"
            save(tmp_path / "train" / "TCT" / folder / name, texture(i, (96, 96, 3)) // 4 + 60 * number)
    return read_dbmid(tmp_path)


def test_every_crop_is_of_its_type_and_every_type_as_frequent(records: list[Record]) -> None:
    crops, types, *_ = RecordedTypes(records, channels=3).batch(32, 400, seed=0, step=0)
    assert torch.equal((crops * 255).mean((1, 2, 3)).div(60).floor().long(), types)
    assert all(70 < int(n) < 130 for n in torch.bincount(types)), "5 of 9 images are defocused, but a quarter of crops"


def test_what_is_not_told_is_left_out(records: list[Record]) -> None:
    _, types, squares, sigma, length, turn = RecordedTypes(records, channels=1).batch(32, 20, seed=0, step=0)
    assert squares.shape == sigma.shape == length.shape == (20, 4, 4) and turn.shape == (20, 2, 4, 4)
    assert torch.equal(squares, types[:, None, None].expand(20, 4, 4))
    assert not sigma.any() and not length.any() and not turn.any()


def test_where_the_sharp_image_shows_nothing_no_square_has_a_type(records: list[Record]) -> None:
    save(records[0].target, np.full((96, 96, 3), 99, np.uint8))
    _, types, squares, *_ = RecordedTypes(records, channels=1).batch(32, 20, seed=0, step=0)
    assert (squares == IGNORED).all()
    assert types.unique().tolist() == [0, 1, 2, 3]


def test_a_sample_is_a_function_of_seed_step_and_slot(records: list[Record]) -> None:
    whole = RecordedTypes(records, channels=3).batch(32, 6, seed=3, step=5)
    parts = RecordedTypes(records, channels=3).batch(32, 6, seed=3, step=5, slots=(4, 1))
    assert all(torch.equal(a[[4, 1]], b) for a, b in zip(whole, parts, strict=True))
    other = RecordedTypes(records, channels=3).batch(32, 6, seed=3, step=6)
    assert not torch.equal(whole[0], other[0])


def test_types_that_were_not_recorded_are_not_drawn(records: list[Record]) -> None:
    some = [record for record in records if record.meta["blur"] == "defocus"]
    types = RecordedTypes(some, channels=3).batch(32, 40, seed=0, step=0)[1]
    assert types.unique().tolist() == [BLUR_TYPES.index(IN_FOCUS), BLUR_TYPES.index("defocus")]
    assert RecordedTypes([], channels=3).is_empty


def test_pairs_of_no_type_are_refused(records: list[Record]) -> None:
    for meta in ({}, {"blur": "fog"}, {"blur": "in-focus"}):
        with pytest.raises(ConfigError, match="the type of blur is not told"):
            type_of(replace(records[0], meta=meta))
