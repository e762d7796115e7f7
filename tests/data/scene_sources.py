"""Sources of training pairs for tests: a perfect camera in focus unless told otherwise."""

from __future__ import annotations

from pathlib import Path

from dgno.data.scenes import Augmentation, SimulatedPairs, Source
from dgno.optics.simulate import BlurRange

CLEAR = BlurRange(sigma=(0.0, 0.0), photons=(1e12, 1e12), read_noise=(0.0, 0.0))  # a perfect camera in focus
STRONG = Augmentation(
    scale=(0.5, 1.0), gamma=(0.7, 1.4), gain=(0.5, 1.2), offset=(-0.05, 0.1), stain=0.3, linear_light=0.5
)
CROP = 16


def source_of(
    root: Path, *sources: Source, channels: int = 1, blur: BlurRange = CLEAR, augmentation: Augmentation | None = None,
    validation: bool = False,
) -> SimulatedPairs:  # fmt: skip
    chosen = sources or (Source("*.tif"),)
    return SimulatedPairs(
        root, chosen, channels=channels, blur=blur, augmentation=augmentation or Augmentation(), validation=validation
    )
