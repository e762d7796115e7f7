"""How much the embedded weights change images that are in focus already; a Markdown table.

    python benchmarks/in_focus.py IMAGES [SIZE]

IMAGES is that of quality.py. Every sharp image is restored as it is, by the weights for its data set, and compared with
itself: the higher the PSNR, the less was changed. SIZE is nano or small; data sets without such weights are left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from quality import SETS, DataSet

from dgno.cli.console import progress_bar
from dgno.evaluation.compare import fidelity
from dgno.io.image import read_image
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.image import restore_image
from dgno.restoration.inputs import list_files
from dgno.weights.store import embedded_names


def measure(data_set: DataSet, weights: str, images: Path) -> list[tuple[float, float]]:
    """PSNR in dB and SSIM of every restored image against the image itself, protocol `dgno`."""
    restorer, normalize = make_restorer(weights)
    folder = images / data_set.folder
    files = [path for path, _ in list_files([folder], folder / "none")]
    values = []
    with progress_bar(data_set.name) as progress:
        for i, path in enumerate(files, 1):
            image = read_image(path)
            values.append(fidelity(restore_image(image, restorer, normalize=normalize), image))
            progress(i / len(files))
    return values


def main(images: Path, size: str) -> None:
    print("| data set | n | weights | PSNR, dB | least | SSIM |")
    print("|---|---:|---|---:|---:|---:|")
    for data_set in SETS:
        if (weights := data_set.weights(size)) not in embedded_names():
            continue
        psnr, ssim = np.array(measure(data_set, weights, images)).T
        line = f"| {data_set.name} | {len(psnr)} | {weights} | {psnr.mean():.2f} ± {psnr.std(ddof=1):.2f}"
        print(f"{line} | {psnr.min():.2f} | {ssim.mean():.4f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), "nano" if len(sys.argv) == 2 else sys.argv[2])
