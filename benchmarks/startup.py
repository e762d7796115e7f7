"""Start-up of the command line: whole processes, by turns, beside a bare Python and one that imports torch.

    python benchmarks/startup.py

Until the first tile of `dgno restore` is done takes as long as the whole command on an image of one small tile.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from side_by_side import print_ratios, seconds

IMAGE = Path(__file__).parents[1] / "examples" / "images" / "smear_out_of_focus.png"
PASS, TORCH = "python -c pass", "python -c 'import torch'"


def process(*arguments: object) -> Callable[[], object]:
    """What runs this Python with the arguments and waits for its end."""
    command = [sys.executable, *map(str, arguments)]
    return lambda: subprocess.run(command, capture_output=True, check=False)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        small, out = Path(folder) / "small.tif", Path(folder) / "out.tif"
        tifffile.imwrite(small, np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
        measured = seconds(
            {
                PASS: process("-c", "pass"),
                TORCH: process("-c", "import torch"),
                "dgno --version": process("-m", "dgno", "--version"),
                "dgno --help": process("-m", "dgno", "--help"),
                "dgno restore --help": process("-m", "dgno", "restore", "--help"),
                "dgno doctor --help": process("-m", "dgno", "doctor", "--help"),
                "dgno restore --nonsense": process("-m", "dgno", "restore", "--nonsense"),
                "dgno restore, 64 x 64": process("-m", "dgno", "restore", small, "-o", out, "--overwrite", "-q"),
                "dgno restore, example": process("-m", "dgno", "restore", IMAGE, "-o", out, "--overwrite", "-q"),
            },
            rounds=5,
        )
    print_ratios("start-up", measured, base=PASS)
    print_ratios("the same", measured, base=TORCH)


if __name__ == "__main__":
    main()
