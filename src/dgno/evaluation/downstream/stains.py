"""Optical densities of stains in bright-field RGB: colour deconvolution (Ruifrok and Johnston 2001).

Light is absorbed as 10^-density, and the densities of stains add up in each of red, green and blue; their colours, as
measured by Ruifrok and Johnston, are those that scikit-image has. Analyt. Quant. Cytol. Histol. 23, 291-299.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from skimage.color import hdx_from_rgb, separate_stains

from dgno.errors import ConfigError

Picture = Float[np.ndarray, "h w c"]  # in [0, 1]; one sample for gray, three for red, green, blue
Density = Float[np.ndarray, "h w"]  # decadic: 1 absorbs nine tenths of the light

UNIT = -math.log10(1e-6)  # scikit-image's unit of density
DARKEST = 1 / 255  # one level of 8 bits: a camera does not tell darker ones from it


def hematoxylin_and_dab(picture: Picture) -> tuple[Density, Density]:
    """Of nuclei (H) and of the marker (DAB) in immunohistochemistry. Raises ConfigError for gray images."""
    if picture.shape[-1] != 3:
        why = f"{picture.shape[-1]} channels"
        raise ConfigError("stains are told apart in RGB", why=why, hint="use --downstream nuclei for gray images")
    light = picture.astype(np.float64).clip(DARKEST, 1)
    densities = UNIT * np.asarray(separate_stains(light, hdx_from_rgb))
    return densities[..., 0], densities[..., 1]
