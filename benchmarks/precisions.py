"""What `--precision high` and `bf16` cost in quality and save in time on this processor.

    python benchmarks/precisions.py IMAGES [COUNT]

IMAGES is a folder of sharp images; the first COUNT (8) of them are blurred once with the defaults of `dgno simulate`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

import dgno
from dgno.io.image import read_image
from dgno.kernels.allocator import keep_freed_memory
from dgno.restoration.placed import PRECISIONS


def decibels(image: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio of integer images, dB."""
    error = np.square(image.astype(np.float64) - reference).mean() / np.iinfo(reference.dtype).max ** 2
    return float(-10 * np.log10(error))


def main(images: Path, count: int) -> None:
    keep_freed_memory()
    scores: dict[str, list[float]] = {name: [] for name in ("blurred", *PRECISIONS)}
    times, between = dict.fromkeys(PRECISIONS, 0.0), {name: [] for name in PRECISIONS if name != "fp32"}
    paths = sorted(p for p in images.iterdir() if p.suffix in (".png", ".tif", ".jpg"))[:count]
    if not paths:
        sys.exit(f"no images in {images}")
    for seed, path in enumerate(paths):
        sharp = read_image(path).pixels
        blurred, _ = dgno.simulate(sharp, seed=seed)
        restored = {}
        for precision in times:
            started = time.process_time()
            restored[precision] = dgno.restore(blurred, precision=precision)
            times[precision] += time.process_time() - started
        for name, image in {"blurred": blurred, **restored}.items():
            scores[name].append(decibels(image, sharp))
        for name, values in between.items():
            values.append(decibels(restored[name], restored["fp32"]))
    for name, values in scores.items():
        print(f"{name:<8} {np.mean(values):8.3f} dB to the sharp image")
    for name, values in between.items():
        print(f"{name} to fp32: {np.mean(values):.1f} dB, {min(values):.1f} at the least; {len(values)} images")
        print(f"processor time, {name} : fp32: {times[name] / times['fp32']:.2f}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 8)
