"""How much the embedded weights gain, data set by data set, on images that they have never seen; a Markdown table.

    python benchmarks/quality.py IMAGES OUT

IMAGES holds one folder of sharp images per data set, as named in SETS. Each image is blurred once as by `dgno simulate`
with its defaults (spatially varying Gaussian-like disk, sigma 0.6-4 px, 2000 photons, read noise 0.005) and SEED.
OUT gets the pairs, all scores and the figures.
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
from dgno.optics.simulate import BlurRange
from dgno.restoration.batch import list_files

SEED = 2026


@dataclass(frozen=True)
class DataSet:
    """Sharp images and the weights that they are for."""

    name: str
    folder: str
    weights: str


SETS = (
    DataSet("DSB 2018, fluorescence", "dsb_fluorescence/images", "fluorescence-nano"),
    DataSet("BBBC006, w1, sharp plane", "bbbc006/sharp", "fluorescence-nano"),
    DataSet("DSB 2018, H&E", "dsb_he/images", "brightfield-nano"),
    DataSet("H&E tiles, 1024 px", "he_1024", "brightfield-nano"),
)


TOLD_THE_PSF = ("wiener-unsupervised", "wiener", "richardson-lucy-30", "richardson-lucy")  # the true mean one


def measure(data_set: DataSet, images: Path, out: Path) -> list[summaries.Summary]:
    """Blur, restore and score one data set."""
    files = [path for path, _ in list_files([images / data_set.folder], out)]
    write_pairs(files, out, BlurRange(), seed=SEED, scale="auto", overwrite=True)
    records = read_folder_pair(out)
    chosen = methods.by_name([data_set.weights], [*TOLD_THE_PSF, "blind"])
    with progress_bar(data_set.name) as progress:
        scores = compare.compare(records, chosen, progress=progress)
    write_report(out, records, scores, chosen)
    return summaries.summarise(scores)


def main(images: Path, out: Path) -> None:
    print("| data set | n | method | PSNR, dB | SSIM | gain, dB |")
    print("|---|---:|---|---:|---:|---:|")
    for data_set in SETS:
        summary = measure(data_set, images, out / Path(data_set.folder).parts[0])
        blurred = summary[0].psnr
        for line in summary:
            psnr, ssim = f"{line.psnr:.2f} ± {line.psnr_sd:.2f}", f"{line.ssim:.4f} ± {line.ssim_sd:.4f}"
            gain = f"{line.psnr - blurred:+.2f}"
            print(f"| {data_set.name} | {line.n} | {line.method} | {psnr} | {ssim} | {gain} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
