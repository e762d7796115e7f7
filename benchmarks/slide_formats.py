"""How large a slide becomes in each format, and how long writing takes, levels and reading back included.

python benchmarks/slide_formats.py SLIDE [ROUNDS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

import torch

from dgno.errors import OutputFormat
from dgno.io.open_slide import open_slide
from dgno.io.slide_output import ENDINGS
from dgno.io.slide_write import write_slide
from dgno.io.tile_codecs import SlideCompression


def main() -> None:
    torch.set_num_threads(1)
    path, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with open_slide(path) as slide, tempfile.TemporaryDirectory(dir=".") as folder:
        megapixels = slide.facts.pixels / 1e6
        print(f"{path.name}, {megapixels:.2f} Mpx, {path.stat().st_size / 1e6:.2f} MB; one thread, best of {rounds}")
        for kind, ending in ENDINGS.items():
            for compression in get_args(SlideCompression):
                out, best = Path(folder) / f"{compression}{ending}", float("inf")
                try:
                    for _ in range(rounds):
                        started = time.process_time()
                        write_slide(
                            out,
                            slide.facts,
                            lambda rows, columns, plane: slide.read(rows, columns, plane=plane),
                            kind=kind,
                            compression=compression,
                            overwrite=True,
                        )
                        best = min(best, time.process_time() - started)
                except OutputFormat:
                    continue
                files = [one for one in out.rglob("*") if one.is_file()] if out.is_dir() else [out]
                size = sum(one.stat().st_size for one in files) / 1e6
                print(f"{kind:<13} {compression:<8} {size:>8.2f} MB {best / megapixels:>7.3f} s/Mpx", flush=True)


if __name__ == "__main__":
    main()
