"""What is said of how a file was restored."""

from __future__ import annotations

import numpy as np
import pytest

from blur_readers import LevelReader, coded, types_in_blocks
from dgno.optics.blur_types import BLUR_TYPES
from dgno.restoration.account import Account, Blur
from dgno.restoration.assessment import BLURRED, Assessment, assess_image
from dgno.restoration.image import by_percentiles, by_range
from dgno.restoration.options import RestoreOptions
from dgno.restoration.route import Remedy

IMAGE = coded(types_in_blocks(24, 24))
REMEDY = Remedy(lambda x: x, by_range)


def found(factor: float = 1.0) -> Assessment:
    """Sigma 2 and length 13 px in their squares, or as many times that."""
    one = assess_image(IMAGE, LevelReader())[0]
    return Assessment(
        one.shape, one.likelihoods, one.types, one.sigma * factor, one.length * factor, one.angle, one.abstained
    )


def test_shares_and_strength_are_those_of_the_assessments() -> None:
    """However they are cut into windows."""
    one, blur, cut = found(), Blur(), Blur()
    blur.add(one)
    for part in (np.s_[:, :10], np.s_[:, 10:]):
        maps = (one.types, one.sigma, one.length, one.angle, one.abstained)
        cut.add(Assessment(one.shape, one.likelihoods[(slice(None), *part)], *(values[part] for values in maps)))
    assert blur.as_json() == cut.as_json()
    assert blur.tissue == one.tissue.mean()
    assert blur.shares == {name: pytest.approx(one.shares[name]) for name in BLURRED}
    assert blur.strength() == pytest.approx(one.median_strength, abs=0.006)
    assert blur.strength(["defocus"]) == pytest.approx(2, abs=0.006)
    assert Blur().strength() is None


@pytest.mark.parametrize(("weights", "beyond"), [
    ("fluorescence-nano", ["defocus", "motion", "mixed blur"]),
    ("auto", []),
    ("unheard-of", []),
])  # fmt: skip
def test_blur_beyond_what_weights_learnt_is_told(weights: str, beyond: list[str]) -> None:
    """10 px of defocus, or a motion of 65 px: the package's weights for mixed blur learnt as much as 9.5 px."""
    account = Account(RestoreOptions(weights=weights), "auto")
    factor = {"fluorescence-nano": 5.0}.get(weights, 1.0)
    remedies = {name: ((weights,) if weights != "auto" else ("dl-motion", "dl-defocus"), REMEDY) for name in BLURRED}
    account.put_down(IMAGE, [0], remedies, {0: found(factor)})
    told = [note for note in account.notes if "beyond" in note]
    assert [note.split(" of ")[0] for note in told] == beyond
    if beyond:
        assert told[0] == (
            "defocus of 10 px (median) is beyond the 4.5 px that fluorescence-nano learnt: reduced, not removed"
        )


def test_only_what_was_used_is_named() -> None:
    account = Account(RestoreOptions(), "auto")
    remedies = {"defocus": (("fluorescence-nano",), REMEDY), "motion": (("dl-motion",), REMEDY)}
    types = np.full((9, 9), BLUR_TYPES.index("motion"))
    image = coded(types)
    account.put_down(image, [0], remedies, assess_image(image, LevelReader(), normalize=by_range))
    assert (account.weights, account.facts["learnt"]) == (["dl-motion"], {"motion": 11.543})


def test_scales_are_those_of_each_channel() -> None:
    account = Account(RestoreOptions(), "off")
    remedy = Remedy(lambda x: x, by_percentiles)
    account.put_down(IMAGE, [0], {"defocus": (("/home/me/my.safetensors",), remedy)}, {})
    affine = by_percentiles(IMAGE, 0)
    assert account.facts == {
        "method": "dgno", "weights": ["my"], "normalization": ["percentile"],
        "scale": [[affine.offset, affine.offset + affine.scale]], "device": "cpu", "precision": "fp32", "tta": False,
        "route": "off",
    }  # fmt: skip
    assert account.notes == ("my",)
    classical = Account(RestoreOptions(method="wiener", psf="disk:2"), "off")
    classical.put_down(IMAGE, [0], {"defocus": ((), REMEDY)}, {})
    assert (classical.facts["weights"], classical.notes) == ([], ("wiener",))


def test_all_weights_that_restored_images_of_a_file_are_named() -> None:
    """A gray page and one in colour took two; what was learnt is the least of both."""
    account = Account(RestoreOptions(), "off")
    for name in ("brightfield-nano", "fluorescence-nano", "brightfield-nano"):
        account.put_down(IMAGE, [0], {"defocus": ((name,), REMEDY)}, {})
    assert account.weights == account.facts["weights"] == ["brightfield-nano", "fluorescence-nano"]
    assert account.notes == ("brightfield-nano, fluorescence-nano",)
