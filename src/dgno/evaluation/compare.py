"""Restorers side by side on the same pairs."""

from __future__ import annotations

import csv
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from dgno.arrays import Image, range_affine, to_tensor
from dgno.data.pairs import PairFiles
from dgno.errors import ConfigError
from dgno.io.image import read_image
from dgno.metrics import psnr, ssim

Method = Callable[[Image, PairFiles], Image]


@dataclass(frozen=True)
class Score:
    """One image by one method: PSNR in dB and SSIM by the protocol `dgno`, and seconds per megapixel."""

    image: str
    method: str
    psnr: float
    ssim: float
    seconds_per_megapixel: float


@dataclass(frozen=True)
class Summary:
    """One method over all images: mean and standard deviation, which is NaN where an image was restored perfectly."""

    method: str
    n: int
    psnr: float
    psnr_sd: float
    ssim: float
    ssim_sd: float
    seconds_per_megapixel: float


def unchanged(image: Image, pair: PairFiles) -> Image:
    """The blurred image itself: what every method has to beat."""
    return image


def compare(
    pairs: Sequence[PairFiles],
    methods: Mapping[str, Method],
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Score]:
    """Scores of every method on every pair. Values are compared in [0, 1] of the sharp image's range, clamped to it.

    Every method is given the same image, as `read_pair` reads it.
    """
    scores = []
    for i, pair in enumerate(pairs):
        blurred, sharp = read_pair(pair)
        for j, (name, method) in enumerate(methods.items()):
            started = time.perf_counter()
            restored = method(blurred, pair)
            seconds = time.perf_counter() - started
            megapixels = math.prod(sharp.shape_without_samples) / 1e6
            scores.append(Score(pair.name, name, *fidelity(restored, sharp), seconds / megapixels))
            progress((i + (j + 1) / len(methods)) / len(pairs))
    return scores


def read_pair(pair: PairFiles) -> tuple[Image, Image]:
    """The blurred and the sharp image, both with the sharp one's values of black and white.

    A pair has one scale. Read alone, the blurred image gets one of its own where its file names none: noise below black
    makes float images leave [0, 1], and the guess is then their smallest and largest value (the files of
    `dgno simulate` name it). With the sharp one's, methods that work on the range (the classical ones, and weights
    with "range") see simulated pairs as they were made, and all methods the scale that `fidelity` scores on. Methods
    with statistics of their own are not told.
    """
    blurred, sharp = read_image(pair.blurred), read_image(pair.sharp)
    if blurred.pixels.shape != sharp.pixels.shape:
        why = f"{blurred.pixels.shape} against {sharp.pixels.shape}"
        raise ConfigError("blurred and sharp differ in shape", path=pair.blurred, why=why)
    return replace(blurred, value_range=sharp.value_range), sharp


def fidelity(restored: Image, sharp: Image) -> tuple[float, float]:
    """PSNR in dB and SSIM, means over the planes; both images mapped by the sharp one's range and clamped to it."""
    affine = range_affine(sharp)
    scores = []
    for planes in zip(restored.planes(), sharp.planes(), strict=True):
        a, b = (to_tensor(plane, affine).clamp(0, 1) for plane in planes)
        scores.append((psnr(a, b), ssim(a, b)))
    psnrs, ssims = zip(*scores, strict=True)
    return statistics.fmean(psnrs), statistics.fmean(ssims)


def summarise(scores: Iterable[Score]) -> list[Summary]:
    """One line a method, in the order of their first appearance."""
    by_method: dict[str, list[Score]] = {}
    for score in scores:
        by_method.setdefault(score.method, []).append(score)
    return [
        Summary(
            method,
            len(group),
            *_mean_sd([s.psnr for s in group]),
            *_mean_sd([s.ssim for s in group]),
            statistics.fmean(s.seconds_per_megapixel for s in group),
        )
        for method, group in by_method.items()
    ]


COLUMNS = ("method", "n", "PSNR dB", "sd", "SSIM", "sd", "s/Mpx")


def table_row(line: Summary) -> tuple[str, ...]:
    """A summary as text, under COLUMNS."""
    numbers = (f"{line.psnr:.2f}", f"{line.psnr_sd:.2f}", f"{line.ssim:.4f}", f"{line.ssim_sd:.4f}")
    return (line.method, str(line.n), *numbers, f"{line.seconds_per_megapixel:.2f}")


def _mean_sd(values: Sequence[float]) -> tuple[float, float]:
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, 0.0
    return mean, statistics.stdev(values) if math.isfinite(mean) else math.nan  # equal images: infinite PSNR


def write_csv(path: Path, scores: Iterable[Score]) -> None:
    """All scores, one line each."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Score))
        writer.writerows(astuple(score) for score in scores)
