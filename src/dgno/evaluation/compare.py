"""Restorers side by side on the same pairs."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Bool, Float
from torch import Tensor

from dgno.arrays import Affine, Image, to_tensor
from dgno.data.records import Record
from dgno.errors import ConfigError
from dgno.evaluation.downstream.matching import Matches
from dgno.evaluation.downstream.stains import Picture
from dgno.evaluation.downstream.tasks import Found, Task
from dgno.evaluation.measures import Measure
from dgno.evaluation.pairs import Pair, read_pair
from dgno.evaluation.protocols import DGNO, Prepared, Protocol

Method = Callable[[Image, Record], Image]
Batch = Float[Tensor, "1 c h w"]
Squares = tuple[float, int]  # sum of squared errors in units of the range, and of how many pixels


@dataclass(frozen=True)
class Score:
    """One image by one method: PSNR in dB and SSIM by some protocol, and seconds per megapixel.

    measures : others by name; None where one is not defined
    squares, matches : of measures that are pooled over images
    """

    image: str
    method: str
    psnr: float
    ssim: float
    seconds_per_megapixel: float
    measures: Mapping[str, float | None] = field(default_factory=dict)
    squares: Mapping[str, Squares] = field(default_factory=dict)
    matches: Mapping[str, tuple[Matches, ...]] = field(default_factory=dict)


def unchanged(image: Image, record: Record) -> Image:
    """The blurred image itself: what every method has to beat."""
    return image


def compare(
    records: Sequence[Record],
    methods: Mapping[str, Method],
    *,
    protocol: Protocol = DGNO,
    measures: Mapping[str, Measure] | None = None,
    task: Task | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Score]:
    """Scores of every method on every pair, by a protocol; `measures` are those beside PSNR and SSIM.

    task : a downstream measure, see `evaluation.downstream.tasks`; its images have one plane, and all pixels count

    Every method is given the same image, as `read_pair` reads it. A method that did its work for all pairs at once
    says what it took by an attribute `seconds_per_megapixel`; others are timed. Raises ConfigError with the file of a
    pair that cannot be read so, or that a measure is not defined for.
    """
    scores = []
    for i, record in enumerate(records):
        pair = read_pair(record, protocol)
        for j, (name, method) in enumerate(methods.items()):
            started = time.perf_counter()
            restored = method(pair.blurred, record)
            speed = (time.perf_counter() - started) * 1e6 / math.prod(pair.sharp.shape_without_samples)
            speed = getattr(method, "seconds_per_megapixel", speed)
            planes = list(prepared_planes(restored, pair.sharp, protocol, pair.counted))
            try:
                found = _found(task, restored, pair, record, protocol) if task else Found({})
                scores.append(_score(planes, protocol, measures or {}, (record.key, name, speed), found))
            except ConfigError as error:
                error.path = error.path or record.target
                raise
            progress((i + (j + 1) / len(methods)) / len(records))
    return scores


def _found(task: Task, restored: Image, pair: Pair, record: Record, protocol: Protocol) -> Found:
    if pair.sharp.plane_count != 1 or pair.counted is not None:
        why = f"{pair.sharp.plane_count} planes" if pair.counted is None else "it has a mask"
        raise ConfigError("downstream measures are of whole single planes", path=record.target, why=why)
    ((one, other),) = unit_planes(restored, pair.sharp, protocol)
    return task(_picture(one), _picture(other), record)


def _picture(plane: Batch) -> Picture:
    """(h, w, c), clamped to [0, 1]."""
    return plane[0].clamp(0, 1).permute(1, 2, 0).double().numpy()


def _score(
    planes: Sequence[Prepared],
    protocol: Protocol,
    measures: Mapping[str, Measure],
    of: tuple[str, str, float],
    found: Found,
) -> Score:
    image, method, speed = of
    psnr, ssim = _both([protocol.measured(plane) for plane in planes])
    more: dict[str, float | None] = {}
    squares: dict[str, Squares] = {}
    for name, measure in measures.items():
        defined = [(value, plane) for plane in planes if (value := measure.of(plane)) is not None]
        more[name] = statistics.fmean(value for value, _ in defined) if defined else None
        if measure.region is not None and defined:
            counts = [int(measure.region(plane).sum()) for _, plane in defined]
            errors = sum(n * 10 ** (-value / 10) for n, (value, _) in zip(counts, defined, strict=True))
            squares[name] = (errors, sum(counts))
    return Score(image, method, psnr, ssim, speed, {**more, **found.values}, squares, found.matches)


def fidelity(restored: Image, sharp: Image, protocol: Protocol = DGNO) -> tuple[float, float]:
    """PSNR in dB and SSIM by a protocol, means over the planes; see `prepared_planes`."""
    return _both([protocol.measured(pair) for pair in prepared_planes(restored, sharp, protocol)])


def prepared_planes(
    restored: Image, sharp: Image, protocol: Protocol, counted: Bool[Tensor, "h w"] | None = None
) -> Iterator[Prepared]:
    """Plane by plane, what the protocol compares; `counted` says which pixels of each."""
    for one, other in unit_planes(restored, sharp, protocol):
        yield protocol.pair(one, other, counted)


def unit_planes(restored: Image, sharp: Image, protocol: Protocol) -> Iterator[tuple[Batch, Batch]]:
    """Plane by plane, both images with black as 0 and white as 1, unclamped.

    Both are mapped by the sharp one's scale; by min-max protocols the restored one by its own `value_range`,
    which is that of the blurred image as `read_pair` reads it. Float64, as measures are.
    """
    scale = protocol.scale(sharp)
    affines = [_affine(restored.value_range if not protocol.shared else scale), _affine(scale)]
    for planes in zip(restored.planes(), sharp.planes(), strict=True):
        a, b = (to_tensor(plane, affine, doubles=True) for plane, affine in zip(planes, affines, strict=True))
        yield a, b


def _both(scores: Sequence[tuple[float, float]]) -> tuple[float, float]:
    psnrs, ssims = zip(*scores, strict=True)
    return statistics.fmean(psnrs), statistics.fmean(ssims)


def _affine(value_range: tuple[float, float]) -> Affine:
    low, high = value_range
    return Affine(low, (high - low) or 1.0)
