"""All that changes while training, as one object, and how it is kept.

A checkpoint is a folder `step-00001000` with the network, its running average, the optimiser and the step, and a list
of SHA-256 sums. It is written beside its place and renamed, so a crash leaves the previous one intact; loading takes
the newest one whose sums are right.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dgno.errors import ResumeError
from dgno.networks.dgno import DGNO
from dgno.networks.presets import build
from dgno.training.config import TrainConfig

KEEP = 2  # checkpoints


@dataclass
class TrainState:
    """Network, optimiser and what else a step reads and changes."""

    network: DGNO
    average: dict[str, Tensor]  # running average of the network's tensors; empty without one
    optimizer: torch.optim.AdamW
    step: int = 0
    skipped: int = 0  # steps in a row whose gradient was not finite

    @classmethod
    def start(cls, config: TrainConfig, tensors: dict[str, Tensor] | None = None) -> TrainState:
        """A fresh state: parameters drawn with the run's seed, or `tensors` to go on from."""
        torch.manual_seed(config.seed)
        network = build(config.network)
        if tensors is not None:
            network.load_state_dict(tensors)
        else:  # begin as the identity
            for output in (network.output_full, network.output_half, network.output_quarter):
                output.weight.data.zero_()
        average = {k: v.clone() for k, v in network.state_dict().items()} if config.ema else {}
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, betas=(0.9, 0.999), weight_decay=config.weight_decay
        )
        return cls(network, average, optimizer)

    def update_average(self, decay: float) -> None:
        """average <- decay average + (1 - decay) network, with a shorter memory in the first steps."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        for name, tensor in self.network.state_dict().items():
            self.average[name].lerp_(tensor, 1 - decay)

    def best_tensors(self) -> dict[str, Tensor]:
        """The tensors to use: the running average if there is one."""
        return self.average or self.network.state_dict()

    def save(self, folder: Path, digest: str) -> Path:
        """Write a checkpoint below `folder`; `digest` names the configuration it belongs to."""
        place = folder / f"step-{self.step:08d}"
        unfinished = folder / f".{place.name}.dgno-part"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        save_file(_contiguous(self.network.state_dict()), unfinished / "model.safetensors")
        if self.average:
            save_file(_contiguous(self.average), unfinished / "ema.safetensors")
        save_file(self._optimizer_tensors(), unfinished / "optim.safetensors")
        facts = {"schema": 1, "step": self.step, "skipped": self.skipped, "config": digest}
        (unfinished / "state.json").write_text(json.dumps(facts, indent=1))
        sums = [f"{_sha256(file)}  {file.name}\n" for file in sorted(unfinished.iterdir())]
        (unfinished / "SHA256SUMS").write_text("".join(sums))
        for file in unfinished.iterdir():
            _sync(file)
        shutil.rmtree(place, ignore_errors=True)
        unfinished.replace(place)
        _sync(folder)
        for old in sorted(folder.glob("step-*"))[:-KEEP]:
            shutil.rmtree(old)
        return place

    def load_newest(self, folder: Path, digest: str) -> None:
        """Go on from the newest whole checkpoint below `folder`."""
        whole = [place for place in sorted(folder.glob("step-*"), reverse=True) if _is_whole(place)]
        if not whole:
            raise ResumeError("nothing to resume from", path=folder, why="no whole checkpoint is there")
        facts = json.loads((whole[0] / "state.json").read_text())
        if facts["config"] != digest:
            raise ResumeError(
                "the checkpoint belongs to another configuration",
                path=whole[0],
                hint="resume with the configuration it was begun with, or give another `out`",
            )
        self.network.load_state_dict(load_file(whole[0] / "model.safetensors"))
        if self.average:
            self.average = load_file(whole[0] / "ema.safetensors")
        self._load_optimizer_tensors(load_file(whole[0] / "optim.safetensors"))
        self.step, self.skipped = facts["step"], facts["skipped"]

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        names: dict[object, str] = {parameter: name for name, parameter in self.network.named_parameters()}
        return {
            f"{key}/{names[parameter]}": value.contiguous()
            for parameter, slots in self.optimizer.state.items()
            for key, value in slots.items()
        }

    def _load_optimizer_tensors(self, tensors: dict[str, Tensor]) -> None:
        parameters = dict(self.network.named_parameters())
        self.optimizer.state.clear()
        for name, value in tensors.items():
            key, parameter = name.split("/", 1)
            like = parameters[parameter]
            placed = value if value.ndim == 0 else torch.empty_like(like).copy_(value)  # the parameter's memory format
            self.optimizer.state[like][key] = placed


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _is_whole(place: Path) -> bool:
    try:
        lines = (place / "SHA256SUMS").read_text().splitlines()
        return all(_sha256(place / name) == sum_ for sum_, name in (line.split("  ") for line in lines))
    except (OSError, ValueError):
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
