"""The published network as a user has it: a checkpoint is imported, and an image file restored with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tifffile
import torch
from safetensors.torch import load_file
from torch import Tensor

from published import FULL, GOLDEN, assert_same_numbers, metadata_of, parameters_of


def dgno(*arguments: object) -> None:
    command = [sys.executable, "-m", "dgno", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def write(path: Path, image: Tensor) -> None:
    """An image (1, c, h, w) as a TIFF file of float32."""
    colour = image.shape[1] == 3
    pixels = image[0].permute(1, 2, 0).contiguous().numpy() if colour else image[0, 0].numpy()
    tifffile.imwrite(path, pixels, photometric="rgb" if colour else "minisblack")


def read(path: Path) -> Tensor:
    pixels = torch.from_numpy(tifffile.imread(path))
    assert pixels.dtype == torch.float32
    return pixels.permute(2, 0, 1)[None] if pixels.ndim == 3 else pixels[None, None]


@pytest.mark.parametrize("name", FULL)
def test_golden_numbers_from_a_checkpoint_and_a_file(tmp_path: Path, name: str) -> None:
    """`import-weights`, then `restore --normalize none`: the numbers of an independent implementation, full size."""
    stored = GOLDEN / f"{name}.io.safetensors"
    numbers, facts = load_file(stored), metadata_of(stored)
    checkpoint, weights = tmp_path / "published.pth", tmp_path / "ours.safetensors"
    torch.save({"params": parameters_of(name)}, checkpoint)
    write(tmp_path / "in.tif", numbers["input"])
    dgno("import-weights", checkpoint, weights, "--flux", facts["flux"], "--boundary", facts["boundary"])
    dgno("restore", tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--weights", weights, "--normalize", "none")
    assert_same_numbers(read(tmp_path / "out.tif"), numbers["output_full"])
