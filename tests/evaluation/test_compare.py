"""Scores, and what is made of them."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pair_maker import MakePairs
from scipy.ndimage import gaussian_filter
from skimage import metrics as reference

from dgno.arrays import Image
from dgno.data.records import Record
from dgno.errors import ConfigError
from dgno.evaluation.compare import (
    Score,
    compare,
    fidelity,
    unchanged,
)
from dgno.evaluation.protocols import PROTOCOLS
from dgno.evaluation.summaries import COLUMNS, Summary, summarise, table, write_csv


def smoothed(image: Image, record: Record) -> Image:
    return image.with_pixels(gaussian_filter(image.pixels, 1, axes=(0, 1)))


def the_truth(image: Image, record: Record) -> Image:
    return image.with_pixels(tifffile.imread(record.target))


METHODS = {"blurred": unchanged, "smoothed": smoothed}


def by_scikit(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """PSNR and SSIM of unit images as the protocol `dgno` has them: Gaussian window, 5 px cut, colours averaged."""
    a, b = (x.reshape(*x.shape[:2], -1) for x in (a, b))
    maps = [
        reference.structural_similarity(
            x, y, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )[1][5:-5, 5:-5]
        for x, y in zip(np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0), strict=True)
    ]
    return reference.peak_signal_noise_ratio(b, a, data_range=1.0), float(np.mean(maps))


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255.0), (np.uint16, 4095.0), (np.float32, 1.0)])
@pytest.mark.parametrize("shape", [(48, 60), (30, 41, 3)], ids=["gray", "colour"])
def test_scores_are_those_of_scikit_image(
    make_pairs: MakePairs, dtype: type, full: float, shape: tuple[int, ...]
) -> None:
    """Of the files' values in [0, 1] of the sharp image's range, for every pair and method."""
    pairs = make_pairs(2, shape, dtype)
    scores = compare(pairs, METHODS)
    assert [(s.image, s.method) for s in scores] == [(p.key, m) for p in pairs for m in METHODS]
    for i, pair in enumerate(pairs):
        blurred, sharp = (tifffile.imread(path) for path in (pair.input, pair.target))
        for j, values in enumerate((blurred, gaussian_filter(blurred, 1, axes=(0, 1)))):
            wanted = by_scikit(values.astype(np.float64) / full, sharp.astype(np.float64) / full)
            score = scores[2 * i + j]
            assert (score.psnr, score.ssim) == pytest.approx(wanted, abs=1e-5)


def test_values_beyond_the_range_are_clamped_to_it() -> None:
    """Noise above white is no error of an image that is white."""
    sharp = Image(np.pad(np.ones((20, 20), np.float32), 4), "YX", (0.0, 1.0))
    louder = sharp.with_pixels(np.where(sharp.pixels > 0, 1.3, -0.2).astype(np.float32))
    assert fidelity(louder, sharp) == (math.inf, pytest.approx(1))


def test_the_range_is_the_sharp_images() -> None:
    """The same images in other units have the same scores."""
    rng = np.random.default_rng(0)
    sharp, restored = rng.random((2, 30, 30)).astype(np.float32)
    unit = fidelity(Image(restored), Image(sharp))
    scaled = (Image((x * 800 + 100).astype(np.float32), "YX", (100.0, 900.0)) for x in (restored, sharp))
    assert fidelity(*scaled) == pytest.approx(unit, abs=1e-4)


def test_a_perfect_method_has_infinite_psnr_and_ssim_one(make_pairs: MakePairs) -> None:
    (score,) = compare(make_pairs(1), {"truth": the_truth})
    assert (score.psnr, score.ssim) == (math.inf, pytest.approx(1))
    (line,) = summarise([score])
    assert (line.psnr, line.psnr_sd) == (math.inf, 0.0)


def test_time_is_that_of_the_method_per_megapixel(make_pairs: MakePairs) -> None:
    """50 ms for 48 x 60 px are 17 s a megapixel; reading and scoring do not count."""

    def slow(image: Image, record: Record) -> Image:
        time.sleep(0.05)
        return image

    first, second = compare(make_pairs(1), {"slow": slow, "fast": unchanged})
    assert 0.05 <= first.seconds_per_megapixel * 48 * 60 / 1e6 < 1
    assert second.seconds_per_megapixel < first.seconds_per_megapixel / 5


def test_a_method_may_tell_its_own_time(make_pairs: MakePairs) -> None:
    """Which it took for all pairs before."""

    class Done:
        seconds_per_megapixel = 12.5

        def __call__(self, image: Image, record: Record) -> Image:
            return image

    assert [s.seconds_per_megapixel for s in compare(make_pairs(2), {"done": Done()})] == [12.5, 12.5]


def test_progress_rises_to_one(make_pairs: MakePairs) -> None:
    shares: list[float] = []
    compare(make_pairs(2), METHODS, progress=shares.append)
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1])


def test_images_of_different_shapes_are_no_pair(make_pairs: MakePairs) -> None:
    (pair,) = make_pairs(1)
    tifffile.imwrite(pair.target, np.zeros((48, 61), np.float32))
    with pytest.raises(ConfigError, match=r"\(48, 60\) against \(48, 61\)"):
        compare([pair], METHODS)


def test_mean_and_deviation_are_those_of_the_rows(make_pairs: MakePairs) -> None:
    """The sample's standard deviation; methods in the order in which they came."""
    scores = compare(make_pairs(4), METHODS)
    lines = summarise(scores)
    assert [(line.method, line.n) for line in lines] == [("blurred", 4), ("smoothed", 4)]
    for line in lines:
        rows = [s for s in scores if s.method == line.method]
        for measure in ("psnr", "ssim"):
            values = np.array([getattr(s, measure) for s in rows])
            assert getattr(line, measure) == pytest.approx(values.mean())
            assert getattr(line, f"{measure}_sd") == pytest.approx(values.std(ddof=1))
            assert values.std() > 0
        assert line.seconds_per_megapixel == pytest.approx(np.mean([s.seconds_per_megapixel for s in rows]))


def test_one_image_has_no_deviation() -> None:
    (line,) = summarise([Score("a", "m", 30.0, 0.9, 1.0)])
    assert line == Summary("m", 1, 30.0, 0.0, 0.9, 0.0, 1.0)
    assert summarise([]) == []


def test_a_row_stands_under_its_columns() -> None:
    columns, (row,) = table([Summary("wiener", 12, 31.456, 1.006, 0.91234, 0.0101, 0.126)])
    assert row == ["wiener", "12", "31.46", "1.01", "0.9123", "0.0101", "0.13"]
    assert columns == list(COLUMNS)


def test_the_csv_gives_the_scores_back(tmp_path: Path) -> None:
    """To the last digit, whatever the names."""
    odd = ["a", 'with "quotes", commas', "Zelle α", "two\nlines", "=1+1"]
    scores = [Score(name, "m;1", 30 + 1 / (3 + i), 0.1 + 0.2, 1e-7 / 3) for i, name in enumerate(odd)]
    scores.append(Score("same", "m", math.inf, 1.0, 0.0))
    write_csv(tmp_path / "scores.csv", scores, PROTOCOLS["gkmnet"])
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {r["protocol"] for r in rows} == {"gkmnet"}
    assert [
        Score(r["image"], r["method"], *(float(r[f]) for f in ("psnr", "ssim", "seconds_per_megapixel"))) for r in rows
    ] == scores


def test_perfect_and_other_images_together_have_a_mean_without_deviation() -> None:
    (line,) = summarise([Score("a", "m", math.inf, 1.0, 0.1), Score("b", "m", 30.0, 0.9, 0.1)])
    assert line.psnr == math.inf
    assert math.isnan(line.psnr_sd)
    assert line.ssim == pytest.approx(0.95)
    assert len(table([line])[1][0]) == len(COLUMNS)


def test_a_stack_is_scored_by_all_its_planes() -> None:
    """The mean over planes of PSNR and SSIM."""
    rng = np.random.default_rng(0)
    sharp = rng.random((3, 30, 30)).astype(np.float32)
    restored = (sharp + rng.normal(0, 1, sharp.shape) * np.array([0.01, 0.05, 0.2])[:, None, None]).astype(np.float32)
    planes = [fidelity(Image(a), Image(b)) for a, b in zip(restored, sharp, strict=True)]
    assert len({round(psnr) for psnr, _ in planes}) == 3
    assert fidelity(Image(restored, "ZYX"), Image(sharp, "ZYX")) == pytest.approx(np.mean(planes, axis=0))


def test_every_method_is_given_the_scale_of_the_sharp_image(make_pairs: MakePairs) -> None:
    """Noise that takes the blurred file below black does not change its scale."""
    (pair,) = make_pairs(1)
    tifffile.imwrite(pair.input, tifffile.imread(pair.input) - 0.1)
    ranges = []

    def looking(image: Image, record: Record) -> Image:
        ranges.append(image.value_range)
        return image

    compare([pair], {"looking": looking})
    assert ranges == [(0.0, 1.0)]
