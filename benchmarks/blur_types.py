"""How well a classifier tells the type of blur, stain by stain, on images that it was not trained on; Markdown tables.

    python benchmarks/blur_types.py DATA WEIGHTS [CROPS]

DATA is the folder of `train` and `test`, see docs/models.md. Of every sharp image CROPS crops of at most 224 px are
drawn where there is something to see, and each is blurred by a type: none; defocus, sigma 1.5 to 6 px; motion, 5 to
40 px; both. Noise as in training. A crop counts as one; crops of one image are not independent, so the number of images
stands beside theirs. Then real stacks through focus, plane by plane.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from dgno.arrays import percentile_affine, range_affine, to_tensor
from dgno.data.scenes import MARGIN, Augmentation, SimulatedPairs, Source
from dgno.evaluation.classification import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    precision_recall,
    wilson_interval,
)
from dgno.io.image import read_image
from dgno.networks.presets import Network
from dgno.optics.blur_types import BLUR_TYPES, IN_FOCUS, TypedRange
from dgno.optics.moving import MotionRange
from dgno.optics.simulate import BlurRange
from dgno.weights.store import load_classifier

CROP, SEED = 224, 2026
BLUR = TypedRange(
    BlurRange(sigma=(1.5, 6.0), spread=1.5, softness=(0.2, 1.5), photons=(200, 20000), read_noise=(0.0, 0.015)),
    MotionRange((5.0, 40.0)),
)


@dataclass(frozen=True)
class Stain:
    """Sharp images that no training saw."""

    name: str
    files: tuple[str, ...]
    range: str = "dtype"


STAINS = (
    Stain("fluorescence", ("test/dsb_fluorescence/images/*", "test/bbbc006/sharp/*"), "percentile"),
    Stain("H&E", ("test/dsb_he/images/*", "test/he_1024/*")),
    Stain("cytology", ("train/cytology/chula_[89]*", "train/cytology/dsb_pap_1*")),
    Stain("IHC", ("train/ihc/*",)),
)


@torch.no_grad()
def measure(
    network: Network, data: Path, stain: Stain, crops: int
) -> tuple[Float[np.ndarray, "n 4"], Int[np.ndarray, n], int]:
    """Calibrated probabilities and actual types of all crops, and the number of images."""
    sources = [Source(pattern, range=stain.range) for pattern in stain.files]
    found = [file for source in sources for file in sorted(data.glob(source.files))]
    probabilities, labels = [], []
    for i, file in enumerate(found):
        source = Source(str(file.relative_to(data)), range=stain.range)
        pairs = SimulatedPairs(data, [source], channels=1, blur=BLUR, augmentation=Augmentation())
        side = min(CROP, *(n // 32 * 32 for n in pairs.scenes[0][0].shape[:2]))
        for slot in range(crops):
            rng = np.random.default_rng([SEED, i, slot])
            label = slot % len(BLUR_TYPES)
            blur = TypedRange(BLUR.defocus, BLUR.motion, (BLUR_TYPES[label],))
            scene = pairs.scene(side, rng)
            exposure = blur.draw((scene.shape[1], scene.shape[2]), rng)
            crop = exposure.of(scene)[None, :, MARGIN:-MARGIN, MARGIN:-MARGIN].clamp(0, 1)
            probabilities.append((network.classify(crop)[0] / network.temperature.flatten()[0]).softmax(0).numpy())
            labels.append(label)
    return np.stack(probabilities), np.array(labels), len(found)


def line(name: str, probabilities: Float[np.ndarray, "n 4"], labels: Int[np.ndarray, n], images: int) -> str:
    """One row of the table."""
    matrix = confusion_matrix(probabilities, labels)
    low, high = wilson_interval(int(np.trace(matrix)), int(matrix.sum()))
    sharp = labels == BLUR_TYPES.index(IN_FOCUS)
    wrong = int((probabilities[sharp].argmax(1) != BLUR_TYPES.index(IN_FOCUS)).sum())
    wrong_low, wrong_high = wilson_interval(wrong, int(sharp.sum()))
    ece = expected_calibration_error(probabilities, labels)
    return (
        f"| {name} | {images} | {len(labels)} | {100 * accuracy(matrix):.1f} ({100 * low:.1f}-{100 * high:.1f}) | "
        f"{100 * wrong / sharp.sum():.1f} ({100 * wrong_low:.1f}-{100 * wrong_high:.1f}) | {ece:.3f} |"
    )


def print_matrix(probabilities: Float[np.ndarray, "n 4"], labels: Int[np.ndarray, n]) -> None:
    """Rows predicted, columns actual, as published; precision and recall beside."""
    matrix = confusion_matrix(probabilities, labels)
    precision, recall = precision_recall(matrix)
    print(f"\n| predicted \\ actual | {' | '.join(BLUR_TYPES)} | precision | recall |\n|---|{'---:|' * 6}")
    for name, row, p, r in zip(BLUR_TYPES, matrix, precision, recall, strict=True):
        print(f"| {name} | {' | '.join(map(str, row))} | {p:.3f} | {r:.3f} |")


@torch.no_grad()
def read_stack(network: Network, files: list[Path], plane: int | None = None) -> None:
    """One line a plane: probabilities of a real image."""
    print(f"\n| plane | {' | '.join(BLUR_TYPES)} |\n|---|{'---:|' * 4}")
    for file in files:
        image = read_image(file)
        planes = list(image.planes())
        for i in range(0, len(planes)) if plane is None else range(plane, len(planes), image.shape_without_samples[1]):
            affine = range_affine(image) if image.is_colour else percentile_affine(image, channel=image.channel_of(i))
            x = to_tensor(planes[i], affine).mean(1, keepdim=True).clamp(0, 1)
            p = (network.classify(x)[0] / network.temperature.flatten()[0]).softmax(0)
            name = file.stem if len(planes) == 1 else f"{file.stem} {i}"
            print(f"| {name} | {' | '.join(f'{float(v):.2f}' for v in p)} |")


def main(data: Path, weights: str, crops: int) -> None:
    network, _ = load_classifier(weights)
    print("| stain | images | crops | right, % (95 % interval) | in focus called blurred, % | ECE |")
    print("|---|---:|---:|---:|---:|---:|")
    every, labels = [], []
    for stain in STAINS:
        found = measure(network, data, stain, crops)
        print(line(stain.name, *found), flush=True)
        every.append(found[0])
        labels.append(found[1])
    print_matrix(np.concatenate(every), np.concatenate(labels))
    smear = sorted((data / "test/through_focus/smear").glob("*.bmp"), key=lambda path: int(path.stem))
    read_stack(network, smear)
    read_stack(network, sorted((data / "test/through_focus").glob("*.tif")), plane=1)
    read_stack(network, sorted((data / "test/bbbc006/z00").glob("*.tif")))
    read_stack(network, sorted((data / "test/bbbc006/sharp").glob("*.png")))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else 16)
