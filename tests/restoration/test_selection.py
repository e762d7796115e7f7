"""Which planes of a file are restored: channels, pages, and both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgno.arrays import Image
from dgno.errors import ConfigError
from dgno.io.slide import SlideFacts
from dgno.restoration.selection import Selection, parse_numbers, restored_only, stand_in

STACK = Image(np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5), "ZCYX", (0, 255))
COLOURS = Image(np.zeros((4, 5, 3), np.uint8), "YXS", (0, 255))


@given(st.sets(st.integers(0, 5), min_size=1), st.sets(st.integers(0, 2), min_size=1))
def test_a_plane_is_wanted_if_its_channel_and_its_page_are(pages: set[int], channels: set[int]) -> None:
    """Plane i of a stack with three channels, the fastest axis, has channel i mod 3."""
    expected = {i for i in pages if i % 3 in channels}
    selection = Selection(tuple(range(c, c + 1) for c in channels), tuple(range(p, p + 1) for p in pages))
    if expected:
        assert selection.of([STACK]) == [expected]
    else:
        with pytest.raises(ConfigError, match="no plane is among both"):
            selection.of([STACK])


def test_pages_count_through_all_images_of_a_file() -> None:
    assert Selection().of([STACK, COLOURS]) == [set(range(6)), {0}]
    assert Selection(pages=(range(5, 7),)).of([STACK, COLOURS, STACK]) == [{5}, {0}, set()]
    assert Selection(pages=(range(12, 13),)).of([STACK, STACK, COLOURS]) == [set(), set(), {0}]


@pytest.mark.parametrize(("selection", "said"), [
    (Selection(pages=(range(6, 7),)), "page 6 of a file with 6; pages count from 0 to 5"),
    (Selection(pages=(range(2, 8),)), "page 7 of a file with 6"),
    (Selection(channels=(range(3, 4),)), "channel 3 of an image with 3; channels count from 0 to 2"),
    (Selection(channels=(range(0, 10**15),)), "channel 999999999999999 of an image with 3"),
])  # fmt: skip
def test_what_is_not_there_is_refused(selection: Selection, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        selection.of([STACK])


def test_numbers_are_read_as_written() -> None:
    assert parse_numbers("0", "pages", words=()) == (range(0, 1),)
    assert parse_numbers("0, 2,4-7", "pages", words=()) == (range(0, 1), range(2, 3), range(4, 8))


@pytest.mark.parametrize("text", ["", "a", "-1", "1,", "3-1", "1-", "1.5", "1_0", "٣", "0 1"])
def test_other_texts_are_refused_with_what_is_understood(text: str) -> None:
    with pytest.raises(ConfigError, match="say all, or numbers like 0,2 or 4-7; they count from 0"):
        parse_numbers(text, "pages", words=("all",))


def test_the_other_planes_are_put_back() -> None:
    changed = STACK.with_pixels(255 - STACK.pixels)
    kept = restored_only(changed, STACK, frozenset({1, 5}))
    for i, (plane, before) in enumerate(zip(kept.planes(), STACK.planes(), strict=True)):
        np.testing.assert_array_equal(plane, 255 - before if i in (1, 5) else before)


@pytest.mark.parametrize(("selection", "images", "said"), [
    (Selection(), [STACK], ()),
    (Selection(pages=(range(4, 5),)), [STACK], ("1 of 6 planes restored (Z 1, C 1), the others are copies",)),
    (Selection(channels=(range(0, 1), range(2, 3))), [STACK],
     ("4 of 6 planes restored (C 0,2), the others are copies",)),
    (Selection(pages=(range(1, 5),)), [STACK], ("4 of 6 planes restored (pages 1-4), the others are copies",)),
    (Selection(pages=(range(6, 7),)), [STACK, COLOURS], ("1 of 7 planes restored (page 6), the others are copies",)),
    (Selection(channels=(range(0, 1),)), [COLOURS],
     ("the colours of a pixel are one channel: all of them were restored",)),
])  # fmt: skip
def test_what_is_copied_is_said(selection: Selection, images: list[Image], said: tuple[str, ...]) -> None:
    assert selection.notes(images, selection.of(images)) == said


def test_colours_cannot_be_chosen() -> None:
    with pytest.raises(ConfigError, match="channel 2 of an image with 1: the colours of a pixel are one channel"):
        Selection(channels=(range(2, 3),)).of([COLOURS])
    with pytest.raises(ConfigError, match="channel 1 of an image with 1; there is channel 0 alone"):
        Selection(channels=(range(1, 2),)).of([Image(np.zeros((4, 5), np.uint8), "YX", (0, 255))])


def test_a_slide_is_stood_in_for_by_its_planes() -> None:
    facts = SlideFacts((1000, 2000), np.dtype(np.uint16), axes="ZC", sizes=(2, 3))
    image = stand_in(facts)
    assert (image.axes, image.plane_count, image.channels) == ("ZCYX", 6, 3)
