"""Rows of tables that no trained network makes."""

from __future__ import annotations

import functools
from dataclasses import replace

from dgno.arrays import Image
from dgno.classical.ring import ring_deconvolve
from dgno.data.controlled import LENS
from dgno.data.records import Record
from dgno.evaluation.pairs import read_pair
from dgno.optics.ring_blur import RingBlur
from dgno.optics.seidel import seidel
from dgno.restoration.image import by_range, restore_image

MARGIN = 16  # px of the object beyond the image


def the_sharp_image(image: Image, record: Record) -> Image:
    """The sharp image itself, black and white its extremes: what detection finds without any blur."""
    sharp = read_pair(record).sharp
    return replace(sharp, value_range=(float(sharp.pixels.min()), float(sharp.pixels.max())))


def ring_with_the_true_lens(image: Image, record: Record) -> Image:
    """Ring deconvolution that is told the lens of the set S3.

    The set is blurred by the PSF of each target pixel and mirrored at its borders; the ring blur takes that of each
    source, and an object that ends beyond the border.
    """
    blur = _lens_blur(image.shape_without_samples[-2:])
    return restore_image(image, lambda x: ring_deconvolve(x, blur), tile_size=0, normalize=by_range)


@functools.lru_cache(maxsize=1)
def _lens_blur(shape: tuple[int, int]) -> RingBlur:
    return RingBlur(lambda place: seidel(LENS.microscope, LENS.coefficients, place), shape, margin=MARGIN)
