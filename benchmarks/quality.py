"""How much the embedded weights gain, data set by data set, on images that they have never seen; a Markdown table.

    python benchmarks/quality.py IMAGES OUT [defocus|motion|mixed]

IMAGES holds one folder of sharp images per data set, as named in SETS. Each image is blurred once as by `dgno simulate`
with its defaults (spatially varying Gaussian-like disk, sigma 0.6-4 px, 2000 photons, read noise 0.005) and SEED; or by
a motion of 5 to 40 px, the same for all of an image; or by defocus, sigma 2 to 4 px, and a motion of at least six
times sigma, up to 40 px. OUT gets the pairs, all scores and the figures.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from dgno.cli.console import progress_bar
from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.simulated import write_pairs
from dgno.evaluation import compare, methods, summaries
from dgno.evaluation.report import write_report
from dgno.optics.blur_types import DEFOCUS, MIXED, MOTION, TypedRange
from dgno.optics.exposure import ExposureRange
from dgno.optics.moving import MotionRange
from dgno.optics.simulate import BlurRange
from dgno.restoration.inputs import list_files

SEED = 2026


@dataclass(frozen=True)
class DataSet:
    """Sharp images and the weights that they are for."""

    name: str
    folder: str
    image: str  # what begins the names of weights for it
    takes_colour: bool

    @property
    def weights(self) -> str:
        """The default for these images."""
        return f"{self.image}-nano"


SETS = (
    DataSet("DSB 2018, fluorescence", "dsb_fluorescence/images", "fluorescence", takes_colour=False),
    DataSet("BBBC006, w1, sharp plane", "bbbc006/sharp", "fluorescence", takes_colour=False),
    DataSet("DSB 2018, H&E", "dsb_he/images", "brightfield", takes_colour=True),
    DataSet("H&E tiles, 1024 px", "he_1024", "brightfield", takes_colour=True),
)


@dataclass(frozen=True)
class Blurred:
    """How images are blurred, what ends the names of weights for it, and DBMID's network, of colour images."""

    ranges: ExposureRange
    ending: str
    methods: tuple[str, ...]
    other: str | None = None

    def weights_for(self, data_set: DataSet) -> list[str]:
        own = [f"{data_set.image}-{self.ending}"]
        return [*own, self.other] if self.other and data_set.takes_colour else own


TOLD_THE_PSF = ("wiener-unsupervised", "wiener", "richardson-lucy-30", "richardson-lucy")  # the true mean one
MOVED = MotionRange((5.0, 40.0))
KINDS = {
    DEFOCUS: Blurred(BlurRange(), "nano", (*TOLD_THE_PSF, "blind"), "dl-defocus"),
    MOTION: Blurred(TypedRange(motion=MOVED, types=(MOTION,)), "motion-nano", ("wiener",), "dl-motion"),
    MIXED: Blurred(TypedRange(BlurRange(sigma=(2.0, 4.0)), MOVED, (MIXED,)), "mixed-nano", ("wiener",)),
}


def measure(data_set: DataSet, kind: Blurred, images: Path, out: Path) -> list[summaries.Summary]:
    """Blur, restore and score one data set."""
    files = [path for path, _ in list_files([images / data_set.folder], out)]
    write_pairs(files, out, kind.ranges, seed=SEED, scale="auto", overwrite=True)
    records = read_folder_pair(out)
    chosen = methods.by_name(kind.weights_for(data_set), kind.methods)
    with progress_bar(data_set.name) as progress:
        scores = compare.compare(records, chosen, progress=progress)
    write_report(out, records, scores, chosen)
    return summaries.summarise(scores)


def main(images: Path, out: Path, kind: Blurred) -> None:
    print("| data set | n | method | PSNR, dB | SSIM | gain, dB |")
    print("|---|---:|---|---:|---:|---:|")
    for data_set in SETS:
        summary = measure(data_set, kind, images, out / Path(data_set.folder).parts[0])
        blurred = summary[0].psnr
        for line in summary:
            psnr, ssim = f"{line.psnr:.2f} ± {line.psnr_sd:.2f}", f"{line.ssim:.4f} ± {line.ssim_sd:.4f}"
            gain = f"{line.psnr - blurred:+.2f}"
            print(f"| {data_set.name} | {line.n} | {line.method} | {psnr} | {ssim} | {gain} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or (name := sys.argv[3] if len(sys.argv) == 4 else DEFOCUS) not in KINDS:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), KINDS[name])
