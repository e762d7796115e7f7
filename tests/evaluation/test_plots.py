"""Figures: that they are there, that they show something, and what."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pair_maker import MakePairs
from scipy.ndimage import gaussian_filter
from skimage.io import imread

from dgno.arrays import Image
from dgno.data.records import Record
from dgno.evaluation.compare import Score, compare, unchanged
from dgno.evaluation.plots import (
    CROP,
    Example,
    box_plots,
    choose_examples,
    draw_examples,
    error_difference,
    error_maps,
    show,
)
from dgno.evaluation.protocols import PROTOCOLS

METHODS = ("blurred", "smoothed")


def drawn(path: Path) -> np.ndarray:
    """The gray values of a figure, of which at least a fiftieth is not background."""
    pixels = np.asarray(imread(path))[..., :3].mean(-1)
    assert (pixels < 250).mean() > 0.02
    assert len(np.unique(pixels)) > 50
    return pixels


def test_box_plots_show_both_measures(tmp_path: Path) -> None:
    """Something is drawn in each half; more methods need more room."""
    scores = [Score(str(i), m, 30 + i + j, 0.8 + i / 50, 1.0) for i in range(5) for j, m in enumerate(("a", "b"))]
    box_plots(tmp_path / "two.png", scores)
    two = drawn(tmp_path / "two.png")
    for half in np.array_split(two, 2, axis=1):
        assert (half < 250).mean() > 0.02
    box_plots(tmp_path / "three.png", [*scores, Score("0", "c", 33.0, 0.9, 1.0)])
    assert drawn(tmp_path / "three.png").shape[1] > two.shape[1]


def test_box_plots_show_the_scores(tmp_path: Path) -> None:
    """Other scores make another figure, the same ones the same."""
    for name, offset in (("a", 0.0), ("b", 0.0), ("c", 1.0)):
        box_plots(tmp_path / f"{name}.png", [Score(str(i), "m", 30 + i**2 * (1 + offset), 0.9, 1.0) for i in range(4)])
    a, b, c = (drawn(tmp_path / f"{name}.png") for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert a.shape != c.shape or (a != c).any()


def test_a_perfect_restoration_can_be_drawn(tmp_path: Path) -> None:
    """Its PSNR is infinite."""
    box_plots(tmp_path / "f.png", [Score("a", "m", math.inf, 1.0, 0.1), Score("b", "m", 30.0, 0.9, 0.1)])
    drawn(tmp_path / "f.png")


@pytest.mark.parametrize("shape", [(48, 60), (48, 60, 3)], ids=["gray", "colour"])
def test_examples_are_the_worst_the_median_and_the_best(
    make_pairs: MakePairs, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """Of five pairs that gain differently, every method restores just these three, from worst to best."""
    pairs, shown = make_pairs(5, shape), []
    gains = {"0": 2.0, "1": -1.0, "2": 0.5, "3": 4.0, "4": 1.0}
    scores = [Score(n, m, 30 + (g if m == "smoothed" else 0), 0.9, 1.0) for n, g in gains.items() for m in METHODS]

    def smoothed(image: Image, record: Record) -> Image:
        shown.append(record.key)
        return image.with_pixels(gaussian_filter(image.pixels, 1, axes=(0, 1)))

    chosen = choose_examples(pairs, scores, {"blurred": unchanged, "smoothed": smoothed})
    draw_examples(tmp_path / "examples.png", chosen)
    assert shown == ["1", "4", "3"]
    drawn(tmp_path / "examples.png")


def test_a_single_pair_is_worst_and_best(make_pairs: MakePairs, tmp_path: Path) -> None:
    pairs, methods = make_pairs(1), {"blurred": unchanged}
    draw_examples(tmp_path / "examples.png", choose_examples(pairs, compare(pairs, methods), methods))
    assert drawn(tmp_path / "examples.png").size > 100_000


@pytest.mark.parametrize("shape", [(300, 400), (300, 400, 3), (100, 90), (20, 600)])
def test_the_middle_of_an_image_is_shown_in_the_range_of_another(shape: tuple[int, ...]) -> None:
    """Not smoothed, not stretched; what lies beyond black and white is cut."""
    pixels = np.random.default_rng(0).integers(0, 4096, shape, np.uint16)
    axes = "YXS" if len(shape) == 3 else "YX"
    axis = Figure().subplots()
    show(axis, Image(pixels, axes, (0.0, 65535.0)), Image(pixels, axes, (1000.0, 3000.0)))
    (picture,) = axis.images
    tops = [max(0, (n - CROP) // 2) for n in shape[:2]]
    middle = pixels[tuple(slice(t, t + CROP) for t in tops)]
    np.testing.assert_allclose(picture.get_array(), ((middle - 1000.0) / 2000).clip(0, 1))
    assert (picture.get_clim(), picture.get_interpolation()) == ((0, 1), "nearest")


def example(shape: tuple[int, ...], errors: tuple[float, ...] = (0.3, -0.1, 0.2)) -> Example:
    """Restored images that err by a constant each."""
    sharp = Image(np.full(shape, 0.5, np.float32), "YXS" if len(shape) == 3 else "YX")
    restored = {name: sharp.with_pixels(sharp.pixels + np.float32(e)) for name, e in zip("abc", errors, strict=True)}
    return Example("best", "x", restored, sharp)


@pytest.mark.parametrize("shape", [(300, 40), (30, 40, 3)], ids=["gray", "colour"])
def test_the_error_map_is_the_difference_of_absolute_errors(shape: tuple[int, ...]) -> None:
    """Positive where the second one is better; of the middle; in unit values; clamped if the protocol clamps."""
    one = example(shape)
    found = error_difference(one.restored["a"], one.restored["b"], one.sharp)
    assert found.shape == (min(CROP, shape[0]), shape[1])
    np.testing.assert_allclose(found, 0.2, atol=1e-6)
    brighter = one.sharp.with_pixels(one.sharp.pixels + np.float32(0.9))
    np.testing.assert_allclose(error_difference(brighter, one.sharp, one.sharp), 0.5, atol=1e-6)
    np.testing.assert_allclose(error_difference(brighter, one.sharp, one.sharp, PROTOCOLS["mpt-eval"]), 0.9, atol=1e-6)


def test_error_maps_are_on_one_symmetric_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other method against the last one, one row a pair."""
    panels = []
    draw = Axes.imshow

    def look(self: Axes, values: np.ndarray, **arguments: object) -> object:
        panels.append((float(values[0, 0]), arguments["vmin"], arguments["vmax"], arguments["cmap"]))
        return draw(self, values, **arguments)

    monkeypatch.setattr(Axes, "imshow", look)
    error_maps(tmp_path / "errors.png", [example((30, 40)), example((30, 40), (0.1, 0.0, -0.4))])
    assert [p[0] for p in panels] == pytest.approx([0.1, -0.1, -0.3, -0.4], abs=1e-6)
    assert {p[3] for p in panels} == {"RdBu_r"}
    limits = {p[1:3] for p in panels}
    assert len(limits) == 1
    assert limits.pop() == pytest.approx((-0.4, 0.4), abs=1e-6)
    drawn(tmp_path / "errors.png")


def test_error_maps_of_one_method_and_of_no_error(tmp_path: Path) -> None:
    one = example((30, 40))
    error_maps(tmp_path / "none.png", [Example("best", "x", {"a": one.restored["a"]}, one.sharp)])
    assert not (tmp_path / "none.png").exists()
    error_maps(tmp_path / "flat.png", [example((30, 40), (0.0, 0.0, 0.0))])
    assert (tmp_path / "flat.png").stat().st_size > 1000


def test_examples_of_a_min_max_protocol_have_scales_of_their_own(make_pairs: MakePairs, tmp_path: Path) -> None:
    pairs, protocol = make_pairs(2, (40, 50), np.uint16), PROTOCOLS["bbbc-pairminmax"]
    methods = {"blurred": unchanged}
    chosen = choose_examples(pairs, compare(pairs, methods, protocol=protocol), methods, protocol)
    assert [e.label for e in chosen] == ["worst", "median", "best"]
    for one in chosen:
        blurred = one.restored["blurred"]
        assert blurred.value_range == (blurred.pixels.min(), blurred.pixels.max())
        assert one.sharp.value_range == (one.sharp.pixels.min(), one.sharp.pixels.max())
    draw_examples(tmp_path / "examples.png", chosen, protocol)
    drawn(tmp_path / "examples.png")
