"""Uniform blur of known strength: what weights give, which are told nothing, beside Wiener told the true PSF; Markdown.

    python benchmarks/uniform.py IMAGES [--weights-fluorescence NAME] [--weights-brightfield NAME] [--most N]
                                 [--tta]

IMAGES holds the folders of sharp images of `quality.py`. Every image is blurred by a Gaussian PSF, integrated over the
pixels, of sigma 1, 2, 3 and 4 px, and exposed with 2000 photons at full scale and read noise 0.005. Wiener is told that
PSF and takes the balance that is best for the image, of all of `BALANCES`: no one could choose so well without the
sharp image. Of colour images the green channel counts, of which Wiener sees no other. PSNR on [0, 1], clamped; mean and
standard deviation over the images of each folder and of all.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from quality import SEED
from torch import Tensor

from dgno.arrays import Image, from_tensor
from dgno.classical.wiener import BALANCES, wiener
from dgno.data.simulated import file_scenes
from dgno.metrics import psnr
from dgno.optics.exposure import Camera, Exposure
from dgno.optics.psf import gaussian
from dgno.optics.simulate import SigmaOptics
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.image import restore_image
from dgno.restoration.inputs import list_files

SIGMAS = (1.0, 2.0, 3.0, 4.0)
CAMERA = Camera(2000.0, 0.005)
GREEN = 1
SETS = {  # what weights are for -> folders
    "fluorescence": ("dsb_fluorescence/images", "bbbc006/sharp"),
    "brightfield": ("dsb_he/images", "he_1024"),
}
Scene = Float[Tensor, "c h w"]
Restore = Callable[[Scene], Scene]


def scenes(images: Path, folders: tuple[str, ...], most: int | None) -> Iterator[Scene]:
    """The first planes of the files of some folders, in [0, 1]."""
    for folder in folders:
        files = [path for path, _ in list_files([images / folder], images)]
        for file in files[:most]:
            yield next(file_scenes(file, file.stem, "auto")).scene


def restorer_of(name: str, *, tta: bool = False) -> Restore:
    """The weights' answer to a whole image, normalised as their card says; with tta, the mean of those in all
    orientations."""
    restorer, normalize = make_restorer(name, device="cpu", tta=tta)

    def restore(blurred: Scene) -> Scene:
        pixels = from_tensor(blurred[None])
        image = Image(pixels[..., 0], "YX") if blurred.shape[0] == 1 else Image(pixels, "YXS")
        restored = restore_image(image, restorer, normalize=normalize)
        return torch.from_numpy(restored.pixels.reshape(*blurred.shape[1:], -1)).permute(2, 0, 1)

    return restore


def shown(x: Scene) -> Scene:
    """The plane that counts."""
    return x[GREEN : GREEN + 1] if x.shape[0] == 3 else x


def best_wiener(blurred: Scene, sharp: Scene, sigma: float) -> float:
    """The highest PSNR of all balances."""
    psf = gaussian(sigma, integrated=True)
    found = (wiener(shown(blurred)[None], psf, balance=balance)[0] for balance in BALANCES)
    return max(psnr(restored.clamp(0, 1), shown(sharp)) for restored in found)


def measure(sharp: Scene, sigma: float, number: int, restore: Restore) -> tuple[float, float, float]:
    """PSNR of the blurred image, of Wiener's and of the weights'."""
    optics = SigmaOptics(torch.full(sharp.shape[1:], sigma), psf="gaussian")
    blurred = Exposure(optics, CAMERA, SEED + number).of(sharp)
    plain = psnr(shown(blurred).clamp(0, 1), shown(sharp))
    return plain, best_wiener(blurred, sharp, sigma), psnr(shown(restore(blurred)).clamp(0, 1), shown(sharp))


def print_row(name: str, sigma: float, found: Sequence[tuple[float, ...]]) -> None:
    """Means and standard deviations over images."""
    means = [(statistics.mean(row), statistics.stdev(row)) for row in zip(*found, strict=True)]
    told = " | ".join(f"{mean:.2f} ± {sd:.2f}" for mean, sd in means)
    print(f"| {name} | {len(found)} | {sigma:g} | {told} | {means[2][0] - means[1][0]:+.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    for kind in SETS:
        parser.add_argument(f"--weights-{kind}", default=f"{kind}-nano")
    parser.add_argument("--most", type=int, help="images of a folder at most")
    parser.add_argument("--tta", action="store_true", help="as of dgno restore")
    asked = parser.parse_args()
    print("| images | n | sigma, px | blurred, dB | Wiener, true PSF, best balance | weights | ahead of Wiener |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind, folders in SETS.items():
        restore = restorer_of(getattr(asked, f"weights_{kind}"), tta=asked.tta)
        sharp = {folder: list(scenes(asked.images, (folder,), asked.most)) for folder in folders}
        for sigma in SIGMAS:
            everything: list[tuple[float, ...]] = []
            for folder, of_folder in sharp.items():
                found = [measure(scene, sigma, len(everything) + i, restore) for i, scene in enumerate(of_folder)]
                print_row(folder, sigma, found)
                everything += found
            print_row(kind, sigma, everything)


if __name__ == "__main__":
    main()
