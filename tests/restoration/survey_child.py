"""Survey a made-up slide in a process of its own; print its peak memory in MB, squares of tissue, and seconds."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np
import torch

from blur_readers import SharpnessReader
from dgno.io.slide import Level, Slide, SlideFacts, Window
from dgno.restoration.slide_look import survey_slide
from dgno.restoration.slide_summary import summarise

BLOCK, ISLAND = 256, 1024  # px


class SparseSlide(Slide):
    """Glass, never scanned but for islands of tissue on the diagonal; pixels are made when they are read."""

    def __init__(self, side: int, islands: int, *, fill: float = 255.0) -> None:
        self.path, self.format, self.reader = Path("sparse.svs"), "svs", "none"
        self.facts = SlideFacts((side, side), np.dtype(np.uint8), 3, fill=fill)
        steps = [1, 4, 16, 32]
        self.levels = tuple(Level((side // n, side // n), float(n), (BLOCK, BLOCK)) for n in steps)
        self.associated, self.bad_tiles, self.notes = {}, [], ()
        self.starts = [(i + 1) * side // (islands + 1) // BLOCK * BLOCK for i in range(islands)]

    def read(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> np.ndarray:
        n = round(self.levels[level].downsample)
        y, x = (np.arange(*window, dtype=np.float32) * n for window in (rows, columns))
        window = np.full((len(y), len(x), 3), 255, np.uint8)
        for start in self.starts:
            down, along = ((v >= start) & (v < start + ISLAND) for v in (y, x))
            if down.any() and along.any():
                waves = np.sin(y[down] / 3)[:, None] * np.sin(x[along] / 3) * 40 / n
                colours = np.stack([190 + waves, 120 + waves, 170 + waves], -1).astype(np.uint8)
                window[np.ix_(down, along)] = colours
        return window

    def is_blank(self, rows: Window, columns: Window, *, level: int = 0, plane: int = 0) -> bool:
        n = round(self.levels[level].downsample)
        return not any(
            all(window[0] * n < start + ISLAND and window[1] * n > start for window in (rows, columns))
            for start in self.starts
        )

    def read_associated(self, name: str) -> np.ndarray:
        raise KeyError(name)

    def fingerprint(self) -> tuple[int, ...]:
        return ()

    def close(self) -> None:
        pass


def main() -> None:
    """Arguments: side in px, number of islands."""
    torch.set_num_threads(1)
    side, islands = map(int, sys.argv[1:])
    survey = survey_slide(SparseSlide(side, islands), SharpnessReader(), tile_size=1024)
    found = summarise([survey.planes[0]], is_bright=survey.is_bright)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_maxrss / 1024, found.tissue, used.ru_utime)  # noqa: T201


if __name__ == "__main__":
    main()
