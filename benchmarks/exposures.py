"""What weights give on exposures of each kind that users' images are of; a Markdown table.

    python benchmarks/exposures.py IMAGES fluorescence|brightfield NAME ... [--most N]

IMAGES holds the folders of sharp images of `quality.py`, of which the upper left 512 px are taken. Blur varies over the
image, sigma 0.6 to 4 px or, where strong, 4 to 9 px; 2000 photons at full scale, read noise 0.005; what
differs by row is drawn by `optics.varied`. PSNR on [0, 1], clamped; means over images.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from uniform import SETS, Restore, Scene, restorer_of, scenes

from dgno.metrics import psnr
from dgno.optics.simulate import BlurRange
from dgno.optics.varied import VariedRange, Variety

SIDE, SEED = 512, 100  # px; of the first image
STRENGTHS = BlurRange(sigma=(0.6, 4.0))
KINDS = {
    "soft disks": Variety(),
    "diffraction": Variety(objectives=1),
    "strong": Variety(strong=1, strongest=9.0),
    "8 bit, JPEG of 70 to 85": Variety(eight_bit=1, jpeg=1, quality=(70.0, 85.0)),
    "without noise": Variety(clean=1),
    "diffraction, 8 bit, without noise": Variety(clean=1, eight_bit=1, objectives=1),
    "in focus": Variety(in_focus=1),
    "in focus, 8 bit, without noise": Variety(in_focus=1, clean=1, eight_bit=1),
}


def print_row(told: str, sharp: Iterable[Scene], exposures: VariedRange, restorers: Mapping[str, Restore]) -> None:
    """Mean PSNR of the blurred scenes, and of what each restorer makes of them."""
    found: dict[str, list[float]] = {"blurred": [], **{name: [] for name in restorers}}
    for i, scene in enumerate(sharp):
        blurred = exposures.draw(scene.shape[1:], np.random.default_rng(SEED + i)).of(scene).clamp(0, 1)
        found["blurred"].append(psnr(blurred, scene))
        for name, restore in restorers.items():
            found[name].append(psnr(restore(blurred).clamp(0, 1), scene))
    print(f"| {told} | {' | '.join(f'{statistics.mean(values):.2f}' for values in found.values())} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("kind", choices=list(SETS))
    parser.add_argument("names", nargs="+")
    parser.add_argument("--most", type=int, help="images of a folder at most")
    asked = parser.parse_args()
    sharp = [scene[:, :SIDE, :SIDE] for scene in scenes(asked.images, SETS[asked.kind], asked.most)]
    restorers = {name: restorer_of(name) for name in asked.names}
    print(f"| {asked.kind}, {len(sharp)} images | blurred | {' | '.join(asked.names)} |")
    print(f"|---|---:|{'---:|' * len(asked.names)}")
    for told, variety in KINDS.items():
        exposures = VariedRange(STRENGTHS, variety)
        print_row(told, sharp, exposures, restorers)


if __name__ == "__main__":
    main()
