"""A slide restored by the identity, in a process whose memory a test looks at."""

from __future__ import annotations

from pathlib import Path

import torch

from dgno.restoration.batch import Job
from dgno.restoration.image import by_range
from dgno.restoration.options import RestoreOptions
from dgno.restoration.route import Remedy
from dgno.restoration.slide_files import restore_slide
from dgno.restoration.workbench import Workbench


class Unchanged:
    """The identity, tiled as the embedded weights are."""

    halo, multiple = 112, 32

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Idle(Workbench):
    """Restores by the identity."""

    def remedy_of(self, image: object, blur: str = "") -> Remedy:
        return Remedy(Unchanged(), by_range)


def peak_of(path: Path, out: Path, answer: Path) -> None:
    """Restore the slide, and write the peak of this process' memory in MiB: VmHWM, since a child inherits ru_maxrss."""
    torch.set_num_threads(1)
    restore_slide(Job(path, out), Idle(RestoreOptions(route="off"), inputs=[path]))
    status = Path("/proc/self/status").read_text().splitlines()
    answer.write_text(next(line.split()[1] for line in status if line.startswith("VmHWM")))
