"""Restorers side by side on the same pairs."""

from __future__ import annotations

import csv
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np

from dgno.arrays import Affine, Image, to_tensor
from dgno.data.pairs import PairFiles
from dgno.errors import ConfigError
from dgno.evaluation.protocols import DGNO, Protocol
from dgno.io.image import read_image

Method = Callable[[Image, PairFiles], Image]


@dataclass(frozen=True)
class Score:
    """One image by one method: PSNR in dB and SSIM by some protocol, and seconds per megapixel."""

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
    protocol: Protocol = DGNO,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Score]:
    """Scores of every method on every pair, by a protocol.

    Every method is given the same image, as `read_pair` reads it. A method that did its work for all pairs at once
    says what it took by an attribute `seconds_per_megapixel`; others are timed.
    """
    scores = []
    for i, pair in enumerate(pairs):
        blurred, sharp = read_pair(pair, protocol)
        for j, (name, method) in enumerate(methods.items()):
            started = time.perf_counter()
            restored = method(blurred, pair)
            speed = (time.perf_counter() - started) * 1e6 / math.prod(sharp.shape_without_samples)
            speed = getattr(method, "seconds_per_megapixel", speed)
            scores.append(Score(pair.name, name, *fidelity(restored, sharp, protocol), speed))
            progress((i + (j + 1) / len(methods)) / len(pairs))
    return scores


def read_pair(pair: PairFiles, protocol: Protocol = DGNO) -> tuple[Image, Image]:
    """The blurred and the sharp image, with the values of black and white that the protocol gives them.

    By most protocols, those of the sharp image for both: a pair has one scale. Read alone, the blurred image gets one
    of its own where its file names none: noise below black makes float images leave [0, 1], and the guess is then their
    smallest and largest value (the files of `dgno simulate` name it). With the sharp one's, methods that work on the
    range (the classical ones, and weights with "range") see simulated pairs as they were made, and all methods the
    scale that `fidelity` scores on. By min-max protocols each image has its own. Methods with statistics of their own
    are not told. Protocols that compare unrounded values turn the blurred image into floats of the same values.
    """
    blurred, sharp = read_image(pair.blurred), read_image(pair.sharp)
    if blurred.pixels.shape != sharp.pixels.shape:
        why = f"{blurred.pixels.shape} against {sharp.pixels.shape}"
        raise ConfigError("blurred and sharp differ in shape", path=pair.blurred, why=why)
    sharp_range = _scale(sharp, protocol, pair.sharp)
    blurred_range = _scale(blurred, protocol, pair.blurred)
    if protocol.unrounded:
        blurred = replace(blurred, pixels=blurred.pixels.astype(np.float32))
    blurred = replace(blurred, value_range=sharp_range if protocol.shared else blurred_range)
    return blurred, replace(sharp, value_range=sharp_range)


def _scale(image: Image, protocol: Protocol, path: Path) -> tuple[float, float]:
    try:
        return protocol.scale(image)
    except ConfigError as error:
        raise ConfigError(error.what, path=path, why=f"protocol {protocol.name}", hint=error.hint) from error


def fidelity(restored: Image, sharp: Image, protocol: Protocol = DGNO) -> tuple[float, float]:
    """PSNR in dB and SSIM by a protocol, means over the planes.

    Both images are mapped by the sharp one's scale; by min-max protocols the restored one by its own `value_range`,
    which is that of the blurred image as `read_pair` reads it.
    """
    scale = protocol.scale(sharp)
    affines = [_affine(restored.value_range if not protocol.shared else scale), _affine(scale)]
    scores = []
    for planes in zip(restored.planes(), sharp.planes(), strict=True):
        a, b = (to_tensor(plane, affine) for plane, affine in zip(planes, affines, strict=True))
        scores.append(protocol.measured(a, b))
    psnrs, ssims = zip(*scores, strict=True)
    return statistics.fmean(psnrs), statistics.fmean(ssims)


def _affine(value_range: tuple[float, float]) -> Affine:
    low, high = value_range
    return Affine(low, (high - low) or 1.0)


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


def write_csv(path: Path, scores: Iterable[Score], protocol: Protocol = DGNO) -> None:
    """All scores, one line each; the last column names the protocol."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(field.name for field in fields(Score)), "protocol"])
        writer.writerows((*astuple(score), protocol.name) for score in scores)
