"""The target is as the standard says, wherever and however it lies."""

from __future__ import annotations

import numpy as np
import pytest

from dgno.errors import ConfigError
from dgno.evaluation.downstream.usaf import Element, Target, nested, render_usaf


@pytest.mark.parametrize(("group", "number", "line_pairs", "width"), [
    (0, 1, 1.0, 500.0), (1, 1, 2.0, 250.0), (7, 6, 228.07, 2.192), (8, 6, 456.14, 1.096), (4, 3, 20.16, 24.80),
])  # fmt: skip
def test_elements_are_those_of_the_standard(group: int, number: int, line_pairs: float, width: float) -> None:
    element = Element(group, number)
    assert element.resolution == pytest.approx(line_pairs, rel=1e-3)
    assert element.bar_width == pytest.approx(width, rel=1e-3)


def light_of_bars(target: Target) -> float:
    """Area in px of all bars, from their widths."""
    return sum(3 * 5 * triplet.bar_width**2 for triplet in target.triplets)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.37, -0.81)])
@pytest.mark.parametrize("angle", [0.0, 8.0, -30.0, 90.0])
@pytest.mark.parametrize("pixel_size", [0.55, 1.3])
def test_the_light_is_that_of_the_bars(pixel_size: float, angle: float, offset: tuple[float, float]) -> None:
    """To rounding: coverage is exact, and the image holds the whole target."""
    target = render_usaf((6, 7), pixel_size=pixel_size, angle=angle, offset=offset)
    assert target.pixels.sum() == pytest.approx(light_of_bars(target), rel=1e-9)
    assert target.pixels.min() > -1e-9
    assert target.pixels.max() < 1 + 1e-9


def test_small_pixels_add_up_to_large_ones() -> None:
    """Binned two by two, the target at half the pixel size is the target."""
    fine, coarse = (render_usaf((5, 6), pixel_size=p, angle=11.0) for p in (0.5, 1.0))
    size = [2 * n for n in coarse.pixels.shape]
    padding = [(0, n - have) for n, have in zip(size, fine.pixels.shape, strict=True)]
    if any(after for _, after in padding):  # the fine image is centred: compare where both centres agree
        fine = render_usaf((5, 6), pixel_size=0.5, angle=11.0, offset=tuple(after / 2 for _, after in padding))
    pixels = np.pad(fine.pixels, padding)
    binned = pixels.reshape(size[0] // 2, 2, size[1] // 2, 2).mean((1, 3))
    np.testing.assert_allclose(binned, coarse.pixels, atol=1e-9)


@pytest.mark.parametrize("contrast", [1.0, 0.3])
def test_polarity_and_contrast(contrast: float) -> None:
    clear, dark = (
        render_usaf((6,), pixel_size=0.55, clear_on_dark=is_so, contrast=contrast) for is_so in (True, False)
    )
    low = clear.pixels.min()
    assert (1 - low) / (1 + low) == pytest.approx(contrast)
    np.testing.assert_allclose(clear.pixels + dark.pixels, 1 + low, atol=1e-12)
    assert clear.pixels[0, 0] == pytest.approx(low)
    assert dark.pixels[0, 0] == 1


@pytest.mark.parametrize("angle", [0.0, 25.0])
def test_regions_lie_on_the_bars(angle: float) -> None:
    """Every bar of every element is bright in its middle and its gaps are dark, in both orientations."""
    target = render_usaf((5, 6), pixel_size=0.5, angle=angle, offset=(1.4, 0.3))
    assert len(target.triplets) == 2 * 6 * 2
    assert len({triplet.element for triplet in target.triplets}) == 12
    for triplet in target.triplets:
        for place, wanted in ((-2, 1), (-1, 0), (0, 1), (1, 0), (2, 1)):
            row, column = triplet.rectangle(place, 1, 5)[0].mean(0)
            assert target.pixels[int(row), int(column)] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("wrong", [
    {"pixel_size": 0.0}, {"pixel_size": float("nan")}, {"contrast": 0.0}, {"contrast": 1.5}, {"angle": 400.0},
])  # fmt: skip
def test_impossible_targets_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        render_usaf((6,), **{"pixel_size": 0.5, **wrong})
    for groups in ((), (7, 6), (6, 6)):
        with pytest.raises(ConfigError, match="groups"):
            render_usaf(groups, pixel_size=0.5)


@pytest.mark.parametrize("groups", [(4, 5, 6, 7, 8, 9), (5, 6, 7), (6,)])
@pytest.mark.parametrize("angle", [0.0, 21.0])
def test_nested_groups_do_not_touch(groups: tuple[int, ...], angle: float) -> None:
    """All bars are there and none lies on another; they come in the order that they have in rows."""
    target = render_usaf(groups, pixel_size=0.8, angle=angle, layout=nested)
    assert len(target.triplets) == 12 * len(groups)
    assert target.pixels.sum() == pytest.approx(light_of_bars(target), rel=1e-9)
    assert target.pixels.max() < 1 + 1e-9
    assert [t.element for t in target.triplets] == [t.element for t in render_usaf(groups, pixel_size=0.8).triplets]
    for i, one in enumerate(target.triplets):
        for other in target.triplets[:i]:
            a, b = one.bar_width, other.bar_width
            apart = np.hypot(*np.subtract(one.centre, other.centre))
            assert apart >= 2.5 * a + 2.5 * b + 1.9 * min(a, b), "half of five bars each, and a gap"


def test_the_chart_winds_inwards() -> None:
    """Element 1 of the coarser group stands below to the right, the others to the left; finer pairs between them."""
    target = render_usaf((4, 5, 6, 7), pixel_size=0.8, layout=nested)
    at = {t.element: t.centre for t in target.triplets if t.angle == 0}
    assert at[Element(4, 1)][0] > max(at[Element(5, n)][0] for n in range(1, 7))
    assert at[Element(4, 1)][1] > at[Element(4, 2)][1]
    assert [at[Element(4, n)][0] for n in range(2, 7)] == sorted(at[Element(4, n)][0] for n in range(2, 7))
    for group in (6, 7):
        for n in range(1, 7):
            assert at[Element(4, 2)][1] < at[Element(group, n)][1] < at[Element(5, 1)][1]
    one, other = at[Element(4, 3)], at[Element(6, 3)]
    corner, inner = at[Element(4, 2)], at[Element(6, 2)]
    assert (one[0] - corner[0]) / 4 == pytest.approx(other[0] - inner[0])
    with pytest.raises(ConfigError, match="follow one another"):
        render_usaf((4, 6), pixel_size=0.8, layout=nested)
