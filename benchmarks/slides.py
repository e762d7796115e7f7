"""What each step of restoring a slide costs, by megapixel: the figures of `docs/cluster.md`.

    python benchmarks/slides.py SLIDE [FOLDER]

The right half of the slide is blurred first (Gaussian, sigma 3 px), for a sharp slide has nothing to restore.
Everything runs on one thread; seconds are those of the CPU, which others on the machine disturb least. FOLDER, by
default one that is deleted afterwards, gets some 100 MB.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
import torch
from scipy.ndimage import gaussian_filter

from dgno.io.open_slide import open_slide
from dgno.io.slide_write import write_slide
from dgno.restoration.batch import Job
from dgno.restoration.image import Batch
from dgno.restoration.journal import Journal
from dgno.restoration.options import RestoreOptions
from dgno.restoration.slide import RestoredSlide
from dgno.restoration.slide_files import restore_blocks
from dgno.restoration.slide_report import report_of
from dgno.restoration.slide_run import JOURNAL, SURVEY, SlideRun
from dgno.restoration.workbench import Workbench

SIGMA, TILE, WINDOW = 3.0, 240, 1024  # px
TEXT = "Aperio Image Library v11.2.1\r\n{}x{} (240x240) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990"


class Clock:
    """CPU seconds of this process, by step; and the pixels that networks were given."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.pixels = 0

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.process_time() - started

    def around(self, step: str, work: Callable[[Batch], Batch]) -> Callable[[Batch], Batch]:
        """The same function, whose time is taken."""

        def timed(x: Batch) -> Batch:
            self.pixels += x.shape[-2] * x.shape[-1]
            with self.of(step):
                return work(x)

        return timed


def half_blurred(source: Path, target: Path) -> None:
    """A slide like the source, its right half out of focus; JPEG of quality 90 in tiles, and a smaller level."""
    with open_slide(source) as slide:
        height, width = slide.facts.shape
        pixels = slide.read((0, height), (0, width), plane=0).copy()
    pixels[:, width // 2 :] = gaussian_filter(pixels[:, width // 2 :].astype(np.float32), (SIGMA, SIGMA, 0)).round()
    how = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 90}, "metadata": None}
    with tifffile.TiffWriter(target) as writer:
        for factor in (1, 4):
            description = TEXT.format(width, height)
            writer.write(pixels[::factor, ::factor], tile=(TILE, TILE), description=description, **how)


def read_all(path: Path) -> None:
    """Decode a slide once, window by window."""
    with open_slide(path) as slide:
        height, width = slide.facts.shape
        for row in range(0, height, WINDOW):
            for column in range(0, width, WINDOW):
                slide.read((row, min(row + WINDOW, height)), (column, min(column + WINDOW, width)), plane=0)


def write_all(run: SlideRun, journal: Journal, target: Path, compression: str) -> int:
    """Write the output; gives its bytes."""
    result = RestoredSlide(run.slide, run.work, journal)
    write_slide(
        target, run.facts, result.read, kind="ome-tiff", compression=compression, quality=90, blank=result.is_blank
    )  # fmt: skip
    return target.stat().st_size


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(source: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    clock, slide = Clock(), folder / "half_blurred.svs"
    half_blurred(source, slide)
    options = RestoreOptions(device="cpu", threads=1, output_format="ome-tiff")
    with SlideRun(Job(slide, folder / "out.ome.tif"), Workbench(options, inputs=[slide])) as run:
        run.folder.mkdir(exist_ok=True)
        pixels = run.slide.facts.pixels / 1e6
        for _ in range(3):
            with clock.of("read"):
                read_all(slide)
        with clock.of("look"):
            run.look()
        for one in run.treatments:
            one.restorer.restorer = clock.around("network", one.restorer.restorer)
        needed = run.needed()
        with Journal(run.folder / JOURNAL, run.identity) as journal:
            with clock.of("restore"):
                restore_blocks(run, journal, lambda share: None)
            journal.sync()
            network, given = clock.seconds["network"], clock.pixels / 1e6  # the report asks networks as well
            kept, survey = size_of(run.folder / JOURNAL), size_of(run.folder / SURVEY)
            sizes = {}
            for compression in ("deflate", "zstd", "jpeg"):
                with clock.of(compression):
                    sizes[compression] = write_all(run, journal, folder / f"{compression}.ome.tif", compression)
            with clock.of("report"):
                facts = report_of(run, journal, RestoredSlide(run.slide, run.work, journal))
    blurred = sum(facts["blurred"].values()) * facts["tissue"] * pixels
    tell(clock.seconds, pixels, facts["tissue"] * pixels, blurred)
    restored = sum(np.prod([cut.write.length for cut in (b.tile.rows, b.tile.columns)]) for b in run.plan) / 1e6
    print(f"\n{len(needed)} of {len(run.plan)} blocks ({restored:.2f} Mpx in all) needed work")
    print(
        f"networks: {given:.2f} Mpx, {given / blurred:.2f} times the blurred tissue, {network / given:.2f} s/Mpx; ",
        end="",
    )
    print(f"restoring takes {clock.seconds['restore'] / network:.3f} times as long as they do")
    inputs = source.stat().st_size / pixels / 1e6, slide.stat().st_size / pixels / 1e6
    print(f"input {inputs[0]:.2f} bytes/px, half blurred {inputs[1]:.2f}; outputs ", end="")
    print(", ".join(f"{name} {size / pixels / 1e6:.2f}" for name, size in sizes.items()), "bytes/px")
    print(f"work folder: journal {kept / 1e6:.2f} MB = {kept / blurred / 1e6:.2f} bytes/px of blurred tissue, ", end="")
    print(f"survey {survey / 1e6:.2f} MB = {survey / pixels / 1e6:.2f} bytes/px of the slide")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    keeping(folder)


def tell(seconds: dict[str, float], pixels: float, tissue: float, blurred: float) -> None:
    """The table. seconds : of CPU, by step; the rest Mpx"""
    rows = [
        ("read", seconds["read"] / 3, pixels, "slide"),
        ("look", seconds["look"], tissue, "tissue"),
        ("restore", seconds["restore"], blurred, "blurred tissue"),
        ("write, deflate", seconds["deflate"], pixels, "slide"),
        ("write, zstd", seconds["zstd"], pixels, "slide"),
        ("write, jpeg", seconds["jpeg"], pixels, "slide"),
    ]
    print(f"{pixels:.2f} Mpx, tissue {tissue:.2f}, blurred {blurred:.2f}; one thread, seconds of CPU")
    for name, taken, over, unit in rows:
        print(f"{name:<16}{taken:8.2f} s{over:8.2f} Mpx of {unit:<16}{taken / over:8.3f} s/Mpx")
    print(f"{'report':<16}{seconds['report']:8.2f} s a slide, most of it for one tile that is restored again")


def keeping(folder: Path) -> None:
    """How fast one process keeps what workers send: blocks of 768 x 768 px in colours, synced as in a run."""
    block, count = np.random.default_rng(1).integers(0, 256, (768, 768, 3), np.uint8), 100
    started = time.perf_counter()
    with Journal(folder / "keeping", {}) as journal:
        for number in range(count):
            journal.put(number, block, saturated=0)
    seconds = time.perf_counter() - started
    print(
        f"journal: {count / seconds:.0f} blocks/s, {count * block.nbytes / seconds / 1e6:.0f} MB/s, synced to the disk"
    )


if __name__ == "__main__":
    given = Path(sys.argv[1])
    if len(sys.argv) > 2:
        main(given, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(given, Path(made))
