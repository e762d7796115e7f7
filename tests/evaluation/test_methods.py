"""The methods that can be compared."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pair_maker import MakePairs

from dgno.arrays import Image
from dgno.data.records import Record
from dgno.errors import ConfigError, UnknownWeights
from dgno.evaluation.compare import compare, unchanged
from dgno.evaluation.methods import CLASSICAL, by_name, by_restorer, classical, with_true_mean_psf
from dgno.io.image import read_image
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.image import by_percentiles, by_range, restore_image


def with_psf(pair: Record, psf: np.ndarray) -> Record:
    path = pair.input.with_name("psf.tif")
    tifffile.imwrite(path, psf.astype(np.float32))
    return replace(pair, psf=path)


def peak(side: int = 5) -> np.ndarray:
    psf = np.zeros((side, side))
    psf[side // 2, side // 2] = 1
    return psf


def test_the_blurred_image_comes_first_then_the_classical_methods_then_weights(weights: Path) -> None:
    chosen = by_name([str(weights)], ["richardson-lucy", "wiener"], device="cpu")
    assert list(chosen) == ["blurred", "richardson-lucy", "wiener", "tiny"]
    assert chosen["blurred"] is unchanged
    assert list(by_name([], [])) == ["blurred"]


def test_names_that_are_unknown_are_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="no method 'weiner'; known: wiener, richardson-lucy"):
        classical(["wiener", "weiner"])
    with pytest.raises(UnknownWeights, match="no weights named 'nothing'"):
        by_name(["nothing"], [])


def test_weights_of_one_name_can_be_told_apart(weights: Path, tmp_path: Path) -> None:
    """By what was typed; a name of a method, or one thing twice, is refused."""
    copies = [tmp_path / "a" / "tiny.safetensors", tmp_path / "a" / "wiener.safetensors"]
    copies[0].parent.mkdir()
    for copy in copies:
        shutil.copy(weights, copy)
    assert list(by_name([str(weights), str(copies[0])], [])) == ["blurred", str(weights), str(copies[0])]
    with pytest.raises(ConfigError, match="weights named 'wiener', which is the name of a method"):
        by_name([str(copies[1])], [])
    with pytest.raises(ConfigError, match="given twice"):
        by_name([str(weights)] * 2, [])
    with pytest.raises(ConfigError, match="'wiener' is given twice"):
        by_name([], ["wiener", "wiener"])


def test_weights_restore_as_the_restorer_does(make_pairs: MakePairs, weights: Path) -> None:
    """The same pixels as by hand, and not the blurred ones."""
    (pair,) = make_pairs(1, (40, 50), np.uint8)
    image = read_image(pair.input)
    restored = by_name([str(weights)], [], device="cpu")["tiny"](image, pair)
    restorer, normalize = make_restorer(weights, device="cpu")
    np.testing.assert_array_equal(restored.pixels, restore_image(image, restorer, normalize=normalize).pixels)
    assert (restored.pixels != image.pixels).any()


@pytest.mark.parametrize("normalize", [by_range, by_percentiles])
def test_a_restorer_sees_the_image_normalised_as_told(make_pairs: MakePairs, normalize: object) -> None:
    """Half of the unit values is half of the distance from black."""
    (pair,) = make_pairs(1)
    image = Image(read_image(pair.input).pixels * 300 + 50, "YX", (50.0, 350.0))
    restored = by_restorer(lambda x: x / 2, normalize)(image, pair)  # type: ignore[arg-type]
    black = normalize(image, 0).offset  # type: ignore[operator]
    np.testing.assert_allclose(restored.pixels - black, (image.pixels - black) / 2, atol=1e-3)


def test_with_the_identity_as_psf_there_is_nothing_to_restore(make_pairs: MakePairs) -> None:
    """Richardson-Lucy then gives the image back; the PSF's scale in the file means nothing."""
    (pair,) = make_pairs(1)
    image = read_image(pair.input)
    for scale in (1.0, 7.0):
        restored = classical(["richardson-lucy"])["richardson-lucy"](image, with_psf(pair, scale * peak()))
        np.testing.assert_allclose(restored.pixels, image.pixels, atol=1e-5)


def test_a_method_is_given_the_psf_of_the_pair_as_a_distribution(make_pairs: MakePairs) -> None:
    """Its orientation kept, float64, of sum 1; and the whole image at once."""
    (pair,) = make_pairs(1, (1100, 40))
    psf = np.arange(1, 16, dtype=np.float64).reshape(3, 5)
    told = []

    def deconvolve(x: object, psf: np.ndarray) -> object:
        told.append((tuple(x.shape), psf))  # type: ignore[attr-defined]
        return x

    with_true_mean_psf(deconvolve)(read_image(pair.input), with_psf(pair, 3 * psf))  # type: ignore[arg-type]
    ((shape, given),) = told
    assert shape == (1, 1, 1100, 40)
    assert given.dtype == np.float64
    np.testing.assert_allclose(given, psf / psf.sum(), rtol=1e-6)


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_methods_need_a_psf(make_pairs: MakePairs, name: str) -> None:
    pairs = make_pairs(1)
    with pytest.raises(ConfigError, match=r"no PSF is stored for the pair.*dgno simulate"):
        compare(pairs, classical([name]))
