"""Small weights, small images, and a way to run the command line in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import photograph
from skimage.io import imsave

from command_line import Cli, commands
from tiny_weights import save_tiny
from training_run import run_folder

__all__ = ["cli", "run_folder", "weights"]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `dgno` with these arguments."""

    return commands(capsys)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Untrained weights of a tiny local network, for 1 and 3 channels."""
    folder = tmp_path_factory.mktemp("weights")
    return {channels: save_tiny(folder, channels) for channels in (1, 3)}


@pytest.fixture
def blurred(tmp_path: Path) -> Path:
    """A gray image file."""
    path = tmp_path / "blurred.png"
    imsave(path, photograph(), check_contrast=False)
    return path


@pytest.fixture
def sharp(tmp_path: Path) -> Path:
    """A folder of three drawn scenes."""
    rng = np.random.default_rng(0)
    (tmp_path / "sharp").mkdir()
    for i in range(3):
        image = np.zeros((64, 80), np.uint8)
        for _ in range(20):
            y, x = rng.integers(0, 60, 2)
            image[y : y + 9, x : x + 9] = rng.integers(30, 255)
        imsave(tmp_path / "sharp" / f"{i}.png", image, check_contrast=False)
    return tmp_path / "sharp"
