"""How much the embedded weights gain, data set by data set, on images that they have never seen; a Markdown table.

    python benchmarks/quality.py IMAGES OUT [defocus|motion|mixed] [--size nano|small]

IMAGES holds one folder of sharp images per data set, as named in SETS. Each image is blurred once as by `dgno simulate`
with its defaults (spatially varying Gaussian-like disk, sigma 0.6-4 px, 2000 photons, read noise 0.005) and SEED; or by
a motion of 5 to 40 px, the same for all of an image; or by defocus, sigma 2 to 4 px, and a motion of at least six
times sigma, up to 40 px. OUT gets the pairs, all scores and the figures. Data sets that have no weights of the size
are left out.
"""

from __future__ import annotations

import argparse
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
from dgno.weights.store import embedded_names

SEED = 2026


@dataclass(frozen=True)
class DataSet:
    """Sharp images and the weights that they are for."""

    name: str
    folder: str
    image: str  # what begins the names of weights for it
    takes_colour: bool

    def weights(self, size: str) -> str:
        """Those against defocus."""
        return f"{self.image}-{size}"


SETS = (
    DataSet("DSB 2018, fluorescence", "dsb_fluorescence/images", "fluorescence", takes_colour=False),
    DataSet("BBBC006, w1, sharp plane", "bbbc006/sharp", "fluorescence", takes_colour=False),
    DataSet("DSB 2018, H&E", "dsb_he/images", "brightfield", takes_colour=True),
    DataSet("H&E tiles, 1024 px", "he_1024", "brightfield", takes_colour=True),
)


@dataclass(frozen=True)
class Blurred:
    """How images are blurred, what names of weights for it have before their size, and DBMID's, of colour images."""

    ranges: ExposureRange
    middle: str
    methods: tuple[str, ...]
    other: str | None = None

    def weights_for(self, data_set: DataSet, size: str) -> list[str]:
        own = [f"{data_set.image}{self.middle}-{size}"]
        return [*own, self.other] if self.other and data_set.takes_colour else own


TOLD_THE_PSF = ("wiener-unsupervised", "wiener", "richardson-lucy-30", "richardson-lucy")  # the true mean one
MOVED = MotionRange((5.0, 40.0))
KINDS = {
    DEFOCUS: Blurred(BlurRange(), "", (*TOLD_THE_PSF, "blind"), "dl-defocus"),
    MOTION: Blurred(TypedRange(motion=MOVED, types=(MOTION,)), "-motion", ("wiener",), "dl-motion"),
    MIXED: Blurred(TypedRange(BlurRange(sigma=(2.0, 4.0)), MOVED, (MIXED,)), "-mixed", ("wiener",)),
}


def measure(data_set: DataSet, kind: Blurred, images: Path, out: Path, size: str) -> list[summaries.Summary]:
    """Blur, restore and score one data set."""
    files = [path for path, _ in list_files([images / data_set.folder], out)]
    write_pairs(files, out, kind.ranges, seed=SEED, scale="auto", overwrite=True)
    records = read_folder_pair(out)
    chosen = methods.by_name(kind.weights_for(data_set, size), kind.methods)
    with progress_bar(data_set.name) as progress:
        scores = compare.compare(records, chosen, progress=progress)
    write_report(out, records, scores, chosen)
    return summaries.summarise(scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("images", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("blur", nargs="?", choices=list(KINDS), default=DEFOCUS)
    parser.add_argument("--size", default="nano")
    asked = parser.parse_args()
    kind = KINDS[asked.blur]
    print("| data set | n | method | PSNR, dB | SSIM | gain, dB |")
    print("|---|---:|---|---:|---:|---:|")
    for data_set in SETS:
        if kind.weights_for(data_set, asked.size)[0] not in embedded_names():
            continue
        summary = measure(data_set, kind, asked.images, asked.out / Path(data_set.folder).parts[0], asked.size)
        blurred = summary[0].psnr
        for line in summary:
            psnr, ssim = f"{line.psnr:.2f} ± {line.psnr_sd:.2f}", f"{line.ssim:.4f} ± {line.ssim_sd:.4f}"
            gain = f"{line.psnr - blurred:+.2f}"
            print(f"| {data_set.name} | {line.n} | {line.method} | {psnr} | {ssim} | {gain} |", flush=True)


if __name__ == "__main__":
    main()
