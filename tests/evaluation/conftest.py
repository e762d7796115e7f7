"""Pairs on the disk, and small weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pair_maker import MakePairs
from scipy.ndimage import gaussian_filter

from dgno.arrays import Image
from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.records import Record
from dgno.io.image import write_image
from dgno.networks import DGNOConfig, build
from dgno.weights.store import Card, save_weights

FULL = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 4095, np.dtype(np.float32): 1}


@pytest.fixture
def make_pairs(tmp_path: Path) -> MakePairs:
    """Write pairs of smoothed noise and its Gaussian blur, stronger from pair to pair; uint16 holds 12 bits."""

    def make(count: int = 3, shape: tuple[int, ...] = (48, 60), dtype: type = np.float32) -> list[Record]:
        rng = np.random.default_rng(0)
        full = FULL[np.dtype(dtype)]
        for i in range(count):
            sharp = gaussian_filter(rng.random(shape), 1, axes=(0, 1))
            sharp = (sharp - sharp.min()) / (sharp.max() - sharp.min())
            blurred = gaussian_filter(sharp, 0.7 + i, axes=(0, 1)) + rng.normal(0, 0.01, shape)
            for folder, values in (("sharp", sharp), ("blurred", blurred.clip(0, 1))):
                (tmp_path / folder).mkdir(exist_ok=True)
                pixels = (values * full).round().astype(dtype) if full > 1 else values.astype(dtype)
                image = Image(pixels, "YXS" if len(shape) == 3 else "YX", (0.0, float(full)))
                write_image(tmp_path / folder / f"{i}.tif", image)
        return read_folder_pair(tmp_path)

    return make


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights of a tiny local gray network."""
    torch.manual_seed(0)
    config = DGNOConfig(
        width=8,
        heads=2,
        blocks=(1, 1, 1, 1),
        convention="paper",
        scan_block=32,
        shallow_norm="none",
        prompt_sorted=True,
    )
    card = Card(config, "test", "range", training={"steps": 0})
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return save_weights(path, build(config).state_dict(), card)
