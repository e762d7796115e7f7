"""Several processes on one batch, as `torchrun` starts them: each takes its share, and gradients are averaged.

Every process holds the same network and takes the same steps; which process a sample is made on changes nothing but the
order of additions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dgno.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; a single one by default.

    rank : number of this process, from 0
    size : how many there are
    device : that what is exchanged lies on
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009  # immutable

    @property
    def is_first(self) -> bool:
        """The one that logs, validates and saves."""
        return self.rank == 0

    def slots(self, batch: int) -> range:
        """The samples of a batch that this process makes. Raises ConfigError if they cannot be shared evenly."""
        if batch % self.size:
            hint = f"give every stage a batch that is a multiple of {self.size}"
            raise ConfigError(f"a batch of {batch} on {self.size} processes", hint=hint)
        return range(self.rank, batch, self.size)

    def average_gradients(self, network: nn.Module) -> None:
        """Replace every gradient by its mean over the processes: that of the whole batch."""
        if self.size > 1:
            for parameter in network.parameters():
                if parameter.grad is not None:
                    self._sum(parameter.grad).div_(self.size)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a value over the processes."""
        return value if self.size == 1 else self._sum(value.detach().clone()) / self.size

    def agree(self, decision: bool) -> bool:
        """What the first process has decided."""
        if self.size == 1:
            return decision
        decided = torch.tensor([decision], dtype=torch.uint8, device=self.device)
        dist.broadcast(decided, src=0)
        return bool(decided.item())

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    @staticmethod
    def _sum(tensor: Tensor) -> Tensor:
        dist.all_reduce(tensor)
        return tensor


def join(device: torch.device) -> Ranks:
    """The ranks that `torchrun` has told by the environment (RANK, WORLD_SIZE); a single one without it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Ranks(device=device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(dist.get_rank(), dist.get_world_size(), device)


def leave(ranks: Ranks) -> None:
    """Part from the other processes."""
    if ranks.size > 1:
        dist.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process on its machine (LOCAL_RANK), where `device` says no more than "cuda"."""
    if str(device) == "cuda":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return device
