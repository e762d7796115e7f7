"""From stored samples to gray or colour pixels: palettes, few bits, alpha."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt8

Samples = Shaped[np.ndarray, "... samples"]


def apply_palette(indices: Shaped[np.ndarray, "*shape"], palette: Shaped[np.ndarray, "n 3"]) -> np.ndarray:
    """Indices -> (..., 3) colours, or (...) gray values if the palette has grays only, in the dtype of the palette."""
    table = palette[:, 0] if is_gray(palette) else palette
    result: np.ndarray = table[indices]
    return result


def is_gray(palette: Shaped[np.ndarray, "n 3"]) -> bool:
    """Has the palette grays only?"""
    return bool((palette == palette[:, :1]).all())


def palette_note(palette: Shaped[np.ndarray, "n 3"]) -> str:
    """What `apply_palette` does, in words for the user."""
    return f"palette expanded to {'gray values' if is_gray(palette) else 'colours'}"


def is_identity(palette: UInt8[np.ndarray, "n 3"]) -> bool:
    """Is this the palette 0, 1, ... 255 of grays, with which programs write plain gray images?"""
    return len(palette) == 256 and bool((palette == np.arange(256)[:, None]).all())


def is_pseudo_colour(table: Shaped[np.ndarray, "3 n"]) -> bool:
    """Do colours only rise with the value, over 256 values? Then the values are intensities shown in a colour."""
    rising = (np.diff(table.astype(np.int64), axis=1) >= 0).all()
    return bool(table.shape[1] == 256 and rising and (table[:, -1] > table[:, 0]).any())


def widened(values: Shaped[np.ndarray, "*shape"], bits: int) -> UInt8[np.ndarray, "*shape"]:
    """Values of 0 to 8 bits -> 8 bits: the largest becomes 255, others are rounded down, as Pillow does."""
    top = 2**bits - 1
    table = (np.arange(top + 1) * 255 // max(top, 1)).astype(np.uint8)
    result: np.ndarray = table[values]
    return result


def split_alpha(pixels: Samples) -> tuple[np.ndarray, str, np.ndarray | None]:
    """(..., 1 to 4) gray, gray and alpha, RGB or RGBA -> pixels, letter of the sample axis ("" for gray), alpha."""
    samples = pixels.shape[-1]
    alpha = np.ascontiguousarray(pixels[..., -1]) if samples in (2, 4) else None
    colours = pixels[..., : samples - (alpha is not None)]
    if colours.shape[-1] == 1:
        return np.ascontiguousarray(colours[..., 0]), "", alpha
    return np.ascontiguousarray(colours), "S", alpha


def joined(pixels: np.ndarray, axes: str, alpha: np.ndarray | None) -> Samples:
    """The reverse of `split_alpha`: (..., samples)."""
    samples = pixels if axes.endswith("S") else pixels[..., None]
    return samples if alpha is None else np.concatenate([samples, alpha[..., None]], axis=-1)
