"""What bright-field weights give where tissue is stained otherwise than in their training and test images; Markdown.

    python benchmarks/stains.py IMAGES NAME ... [--most N]

IMAGES holds the folders of sharp H&E images of `quality.py`, of which the upper left 512 px are taken. Their stains are
unmixed (Ruifrok and Johnston 2001, as in scikit-image) and put together again: haematoxylin with DAB for eosin, as in
IHC; the same dyes paler and stronger. Such an image has the structure of H&E and the colours of another stain: a
stand-in for IHC images, of which all at hand were trained on. Blur varies over the image as by `dgno simulate`, sigma
0.6 to 4 px; 2000 photons at full scale, read noise 0.005. PSNR on [0, 1], clamped; means over images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from exposures import SIDE, STRENGTHS, print_row
from skimage import color
from uniform import SETS, Scene, restorer_of, scenes

from dgno.optics.varied import VariedRange, Variety


def restained(columns: tuple[int, int], strength: float = 1.0) -> Callable[[Scene], Scene]:
    """The amounts of haematoxylin and eosin as those of two dyes of H, E and DAB; what is neither is dropped."""

    def restain(scene: Scene) -> Scene:
        amounts = np.zeros((*scene.shape[1:], 3))
        amounts[..., columns] = strength * color.rgb2hed(scene.permute(1, 2, 0).numpy())[..., :2]
        return torch.from_numpy(color.hed2rgb(amounts)).float().permute(2, 0, 1).clamp(0, 1)

    return restain


STAINS: dict[str, Callable[[Scene], Scene]] = {
    "as taken": lambda scene: scene,
    "haematoxylin and eosin": restained((0, 1)),
    "paler, 0.6": restained((0, 1), 0.6),
    "stronger, 1.5": restained((0, 1), 1.5),
    "haematoxylin and DAB, as in IHC": restained((0, 2)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--most", type=int, help="images of a folder at most")
    asked = parser.parse_args()
    sharp = [scene[:, :SIDE, :SIDE] for scene in scenes(asked.images, SETS["brightfield"], asked.most)]
    restorers = {name: restorer_of(name) for name in asked.names}
    exposures = VariedRange(STRENGTHS, Variety())
    print(f"| stain, {len(sharp)} images | blurred | {' | '.join(asked.names)} |")
    print(f"|---|---:|{'---:|' * len(asked.names)}")
    for told, restain in STAINS.items():
        print_row(told, map(restain, sharp), exposures, restorers)


if __name__ == "__main__":
    main()
