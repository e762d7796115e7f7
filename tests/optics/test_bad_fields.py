"""What no blur can be made of is refused, and named: never clipped, cropped or taken for something else."""

from __future__ import annotations

import functools
import inspect
import math

import pytest
import torch

from dgno.errors import ConfigError
from dgno.optics.blur import READINGS, SpatiallyVaryingBlur
from dgno.optics.psf import gaussian
from dgno.optics.simulate import SigmaOptics

FAMILY = functools.partial(gaussian, integrated=True)
SHAPE = (9, 11)


@pytest.mark.parametrize("strength", [math.nan, math.inf, -3.0])
def test_strengths_that_are_none(strength: float) -> None:
    field = torch.ones(SHAPE)
    field[2, 3] = strength
    with pytest.raises(ConfigError):
        SpatiallyVaryingBlur(field, FAMILY)
    with pytest.raises(ConfigError):
        SpatiallyVaryingBlur(field, FAMILY, levels=[0.0, 1.0, 2.0])
    with pytest.raises(ConfigError):
        SigmaOptics(field).blur()


def test_a_negative_field_is_no_identity() -> None:
    with pytest.raises(ConfigError, match="levels of its own"):
        SpatiallyVaryingBlur(torch.full(SHAPE, -3.0), FAMILY)


@pytest.mark.parametrize("levels", [[1.0, 2.0], [2.0, 4.0], [3.0, 1.0, 5.0], [1.0, 1.0], []])
def test_levels_enclose_the_field_in_order(levels: list[float]) -> None:
    with pytest.raises(ConfigError, match="levels"):
        SpatiallyVaryingBlur(torch.linspace(1.5, 3.0, 99).reshape(SHAPE), FAMILY, levels=levels)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("shape", [(8, 11), (9, 12), (11, 9), (1, 1)])
def test_an_image_of_another_size_than_the_field(reading: str, shape: tuple[int, int]) -> None:
    blur = SpatiallyVaryingBlur(torch.full(SHAPE, 1.5), FAMILY, reading=reading)
    with pytest.raises(ConfigError, match="11 x 9"):
        blur.apply(torch.rand(shape))


def test_rounding_of_a_float32_field_is_no_error() -> None:
    field = torch.full(SHAPE, 0.6)  # in float64 a little more
    for levels in ([0.6], [0.1, 0.6]):
        SpatiallyVaryingBlur(field, FAMILY, levels=levels)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.float16, torch.bfloat16], ids=str)
def test_what_has_no_shares_of_one_is_refused(dtype: torch.dtype, reading: str) -> None:
    """Images and fields, the result of a blur and the weights of PSFs: integers would be blurred by weights of 0. The
    annotations' own check, which only tests have, is left out."""
    make, of_psfs = SpatiallyVaryingBlur, inspect.unwrap(SpatiallyVaryingBlur.of_psfs.__func__)
    ones = torch.ones(16, 16)
    blur = make(2 * ones, gaussian, reading=reading)
    name, wanted = str(dtype).removeprefix("torch."), "wanted float32 or float64"
    for of in (blur.apply, blur.adjoint):
        with pytest.raises(ConfigError, match=f"an image of {name}.*{wanted}"):
            inspect.unwrap(of.__func__)(blur, ones.to(dtype))
    with pytest.raises(ConfigError, match=f"a field of {name}.*{wanted}"):
        inspect.unwrap(make.__init__)(blur, (2 * ones).to(dtype), gaussian, reading=reading)
    with pytest.raises(ConfigError, match=f"weights of {name}.*{wanted}"):
        of_psfs(make, ones[None].to(dtype), [gaussian(1.0)], reading=reading)
