"""All that changes while training, as one object, and how it is kept.

A checkpoint is a folder `step-00001000` with the network, its running average, the optimiser and the step, and a list
of SHA-256 sums. It is written beside its place and renamed, so a crash leaves the previous one intact; loading takes
the newest one whose sums are right.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from dgno.errors import CorruptCheckpoint, InputError, ResumeError
from dgno.io.atomic import output_error, sync_folder
from dgno.io.checksum import file_sha256
from dgno.io.provenance import software
from dgno.networks.dbmid import DBMIDNet
from dgno.networks.dgno import DGNO
from dgno.networks.presets import Network, build
from dgno.training.belonging import Belonging
from dgno.training.config import TrainConfig

KEEP = 2  # checkpoints, and the best one
NAME = re.compile(r"step-\d{8,}")  # other things in the folder are the user's own
PARTS = {"model.safetensors", "optim.safetensors", "state.json"}  # of every checkpoint
CPU = torch.device("cpu")


@dataclass
class TrainState:
    """Network, optimiser and what else a step reads and changes."""

    network: Network
    average: dict[str, Tensor]  # running average of the network's tensors; empty without one
    optimizer: torch.optim.AdamW
    step: int = 0
    skipped: int = 0  # steps in a row whose gradient was not finite

    @classmethod
    def start(
        cls, config: TrainConfig, tensors: dict[str, Tensor] | None = None, *, device: torch.device = CPU
    ) -> TrainState:
        """A fresh state on a device: parameters drawn with the run's seed, or `tensors` to go on from."""
        torch.manual_seed(config.seed)
        network = build(config.network)
        if tensors is not None:
            network.load_state_dict(tensors)
        else:  # begin as the identity
            for output in network.outputs if isinstance(network, DGNO | DBMIDNet) else ():
                for parameter in output.parameters():
                    parameter.data.zero_()
        network.to(device)  # drawn on the CPU, so that a seed means the same network everywhere
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

    def save(self, folder: Path, belonging: Belonging, scores: Mapping[int, float]) -> Path:
        """Write a checkpoint below `folder`, and remove all others but the newest and the best. Raises OutputError.

        belonging : the configuration and the data it belongs to
        scores : of the steps that were validated
        """
        place = folder / f"step-{self.step:08d}"
        if _is_whole(place):  # what would be written: the run is a function of its configuration
            return place
        unfinished = folder / f".{place.name}.dgno-part"
        try:
            for left in folder.glob(".step-*.dgno-part"):  # by a run that was killed
                shutil.rmtree(left)
            unfinished.mkdir(parents=True)
            self._write(unfinished, belonging)
            sync_folder(unfinished)
            shutil.rmtree(place, ignore_errors=True)
            unfinished.replace(place)
            sync_folder(folder)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise output_error(error, place) from error
        *older, _ = checkpoints_in(folder)
        best = max(older, key=lambda old: scores.get(_step_of(old), -math.inf), default=None)
        for old in older[: 1 - KEEP]:
            if old != best or _step_of(old) not in scores:
                shutil.rmtree(old)
        return place

    def _write(self, folder: Path, belonging: Belonging) -> None:
        parts = {"model": self.network.state_dict(), "ema": self.average, "optim": self._optimizer_tensors()}
        for name, tensors in parts.items():
            if tensors or name != "ema":
                _write_file(folder / f"{name}.safetensors", save(_contiguous(tensors)))
        facts = {
            "schema": 2,
            "software": software(),
            "step": self.step,
            "skipped": self.skipped,
            **belonging.facts(),
        }
        _write_file(folder / "state.json", json.dumps(facts, indent=1).encode())
        sums = [f"{file_sha256(file)}  {file.name}\n" for file in sorted(folder.iterdir())]
        _write_file(folder / "SHA256SUMS", "".join(sums).encode())

    def load_newest(self, folder: Path, belonging: Belonging) -> list[str]:
        """Go on from the newest whole checkpoint below `folder`.

        Returns what is another than when it was written and does no harm, in words. Raises ResumeError.
        """
        newest = newest_whole(folder)
        if newest is None:
            damaged = bool(checkpoints_in(folder))
            why = "no checkpoint there is whole" if damaged else "no whole checkpoint is there"
            hint = "train anew with another `out`" if damaged else "start without --resume"
            raise ResumeError("nothing to resume from", path=folder, why=why, hint=hint)
        facts = json.loads((newest / "state.json").read_text())
        changes = belonging.refuse_other(facts, newest)
        self.network.load_state_dict(load_file(newest / "model.safetensors"))
        if self.average:
            average = load_file(newest / "ema.safetensors")
            self.average = {name: tensor.to(self.average[name].device) for name, tensor in average.items()}
        self._load_optimizer_tensors(load_file(newest / "optim.safetensors"))
        self.step, self.skipped = facts["step"], facts["skipped"]
        return changes

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
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in a folder, whole or not, the oldest first."""
    return sorted(
        (place for place in folder.glob("step-*") if NAME.fullmatch(place.name) and place.is_dir()), key=_step_of
    )


def newest_whole(folder: Path) -> Path | None:
    """The newest checkpoint below `folder` whose sums are right."""
    return next((place for place in reversed(checkpoints_in(folder)) if _is_whole(place)), None)


def checkpoint_tensors(place: Path) -> dict[str, Tensor]:
    """The network's tensors in a checkpoint, or their running average if the run kept one."""
    if not _is_whole(place):
        raise CorruptCheckpoint("not a whole checkpoint", path=place, hint="give a folder step-... of `checkpoints`")
    average = place / "ema.safetensors"
    return load_file(average if average.exists() else place / "model.safetensors")


def _is_whole(place: Path) -> bool:
    try:
        sums = {name: sum_ for sum_, name in (s.split("  ") for s in (place / "SHA256SUMS").read_text().splitlines())}
        return sums.keys() >= PARTS and all(file_sha256(place / name) == sum_ for name, sum_ in sums.items())
    except (OSError, ValueError, InputError):
        return False


def _step_of(place: Path) -> int:
    return int(place.name.removeprefix("step-"))


def _write_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
