"""Measures beside PSNR and SSIM, by name, of planes as a protocol prepares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from jaxtyping import Bool
from torch import Tensor

from dgno.checks import refuse_choice
from dgno.errors import ConfigError
from dgno.evaluation.backbone import SMALLEST as SMALLEST_OF_LPIPS
from dgno.evaluation.backbone import load_lpips
from dgno.evaluation.protocols import Prepared, Protocol
from dgno.metrics import affine_psnr, edge_band, gmsd, mae, ms_ssim, region_psnr
from dgno.metrics.gradient_similarity import SMALLEST as SMALLEST_OF_GRADIENTS
from dgno.metrics.structural_similarity import SMALLEST_OF_SCALES

LPIPS, ALL = "lpips", "all"


@dataclass(frozen=True)
class Measure:
    """A number that says how close a plane comes to the sharp one.

    of : None where it is not defined, as in a band of edges where there are none
    digits : behind the point in tables
    smallest : px, of the sides that it is defined for
    region : of measures in dB whose squared errors are pooled over images: the pixels that they are about
    """

    of: Callable[[Prepared], float | None]
    digits: int = 4
    region: Callable[[Prepared], Bool[Tensor, "h w"]] | None = None
    smallest: int = 1

    def where_defined(self) -> Measure:
        """The same, None of smaller images than it is defined for."""

        def of(pair: Prepared) -> float | None:
            return None if min(pair.sharp.shape[-2:]) < self.smallest else self.of(pair)

        return replace(self, of=of)


def _mean_absolute(pair: Prepared) -> float:
    return mae(*_counted(pair))


def _affine(pair: Prepared) -> float:
    return affine_psnr(*_counted(pair), pair.peak)


def _counted(pair: Prepared) -> tuple[Tensor, Tensor]:
    if pair.counted is None:
        return pair.restored, pair.sharp
    return pair.restored[..., pair.counted], pair.sharp[..., pair.counted]


def of_rectangle(name: str, measure: Callable[[Tensor, Tensor, float], float], smallest: int = 1) -> Measure:
    """A measure of whole images of `smallest` px and more. It raises ConfigError where a mask leaves pixels out."""

    def of(pair: Prepared) -> float:
        if pair.counted is not None:
            raise ConfigError(f"{name} is not defined with a mask", hint=f"leave --measure {name} or the mask out")
        return measure(pair.restored, pair.sharp, pair.peak)

    return Measure(of, smallest=smallest)


def _band(pair: Prepared, *, radius: int, inside: bool) -> Bool[Tensor, "h w"]:
    if radius not in pair.bands:
        pair.bands[radius] = edge_band(pair.sharp, radius, data_range=pair.peak)
    band = pair.bands[radius] if inside else ~pair.bands[radius]
    return band if pair.counted is None else band & pair.counted


def _band_psnr(pair: Prepared, region: Callable[[Prepared], Bool[Tensor, "h w"]]) -> float | None:
    where = region(pair)
    return region_psnr(pair.restored, pair.sharp, where, data_range=pair.peak) if where.any() else None


def _band_share(pair: Prepared, *, radius: int) -> float:
    band = _band(pair, radius=radius, inside=True)
    return float(band.sum()) / float(band.numel() if pair.counted is None else pair.counted.sum())


def _edges(radius: int, suffix: str) -> dict[str, Measure]:
    """PSNR in the band of that radius around edges and elsewhere, and the band's share of the pixels."""
    inside, outside = (partial(_band, radius=radius, inside=side) for side in (True, False))
    return {
        f"edge-psnr{suffix}": Measure(partial(_band_psnr, region=inside), 2, inside),
        f"non-edge-psnr{suffix}": Measure(partial(_band_psnr, region=outside), 2, outside),
        f"edge-share{suffix}": Measure(partial(_band_share, radius=radius), 3),
    }


MEASURES: dict[str, Measure] = {
    "mae": Measure(_mean_absolute, 5),
    "ms-ssim": of_rectangle("ms-ssim", ms_ssim, SMALLEST_OF_SCALES),
    "gmsd": of_rectangle("gmsd", gmsd, SMALLEST_OF_GRADIENTS),
    "affine-psnr": Measure(_affine, 2),
    **_edges(3, ""),
    **_edges(1, "-r1"),
    **_edges(5, "-r5"),
}


def chosen_measures(names: Sequence[str], protocol: Protocol, *, lpips: Path | None = None) -> dict[str, Measure]:
    """The measures of these names behind those that the protocol is published with; "all": all.

    Of an image that is too small, a measure that is named raises ConfigError, one of "all" is None.
    lpips : file of weights, without which there is no LPIPS; see `backbone`
    Raises ConfigError for unknown names and for LPIPS without its file.
    """
    known: Mapping[str, Measure] = MEASURES
    if lpips is not None:
        known = MEASURES | {LPIPS: of_rectangle(LPIPS, load_lpips(lpips), SMALLEST_OF_LPIPS)}
    elif LPIPS in names:
        raise ConfigError("LPIPS needs its weights", hint="give their file: --lpips FILE, see docs/evaluating.md")
    for name in names:
        if wrong := refuse_choice("measure", name, (*known, ALL)):
            raise ConfigError(wrong[0])
    named = (*protocol.also, *(name for name in names if name != ALL))
    every = {name: measure.where_defined() for name, measure in known.items()} if ALL in names else {}
    return {name: known[name] if name in named else every[name] for name in dict.fromkeys((*named, *every))}
