"""A small data set and a configuration that trains in seconds: fixtures for training and for the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage.io import imsave

CONFIG = """
data = "sharp"
out = "run"
image = "test"
normalization = "range"
learning_rate = 2e-3
warmup = 2
ema = 0.9
fft_norm = "ortho"
seed = 7
checkpoint_every = 3
validate_every = 100
stages = [{until = 5, crop = 32, batch = 2}, {until = 9, crop = 64, batch = 1}]

[network]
channels = 1
width = 8
blocks = [1, 1, 1, 1]
heads = 2
convention = "paper"
scan_block = 32
shallow_norm = "none"
prompt_sorted = true

[blur]
sigma = [0.6, 2.0]

[augmentation]
scale = [0.7, 1.0]
gain = [0.5, 1.2]

[[sources]]
files = "*.png"
range = "percentile"
"""


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A folder with sharp images (one in twenty is held out) and `config.toml`."""
    return filled(tmp_path)


def filled(folder: Path) -> Path:
    """That folder, for fixtures of a wider scope."""
    (folder / "sharp").mkdir()
    rng = np.random.default_rng(0)
    for i in range(20):
        image = np.zeros((100, 110), np.uint8)
        for _ in range(12):
            y, x = rng.integers(0, 90, 2)
            image[y : y + rng.integers(3, 25), x : x + rng.integers(3, 25)] = rng.integers(40, 255)
        imsave(folder / "sharp" / f"{i:02d}.png", image, check_contrast=False)
    (folder / "config.toml").write_text(CONFIG)
    return folder


def log_of(folder: Path) -> list[dict[str, float]]:
    """What a run logged, but for the time it took."""
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in entry.items() if k != "minutes"} for entry in entries]


def all_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Of the last checkpoint and of the weights."""
    last = sorted((folder / "checkpoints").glob("step-*"))[-1]
    files = [*last.glob("*.safetensors"), folder / "weights.safetensors"]
    return {f"{file.name}/{name}": tensor for file in files for name, tensor in load_file(file).items()}


def assert_same_run(a: Path, b: Path) -> None:
    """Weights, averages, optimiser and log, bit for bit."""
    left, right = all_tensors(a), all_tensors(b)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert log_of(a) == log_of(b)
