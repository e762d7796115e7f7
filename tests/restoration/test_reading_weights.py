"""The weights that come with the package tell the blur of real images, and routing by them leaves sharp ones alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage import data
from skimage.io import imread

import dgno
from dgno.errors import CheckpointMismatch
from dgno.optics.blur_types import DEFOCUS, IN_FOCUS, MOTION, TypedRange
from dgno.optics.exposure import ExposureRange
from dgno.optics.moving import MotionRange
from dgno.optics.simulate import BlurRange
from dgno.restoration.from_weights import make_reader

EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
RANGES: dict[str, ExposureRange] = {
    DEFOCUS: BlurRange(sigma=(3.0, 3.0), fields=("constant",)),
    MOTION: TypedRange(motion=MotionRange((20.0, 20.0)), types=(MOTION,)),
}
SHARP = {"H&E": np.asarray(imread(EXAMPLES / "he_sharp.png")), "immunohistochemistry": data.immunohistochemistry()}
each = pytest.mark.parametrize("name", SHARP)


@each
def test_sharp_images_are_in_focus(name: str) -> None:
    assert dgno.assess(SHARP[name]).type == IN_FOCUS


@each
@pytest.mark.parametrize("kind", RANGES)
def test_blur_is_told(name: str, kind: str) -> None:
    blurred, _ = dgno.simulate(SHARP[name], ranges=RANGES[kind], seed=3)
    found = dgno.assess(blurred)
    assert found.type == kind and not found.in_focus


def test_the_width_of_defocus_is_about_what_it_was() -> None:
    """Within a quarter of it, as the median over the tissue."""
    for sigma in (2.0, 3.0, 4.0):
        ranges = BlurRange(sigma=(sigma, sigma), fields=("constant",))
        blurred, _ = dgno.simulate(SHARP["H&E"], ranges=ranges, seed=1)
        found = dgno.assess(blurred)
        assert float(np.median(found.sigma[found.blurred])) == pytest.approx(sigma, rel=0.25)


def test_a_real_smear_out_of_focus_is_told_from_one_in_focus() -> None:
    sharp, blurred = (np.asarray(imread(EXAMPLES / f"smear_{name}.png")) for name in ("in_focus", "out_of_focus"))
    assert dgno.assess(blurred).type == DEFOCUS
    assert dgno.assess(sharp).type == IN_FOCUS


@each
def test_routing_returns_sharp_images_as_they_are(name: str) -> None:
    for how in ({"route": "auto"}, {"method": "dbmid"}):
        restored = dgno.restore(SHARP[name], **how)  # type: ignore[arg-type]
        assert (restored == SHARP[name]).all(axis=-1).mean() > (0.99 if "route" in how else 0.9999)


@pytest.mark.parametrize("kind", RANGES)
def test_routing_restores_what_is_blurred(kind: str) -> None:
    sharp = SHARP["H&E"]
    blurred, _ = dgno.simulate(sharp, ranges=RANGES[kind], seed=3)
    for how in ({"route": "auto"}, {"method": "dbmid"}):
        restored = dgno.restore(blurred, **how)  # type: ignore[arg-type]
        before, after = (np.mean((image / 255 - sharp / 255) ** 2) for image in (blurred, restored))
        assert 10 * np.log10(before / after) > 0.5  # dB


def test_weights_that_restore_are_no_reader() -> None:
    with pytest.raises(CheckpointMismatch, match="do not tell the blur"):
        make_reader("fluorescence-nano")
