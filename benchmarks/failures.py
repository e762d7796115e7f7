"""What weights cannot do, as pictures: images outside of what they were trained for; one line of pictures a failure.

    python benchmarks/failures.py NAME IMAGES OUT.jpg

NAME is that of weights that restore; IMAGES holds the folders of sharp images of `quality.py`. Every line has a crop of
the image as given, restored and sharp, with the PSNR of the whole image before and after. The image of each line is
the one on which the weights gain least, of a data set of which pictures may be shown (CC0).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from uniform import SETS, Scene, restorer_of, scenes

from dgno.metrics import psnr
from dgno.optics.exposure import NO_NOISE, Camera, Exposure, OpticsRange
from dgno.optics.moving import MotionRange
from dgno.optics.simulate import BlurRange

MOST, CROP, INCHES = 12, 128, 2.2
SAME = 90.0  # dB: nothing was changed but by rounding
MILD = Camera(2000.0, 0.005)
CONSTANT = BlurRange(fields=("constant",))


@dataclass(frozen=True)
class Failure:
    """A way to blur that weights for another blur are not made for."""

    title: str
    optics: OpticsRange
    camera: Camera = MILD


def sigma_of(value: float) -> BlurRange:
    return replace(CONSTANT, sigma=(value, value))


FAILURES = {
    "defocus": (
        Failure("in focus, as given", sigma_of(0.0), NO_NOISE),
        Failure("sigma 10 px", sigma_of(10.0)),
        Failure("sigma 2 px, 100 photons", sigma_of(2.0), Camera(100.0, 0.02)),
        Failure("motion, 20 px", MotionRange((20.0, 20.0))),
    ),
    "motion": (
        Failure("in focus, as given", sigma_of(0.0), NO_NOISE),
        Failure("motion, 60 px", MotionRange((60.0, 60.0))),
        Failure("motion, 20 px, 100 photons", MotionRange((20.0, 20.0)), Camera(100.0, 0.02)),
        Failure("sigma 4 px", sigma_of(4.0)),
    ),
}


def exposed(failure: Failure, sharp: Scene, number: int) -> Scene:
    rng = np.random.default_rng([2026, number])
    optics = failure.optics.draw_optics((sharp.shape[1], sharp.shape[2]), rng)
    return Exposure(optics, failure.camera, number).of(sharp)


def most_structured(sharp: Scene) -> tuple[slice, slice]:
    """The crop of the picture whose values vary most."""
    corners = [(y, x) for y in range(0, sharp.shape[1] - CROP + 1, 32) for x in range(0, sharp.shape[2] - CROP + 1, 32)]
    y, x = max(corners or [(0, 0)], key=lambda c: float(sharp[:, c[0] : c[0] + CROP, c[1] : c[1] + CROP].std()))
    return slice(y, y + CROP), slice(x, x + CROP)


def main(name: str, images: Path, out: Path) -> None:
    kind = "fluorescence" if name.startswith("fluorescence") else "brightfield"
    failures = FAILURES["motion" if "motion" in name or "mixed" in name else "defocus"]
    restore, sharp = restorer_of(name), list(scenes(images, SETS[kind][:1], MOST))
    figure = Figure((3 * INCHES, len(failures) * (INCHES + 0.3)), layout="constrained")
    print("| failure | PSNR before, dB | after |\n|---|---:|---:|")
    for failure, axes in zip(failures, figure.subplots(len(failures), 3), strict=True):
        cases = []
        for number, scene in enumerate(sharp):
            given = exposed(failure, scene, number)
            restored = restore(given)
            before, after = (psnr(x.clamp(0, 1), scene) for x in (given, restored))
            cases.append((after - before if before < SAME else after, before, after, given, restored, scene))
        _, before, after, *pictures = min(cases, key=lambda case: case[0])
        crop = most_structured(pictures[2])
        gain = f"{before:.1f} → {after:.1f} dB" if before < SAME else f"restored: {after:.1f} dB"
        titles = failure.title, gain, "sharp"
        for axis, picture, title in zip(axes, pictures, titles, strict=True):
            shown = picture[(..., *crop)].clamp(0, 1).permute(1, 2, 0)
            axis.imshow(shown.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
        print(f"| {failure.title} | {before:.2f} | {after:.2f} |", flush=True)
    figure.savefig(out, dpi=110, pil_kwargs={"quality": 85} if out.suffix == ".jpg" else None)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
