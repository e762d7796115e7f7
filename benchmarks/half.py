"""What `--precision bf16` costs in quality and saves in time on this processor, on sharp images that were blurred.

    python benchmarks/half.py IMAGES [COUNT]

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


def decibels(image: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio of integer images, dB."""
    error = np.square(image.astype(np.float64) - reference).mean() / np.iinfo(reference.dtype).max ** 2
    return float(-10 * np.log10(error))


def main(images: Path, count: int) -> None:
    keep_freed_memory()
    scores: dict[str, list[float]] = {"blurred": [], "fp32": [], "bf16": []}
    times, between = {"fp32": 0.0, "bf16": 0.0}, []
    for seed, path in enumerate(sorted(p for p in images.iterdir() if p.suffix in (".png", ".tif", ".jpg"))[:count]):
        sharp = read_image(path).pixels
        blurred, _ = dgno.simulate(sharp, seed=seed)
        restored = {}
        for precision in times:
            started = time.process_time()
            restored[precision] = dgno.restore(blurred, precision=precision)
            times[precision] += time.process_time() - started
        for name, image in {"blurred": blurred, **restored}.items():
            scores[name].append(decibels(image, sharp))
        between.append(decibels(restored["bf16"], restored["fp32"]))
    for name, values in scores.items():
        print(f"{name:<8} {np.mean(values):8.3f} dB to the sharp image")
    print(f"bf16 to fp32: {np.mean(between):.1f} dB, {min(between):.1f} at the least; {len(between)} images")
    print(f"processor time, bf16 : fp32: {times['bf16'] / times['fp32']:.2f}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 8)
