"""What happens to an image between the sensor and the file: steps of gray, and JPEG."""

from __future__ import annotations

import imagecodecs
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.checks import refuse_choice
from dgno.errors import ConfigError

BITS = (8, 10, 12, 14, 16)
CHROMA = {"4:4:4": "444", "4:2:0": "420"}


def quantised(x: Float[Tensor, "*shape"], bits: int = 8) -> Float[Tensor, "*shape"]:
    """The nearest of 2^bits equal steps from 0 to 1; what lies outside is clipped.

        DN = clip(round(x (2^bits - 1)), 0, 2^bits - 1),   here divided by 2^bits - 1 again

    bits : 8, 10, 12, 14 or 16. In between, the error is at most half a step, its variance step^2 / 12
    """
    if bits not in BITS:
        raise ConfigError(f"bits is {bits}, known: {', '.join(map(str, BITS))}")
    top = 2**bits - 1
    return (x * top).round().clamp(0, top) / top


def jpeg(x: Float[Tensor, "c h w"], quality: int = 90, *, chroma: str = "4:4:4") -> Float[Tensor, "c h w"]:
    """An image written as JPEG and read again: blocks of 8 x 8 px, and colour at half the resolution if so chosen.

    x : code values in [0, 1], gray or RGB (1 or 3 channels); written with 8 bits
    quality : 1 to 100
    chroma : "4:4:4", or "4:2:0" which keeps one colour for every 2 x 2 px (RGB only)
    ITU-T T.81.
    """
    problems = refuse_choice("chroma", chroma, CHROMA)
    if not 1 <= quality <= 100:
        problems.append(f"quality is {quality}, wanted 1 to 100")
    if x.shape[0] not in (1, 3) or (x.shape[0] == 1 and chroma == "4:2:0"):
        problems.append(f"{x.shape[0]} channels with chroma {chroma}, wanted 3, or 1 with 4:4:4")
    if problems:
        raise ConfigError("no JPEG can be written so", why="; ".join(problems))
    pixels = (x * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    if x.shape[0] == 1:
        data = imagecodecs.jpeg8_encode(pixels[..., 0], quality)
    else:
        data = imagecodecs.jpeg8_encode(pixels, quality, subsampling=CHROMA[chroma])
    decoded = np.atleast_3d(imagecodecs.jpeg8_decode(data))
    return torch.from_numpy(decoded).permute(2, 0, 1).to(x.device, x.dtype) / 255
