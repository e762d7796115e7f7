"""What a published number stands for: how images were read, cut and measured, as named records.

A PSNR or SSIM without the name of its protocol says little: the same images differ by several dB between them. The
table in docs/protocols.md has one line for each of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from dgno.arrays import Image
from dgno.checks import refuse_choice
from dgno.errors import ConfigError
from dgno.metrics import GAUSSIAN, REPLICATED, UNIFORM, VOLUME, Window, psnr, region_psnr, ssim

Batch = Float[Tensor, "1 c h w"]
Cut = Float[Tensor, "1 c2 h2 w2"]
Scale = Callable[[Image], tuple[float, float]]  # the values that become 0 and 1


def by_value_range(image: Image) -> tuple[float, float]:
    """Black and white of the image."""
    return image.value_range


def by_8_bits(image: Image) -> tuple[float, float]:
    """0 and 255; floats are taken for unit values. Raises ConfigError for other depths."""
    return _by_depth(image, np.uint8)


def by_16_bits(image: Image) -> tuple[float, float]:
    """0 and 65535; floats are taken for unit values. Raises ConfigError for other depths."""
    return _by_depth(image, np.uint16)


def by_own_extremes(image: Image) -> tuple[float, float]:
    """The smallest and the largest value of the image itself. Raises ConfigError if it is constant."""
    low, high = float(image.pixels.min()), float(image.pixels.max())
    if low == high:
        raise ConfigError(
            "a constant image has no smallest and largest value to be scaled by", hint="use --protocol dgno"
        )
    return low, high


def by_8_bits_or_extremes(image: Image) -> tuple[float, float]:
    """0 and 255 of 8 bits; other integers by their own extremes (MPT's way with BBBC006); floats are unit values."""
    return by_own_extremes(image) if image.pixels.dtype.kind in "ui" and image.pixels.itemsize > 1 else by_8_bits(image)


def _by_depth(image: Image, dtype: type[np.unsignedinteger]) -> tuple[float, float]:
    came = image.pixels.dtype
    if came.kind == "f":
        return 0.0, 1.0
    if came != dtype:
        wanted = f"{np.dtype(dtype)} or floats in [0, 1]"
        raise ConfigError(f"the protocol reads {wanted}, got {came}", hint="use --protocol dgno, which takes any depth")
    return 0.0, float(np.iinfo(dtype).max)


def whole(x: Batch) -> Cut:
    """Nothing is cut."""
    return x


def multiple_of_8(x: Batch) -> Cut:
    """The upper left part, sides multiples of 8 px."""
    height, width = (n // 8 * 8 for n in x.shape[-2:])
    return x[..., :height, :width]


def centre_512_640(x: Batch) -> Cut:
    """The middle 512 x 640 px, or all along an axis that is shorter."""
    top, left = (max(0, (n - wanted) // 2) for n, wanted in zip(x.shape[-2:], (512, 640), strict=True))
    return x[..., top : top + 512, left : left + 640]


def luma(x: Batch) -> Cut:
    """Y of BT.601 in 16-235 of 255, from colours in [0, 1]; images of other than three channels as they are."""
    if x.shape[1] != 3:
        return x
    red, green, blue = x.double().split(1, dim=1)
    return (65.481 * red + 128.553 * green + 24.966 * blue + 16) / 255


def one(restored: Cut) -> float:
    """Images are in [0, 1], so is their range."""
    return 1.0


def one_or_a_level(restored: Cut) -> float:
    """BasicSR in Restormer's copy takes images whose largest level is 1 or less for unit images."""
    return 1.0 if float(restored.max()) * 255 > 1 else 1 / 255


@dataclass(frozen=True, eq=False)
class Prepared:
    """One plane of a restored and of the sharp image, as a protocol compares them.

    peak : data_range of the measures
    counted : where pixels count; None: everywhere
    bands : of edges by radius, as measures find them
    """

    restored: Cut
    sharp: Cut
    peak: float = 1.0
    counted: Bool[Tensor, "h2 w2"] | None = None
    bands: dict[int, Bool[Tensor, "h2 w2"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """How restored images are compared with sharp ones.

    scale : which values of an image become 0 and 1
    shared : the restored image is mapped by the scale of the sharp one; else by that of the blurred one
    unrounded : restorers give floats; else values as a file of the blurred image's dtype holds them
    clamp : values end at 0 and 1
    levels : values are rounded to whole numbers of that many steps
    crop : what of the image counts
    space : "RGB", every channel as it is; "Y", luma
    peak : data_range of the measures, from the restored image
    window : of SSIM
    psnr_if_equal : dB
    also : measures of `measures.MEASURES` that are published with it
    """

    name: str
    scale: Scale = by_8_bits
    shared: bool = True
    unrounded: bool = True
    clamp: bool = True
    levels: int | None = None
    crop: Callable[[Batch], Cut] = whole
    space: str = "RGB"
    peak: Callable[[Cut], float] = one
    window: Window = GAUSSIAN
    psnr_if_equal: float = math.inf
    also: tuple[str, ...] = ()

    def prepared(self, x: Batch) -> Cut:
        """Unit values as they are compared: clamped, rounded, cut, turned to luma."""
        if self.clamp or self.levels:
            x = x.clamp(0, 1)
        if self.levels:
            x = (x.double() * self.levels).round() / self.levels
        x = self.crop(x)
        return luma(x) if self.space == "Y" else x

    def pair(self, restored: Batch, sharp: Batch, counted: Bool[Tensor, "h w"] | None = None) -> Prepared:
        """One plane of both, given in unit values, ready to be measured."""
        a, b = self.prepared(restored), self.prepared(sharp)
        region = None if counted is None else self.crop(counted.float()[None, None])[0, 0] > 0
        return Prepared(a, b, self.peak(a), region)

    def measured(self, pair: Prepared) -> tuple[float, float]:
        """PSNR in dB and SSIM of one plane."""
        a, b, peak, region = pair.restored, pair.sharp, pair.peak, pair.counted
        decibels = psnr(a, b, peak) if region is None else region_psnr(a, b, region, data_range=peak)
        similarity = ssim(a, b, peak, window=self.window, region=region)
        return (decibels if math.isfinite(decibels) else self.psnr_if_equal), similarity


DGNO = Protocol("dgno", by_value_range, unrounded=False)
RESTORMER = Protocol("restormer-defocus", window=UNIFORM, psnr_if_equal=100.0, also=("mae",))
BASICSR = Protocol("basicsr", levels=255)
FORK = replace(BASICSR, name="basicsr-restormer-fork", peak=one_or_a_level, window=VOLUME)
MPT = Protocol("mpt-eval", by_8_bits_or_extremes, shared=False, clamp=False, crop=multiple_of_8, window=UNIFORM)
BBBC = replace(RESTORMER, name="bbbc-pairminmax", scale=by_own_extremes, shared=False, also=())

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        DGNO,
        RESTORMER,
        replace(RESTORMER, name="restormer-dp16", scale=by_16_bits),
        BASICSR,
        replace(BASICSR, name="basicsr-y", space="Y"),
        FORK,
        replace(FORK, name="basicsr-restormer-fork-y", space="Y", window=REPLICATED),
        MPT,
        replace(MPT, name="mpt-val", crop=centre_512_640, window=GAUSSIAN),
        Protocol("gkmnet", levels=255),
        BBBC,
        replace(BBBC, name="bbbc-pairminmax-gaussian", window=GAUSSIAN),
        replace(RESTORMER, name="3dhistech"),
    )
}


def protocol_named(name: str) -> Protocol:
    """The protocol of that name; raises ConfigError with the nearest one if there is none."""
    if wrong := refuse_choice("protocol", name, PROTOCOLS):
        raise ConfigError(wrong[0])
    return PROTOCOLS[name]
