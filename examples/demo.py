"""Restore three microscope images with the weights that come with dgno, and draw before and after.

    python examples/demo.py [FOLDER]

1. `skimage.data.cell()` and 2. an H&E section, blurred here by a known, spatially varying defocus, so that
   gains are numbers.
3. A bright-field smear, really out of focus: the same field in focus is shown beside it, nothing was simulated.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from skimage import data
from skimage.io import imread, imsave

import dgno
from dgno.metrics import psnr

IMAGES = Path(__file__).parent / "images"
VIEW = 240  # px shown of each image


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(10.5, 11), layout="tight")
    rows = figure.subplots(3, 3)

    for row, name, sharp, seed in zip(
        rows, ("cell", "H&E"), (data.cell()[201:541, 210:550], read("he_sharp")), (5, 7), strict=False
    ):
        blurred, truth = dgno.simulate(sharp, seed=seed)
        restored = dgno.restore(blurred)
        before, after = decibels(blurred, sharp), decibels(restored, sharp)
        blur = f"sigma {truth.sigma.min():.1f} to {truth.sigma.max():.1f} px"
        print(f"{name}, blurred by {blur}: {before:.1f} dB blurred, {after:.1f} dB restored")
        titles = (f"{name}: defocus of {blur}, {before:.1f} dB", f"restored, {after:.1f} dB", "truth")
        draw(row, (blurred, restored, sharp), titles)
        save(folder, name.replace("&", ""), blurred, restored)

    out_of_focus = read("smear_out_of_focus")
    refocused = dgno.restore(out_of_focus)
    titles = ("smear: really out of focus", "restored", "another plane, in focus")
    draw(rows[2], (out_of_focus, refocused, read("smear_in_focus")), titles)
    save(folder, "smear", out_of_focus, refocused)

    figure.savefig(folder / "before_after.png", dpi=110)
    print(f"before and after: {(folder / 'before_after.png').resolve()}")


def read(name: str) -> np.ndarray:
    """One of the example images."""
    return np.asarray(imread(IMAGES / f"{name}.png"))


def save(folder: Path, name: str, blurred: np.ndarray, restored: np.ndarray) -> None:
    imsave(folder / f"{name}_blurred.png", blurred, check_contrast=False)
    imsave(folder / f"{name}_restored.png", restored, check_contrast=False)


def decibels(image: np.ndarray, reference: np.ndarray) -> float:
    """PSNR of two 8-bit images."""
    return psnr(torch.from_numpy(image / 255), torch.from_numpy(reference / 255))


def draw(axes: np.ndarray, images: tuple[np.ndarray, ...], titles: tuple[str, ...]) -> None:
    """The middle of each image."""
    axis: Axes
    for axis, image, title in zip(axes, images, titles, strict=True):
        rows, columns = (slice(max(0, (n - VIEW) // 2), (n + VIEW) // 2) for n in image.shape[:2])
        axis.imshow(image[rows, columns], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.axis("off")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
