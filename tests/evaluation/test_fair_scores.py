"""Comparisons that are fair to every method, and tables that stand whatever the scores are."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile
from torch import Tensor

from dgno.arrays import Image
from dgno.cli.console import print_json
from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.records import Record
from dgno.data.simulated import write_pairs
from dgno.errors import ConfigError
from dgno.evaluation import plots
from dgno.evaluation.compare import Score, compare, fidelity, unchanged
from dgno.evaluation.methods import by_restorer, titles, with_true_mean_psf
from dgno.evaluation.pairs import read_pair
from dgno.evaluation.summaries import summarise, table
from dgno.io.image import read_image
from dgno.optics.simulate import BlurRange
from dgno.restoration.image import by_range


@pytest.fixture
def on_black(tmp_path: Path) -> Record:
    """A simulated pair of bright squares on a black ground, where noise leaves [0, 1]."""
    sharp = np.zeros((48, 60), np.uint8)
    sharp[10:20, 10:30] = sharp[30:40, 35:50] = 255
    tifffile.imwrite(tmp_path / "a.tif", sharp)
    noisy = BlurRange(sigma=(1.0, 1.0), read_noise=(0.05, 0.05))
    write_pairs([tmp_path / "a.tif"], tmp_path / "pairs", noisy, scale="range")
    (pair,) = read_folder_pair(tmp_path / "pairs")
    return pair


@pytest.mark.parametrize("saved_anew", [False, True])
def test_every_method_sees_simulated_pairs_as_they_were_made(on_black: Record, saved_anew: bool) -> None:
    """Classical ones, and weights that work on the range; also where another program saved the blurred file anew,
    which then names no range, and would be guessed wider alone."""
    written = tifffile.imread(on_black.input)
    assert read_image(on_black.input).value_range == (0.0, 1.0)
    if saved_anew:
        tifffile.imwrite(on_black.input, written)
        low, high = read_image(on_black.input).value_range
        assert low < -0.05
        assert high > 1.05
    seen: list[Tensor] = []

    def look(x: Tensor, psf: object = None) -> Tensor:
        seen.append(x)
        return x

    compare([on_black], {"classical": with_true_mean_psf(look), "weights": by_restorer(look, by_range)})
    assert len(seen) == 2
    for x in seen:
        np.testing.assert_array_equal(x[0, 0].numpy(), written)


def test_both_images_of_a_pair_have_the_range_of_the_sharp_one(tmp_path: Path) -> None:
    """A dark blurred image of 10 bits and a sharp one of 12 come from one camera."""
    for folder, largest in (("blurred", 1000), ("sharp", 4000)):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", np.linspace(0, largest, 400).reshape(20, 20).astype(np.uint16))
    pair = read_pair(*read_folder_pair(tmp_path))
    blurred, sharp = pair.blurred, pair.sharp
    assert blurred.value_range == sharp.value_range == (0.0, 4095.0)


@pytest.mark.parametrize(("axes", "shape"), [("CYX", (3, 20, 24)), ("TCYX", (2, 2, 20, 24)), ("ZYXS", (2, 20, 24, 3))])
def test_every_plane_counts(axes: str, shape: tuple[int, ...]) -> None:
    """The score of a stack is the mean over its planes; an error in the last one does not go unseen."""
    rng = np.random.default_rng(0)
    sharp = rng.random(shape).astype(np.float32)
    restored = (sharp + rng.normal(0, 0.05, shape)).astype(np.float32)
    restored[-1] = rng.random(shape[1:])
    pair = Image(restored, axes), Image(sharp, axes)
    planes = zip(*(image.planes() for image in pair), strict=True)
    alone = [fidelity(Image(a, "YXS"), Image(b, "YXS")) for a, b in planes]
    assert fidelity(*pair) == pytest.approx(tuple(np.mean(alone, axis=0)), abs=1e-9)
    assert min(psnr for psnr, _ in alone) < fidelity(*pair)[0] - 3


def test_weights_of_one_stem_keep_their_names() -> None:
    """Two files a/w and b/w are two lines; stems that are unique stay short."""
    given = ["a/w.safetensors", "b/w.safetensors", "c/v.safetensors", "fluorescence-nano"]
    assert titles(given) == {given[0]: given[0], given[1]: given[1], "v": given[2], "fluorescence-nano": given[3]}
    with pytest.raises(ConfigError, match=r"'a/w.safetensors' is given twice"):
        titles([given[0], given[1], given[0]])


PERFECT = [Score("a", "m", math.inf, 1.0, 0.5), Score("b", "m", 30.0, 0.9, 0.5), Score("c", "m", 32.0, 0.9, 0.5)]


def test_an_image_that_was_restored_perfectly_breaks_no_table() -> None:
    """Its PSNR is infinite, so is the mean, and there is no deviation; the other columns are as ever."""
    (line,) = summarise(PERFECT)
    assert line.psnr == math.inf
    assert math.isnan(line.psnr_sd)
    assert line.ssim == pytest.approx(2.8 / 3)
    assert tuple(table([line])[1][0][2:4]) == ("inf", "nan")


def test_what_json_has_no_number_for_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = summarise(PERFECT)
    print_json({"summary": [asdict(line)], "range": (0.0, -math.inf)})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    read = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert (read["summary"][0]["psnr"], read["summary"][0]["psnr_sd"]) == (None, None)
    assert read["summary"][0]["n"] == 3
    assert read["range"] == [0.0, None]


def test_an_image_that_was_restored_perfectly_breaks_no_plot(on_black: Record, tmp_path: Path) -> None:
    truth = read_image(on_black.target)
    methods = {"blurred": unchanged, "truth": lambda image, pair: truth}
    scores = compare([on_black], methods)
    assert scores[1].psnr == math.inf
    plots.box_plots(tmp_path / "scores.png", scores)
    plots.draw_examples(tmp_path / "examples.png", plots.choose_examples([on_black], scores, methods))
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("scores.png", "examples.png"))


def test_examples_are_ranked_by_the_last_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it gains over the first one: the least, the median and the most."""
    for folder in ("blurred", "sharp"):
        (tmp_path / folder).mkdir()
        for name in "abcde":
            tifffile.imwrite(tmp_path / folder / f"{name}.tif", np.eye(16, dtype=np.float32))
    gains = {"a": 3.0, "b": 1.0, "c": 5.0, "d": 2.0, "e": 4.0}
    names = ("blurred", "other", "last")
    scores = [
        Score(image, method, {"blurred": 20.0, "other": 20.0 - gain, "last": 20.0 + gain}[method], 1.0, 1.0)
        for image, gain in gains.items()
        for method in names
    ]
    titled: list[str] = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda self, text, **arguments: titled.append(text))
    chosen = plots.choose_examples(read_folder_pair(tmp_path), scores, dict.fromkeys(names, unchanged))
    plots.draw_examples(tmp_path / "e.png", chosen)
    assert [text for text in titled if text.startswith("last")] == [
        "last, worst: b",
        "last, median: a",
        "last, best: c",
    ]
