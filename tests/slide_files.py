"""Slides as files, small, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
import torch
import torch.nn.functional as F

from dgno.optics.psf import gaussian

APERIO = "Aperio Image Library v11.2.1\r\n{w}x{h} (240x240) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990"


def tissue(height: int = 620, width: int = 760, *, blurred: bool = True, seed: int = 3) -> np.ndarray:
    """Bright ground with a field of fine pink and violet texture, its right half blurred with a sigma of 3 px."""
    rng = torch.Generator().manual_seed(seed)
    coarse = F.interpolate(torch.rand(1, 1, height // 9, width // 9, generator=rng), (height, width), mode="bicubic")
    fine = torch.rand(1, 1, height, width, generator=rng)
    density = (0.25 + 0.9 * (coarse > 0.55) + 0.25 * fine).clamp(0, 1.2)
    if blurred:
        psf = torch.from_numpy(gaussian(3.0)).float()
        side = psf.shape[-1] // 2
        soft = F.conv2d(F.pad(density, [side] * 4, mode="reflect"), psf[None, None])
        density[..., width // 2 :] = soft[..., width // 2 :]
    ground = torch.zeros_like(density)
    ground[..., 60:-60, 80:-80] = density[..., 60:-60, 80:-80]
    colours = 10 ** -(ground[0] * torch.tensor([0.35, 0.6, 0.3])[:, None, None])
    pixels = (colours * 243).clamp(0, 255).permute(1, 2, 0).numpy()
    noise = np.random.default_rng(seed).normal(0, 1.0, pixels.shape)
    return np.rint((pixels + noise).clip(0, 255)).astype(np.uint8)


def write_svs(path: Path, pixels: np.ndarray, *, tile: int = 240, quality: int = 90) -> Path:
    """As Aperio has it: JPEG tiles, a thumbnail, a second level, a label."""
    height, width = pixels.shape[:2]
    text = APERIO.format(w=width, h=height)
    jpeg = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": quality}, "metadata": None}
    with tifffile.TiffWriter(path, bigtiff=False) as writer:
        writer.write(pixels, tile=(tile, tile), description=text, **jpeg)
        writer.write(pixels[::4, ::4], description=f"Aperio Image Library v11.2.1\r\n{width}x{height} -> thumb", **jpeg)
        writer.write(pixels[::2, ::2], tile=(tile, tile), description=text, **jpeg)
    return path


def write_pyramid(path: Path, pixels: np.ndarray, *, tile: int = 256, levels: int = 2, **more: object) -> Path:
    """Tiles without loss, the smaller levels as SubIFDs."""
    options = {"photometric": "rgb" if pixels.ndim == 3 else "minisblack", "tile": (tile, tile), "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(pixels, subifds=levels - 1, resolution=(2e4, 2e4), resolutionunit="CENTIMETER", **options, **more)
        for level in range(1, levels):
            writer.write(pixels[:: 2**level, :: 2**level], subfiletype=1, **options, **more)
    return path
