"""Weights as files: safetensors whose header says how to rebuild the network."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from dgno.networks.config import DGNOConfig


def save_weights(path: Path, tensors: dict[str, Tensor], config: DGNOConfig, training: dict[str, Any]) -> Path:
    header = {"config": json.dumps(dataclasses.asdict(config)), "training": json.dumps(training)}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path, metadata=header)
    return path


def load_tensors(path: Path) -> dict[str, Tensor]:
    return load_file(path)
