"""Untrained weights of a tiny local network."""

from __future__ import annotations

from pathlib import Path

import torch

from dgno.networks import DGNOConfig, build
from dgno.weights.store import Card, save_weights


def save_tiny(folder: Path, channels: int, *, halo: int = 32) -> Path:
    """Weights for so many channels as a file in the folder."""
    torch.manual_seed(channels)
    config = DGNOConfig(
        channels=channels, width=8, heads=2, blocks=(1, 1, 1, 1), convention="paper", scan_block=32,
        shallow_norm="none", prompt_sorted=True,
    )  # fmt: skip
    card = Card(config, "fluorescence" if channels == 1 else "bright field", "range", halo=halo)
    return save_weights(folder / f"tiny{channels}.safetensors", build(config).state_dict(), card)
