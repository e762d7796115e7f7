"""Which remedy restores what, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from blur_readers import LevelReader, coded, types_in_blocks
from dgno.arrays import Image
from dgno.errors import ChannelMismatch, ConfigError, NonFiniteInput
from dgno.optics.blur_types import BLUR_TYPES, DEFOCUS, IN_FOCUS, MIXED, MOTION
from dgno.restoration.assessment import assess_image
from dgno.restoration.image import as_is, by_range
from dgno.restoration.route import InTurn, Remedy, restore_routed


class Adds:
    """A restorer that adds a number, and counts its tiles."""

    def __init__(self, number: float, **facts: object) -> None:
        self.number, self.tiles = number, 0
        vars(self).update(facts)

    def __call__(self, x: Tensor) -> Tensor:
        self.tiles += 1
        return x + self.number


def remedies(**facts: object) -> dict[str, Remedy]:
    numbers = {DEFOCUS: 0.25, MOTION: 0.5, MIXED: 1.0}
    return {name: Remedy(Adds(number, **facts), by_range) for name, number in numbers.items()}


def assessed(image: Image, **options):
    return assess_image(image, LevelReader(), normalize=by_range, **options)


BLOCKS = types_in_blocks(24, 24)


def test_every_region_gets_its_own_remedy() -> None:
    image = coded(BLOCKS, top=1.0, dtype="float32")
    routed = restore_routed(image, assessed(image), remedies())
    change = routed.pixels - image.pixels
    for (row, column), added in (((40, 40), 0), ((40, 150), 0.25), ((150, 40), 0.5), ((150, 150), 1.0)):
        assert change[row - 16 : row + 16, column - 16 : column + 16] == pytest.approx(added, abs=1e-6)


def test_each_remedy_has_its_own_normalisation() -> None:
    """A change of 1/4 of the range, and one of 1/2 in the image's own units."""
    image = coded(BLOCKS, top=4.0, dtype="float32")
    chosen = remedies() | {MOTION: Remedy(Adds(0.5), as_is)}
    change = restore_routed(image, assessed(image), chosen).pixels - image.pixels
    assert change[24:56, 134:166] == pytest.approx(1.0, abs=1e-5)
    assert change[134:166, 24:56] == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("kind", BLUR_TYPES)
def test_truth_table_of_whole_images(kind: str) -> None:
    """As published: one type for the image; in focus comes back bit for bit."""
    types = np.full((12, 12), BLUR_TYPES.index(kind))
    types[:3] = 0
    image = coded(types, top=1.0, dtype="float32")
    found = {i: a.as_one() for i, a in assessed(image).items()}
    routed = restore_routed(image, found, remedies())
    added = {IN_FOCUS: 0, DEFOCUS: 0.25, MOTION: 0.5, MIXED: 1.0}[kind]
    assert routed.pixels - image.pixels == pytest.approx(added, abs=1e-6)
    if kind == IN_FOCUS:
        np.testing.assert_array_equal(routed.pixels, image.pixels)


def test_tiles_without_blur_are_not_computed() -> None:
    image = coded(BLOCKS)
    chosen = remedies()
    restore_routed(image, assessed(image), chosen, tile_size=48)
    counts = [chosen[name].restorer.tiles for name in (DEFOCUS, MOTION, MIXED)]
    assert all(4 <= count <= 9 for count in counts)  # of 16: a quarter of the plane each, and what borders on it
    none = remedies()
    restore_routed(coded(np.zeros((24, 24), int)), assessed(coded(np.zeros((24, 24), int))), none, tile_size=48)
    assert [none[name].restorer.tiles for name in none] == [0, 0, 0]


def test_what_was_done_is_said() -> None:
    image = coded(BLOCKS)
    note = next(note for note in restore_routed(image, assessed(image), remedies()).notes if "restored as" in note)
    assert "25 % restored as defocus" in note
    assert "25 % in focus or background, unchanged" in note
    unsure = restore_routed(image, assessed(image, min_confidence=1.0), remedies()).notes
    assert any("unsure" in note for note in unsure)


def test_planes_are_restored_by_their_own_assessments() -> None:
    """And planes without one stay as they are."""
    stack = [coded(np.full((6, 6), kind), top=1.0, dtype="float32").pixels for kind in (1, 0, 3, 1)]
    image = Image(np.stack(stack), "ZYX", (0, 1))
    routed = restore_routed(image, assessed(image, planes={0, 1, 2}), remedies())
    change = (routed.pixels - image.pixels).mean((1, 2))
    assert change == pytest.approx([0.25, 0, 1.0, 0], abs=1e-6)


def test_one_after_the_other() -> None:
    """For mixed blur: motion first; tiled as both together want."""
    both = InTurn((Adds(1, halo=8, multiple=4, channels=1), lambda x: x * 2))
    assert both(torch.zeros(1, 1, 2, 2)).unique().tolist() == [2.0]
    assert (both.halo, both.multiple, both.is_local, both.is_whole, both.channels) == (8, 4, True, False, 1)
    local = InTurn((Adds(1, halo=8, multiple=6), Adds(1, halo=3, multiple=4, is_local=False, is_whole=True)))
    assert (local.halo, local.multiple, local.is_local, local.is_whole, local.channels) == (11, 12, False, True, None)


def test_what_cannot_be_treated_is_refused() -> None:
    image = coded(BLOCKS)
    chosen = remedies()
    del chosen[MOTION]
    with pytest.raises(ConfigError, match="'motion'"):
        restore_routed(image, assessed(image), chosen)
    with pytest.raises(ChannelMismatch):
        restore_routed(image, assessed(image), remedies(channels=3))
    restored = restore_routed(image, assessed(image), remedies(channels=3), replicate=True)
    assert any("3 equal channels" in note for note in restored.notes)
    broken = coded(BLOCKS, top=1.0, dtype="float32")
    found = assessed(broken)
    broken.pixels[0, 0] = np.inf
    with pytest.raises(NonFiniteInput):
        restore_routed(broken, found, remedies())


def test_progress_ends_at_one() -> None:
    shares: list[float] = []
    image = coded(BLOCKS)
    restore_routed(image, assessed(image), remedies(), tile_size=64, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
