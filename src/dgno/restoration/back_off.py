"""A restorer that goes on with smaller tiles when memory runs out.

First the same again after memory was given back, then tiles of half the side, until what one keeps would be nothing but
context; then, if it may, on the CPU. Precision never changes. The size that worked is kept for the rest of the run.
Errors other than a lack of memory pass unchanged.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch

from dgno.errors import OutOfMemory
from dgno.restoration.image import Batch, Restorer, answer_of, tiling_of
from dgno.restoration.tiling import plan_tiles, smallest_tile

ALIGNED = 32  # px; tiles are halved to multiples of this
LEAST = 128  # px


class BackOff:
    """See above; tiles as the restorer does.

    fixed : the user has chosen the size of the tiles, so it is not changed
    on_cpu : gives the restorer on the CPU, for when not even the smallest tile fits
    tell : is told of each step, in words
    """

    def __init__(
        self,
        restorer: Restorer,
        *,
        overlap: int | None = None,
        fixed: bool = False,
        on_cpu: Callable[[], Restorer] | None = None,
        tell: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.restorer, self.fixed, self.on_cpu, self.tell = restorer, fixed, on_cpu, tell
        self.multiple = int(getattr(restorer, "multiple", 1))
        self.halo = int(getattr(restorer, "halo", 0))
        self.is_local = bool(getattr(restorer, "is_local", True))
        self.is_whole = bool(getattr(restorer, "is_whole", False))
        self.channels = getattr(restorer, "channels", None)
        self.bytes_per_pixel = int(getattr(restorer, "bytes_per_pixel", 64))
        self.overlap = self.halo if overlap is None else overlap
        self.side = 0  # px of the tiles; 0 takes what comes as it is

    def __call__(self, x: Batch) -> Batch:
        retried = False
        while True:
            try:
                return self._answer(x)
            except OutOfMemory as error:
                _give_back()
                if not retried:
                    retried = True
                elif not self._shrink(max(x.shape[-2:])):
                    raise OutOfMemory(error.what, why=error.why, hint=self._hint()) from error

    def _answer(self, x: Batch) -> Batch:
        if not self.side or self.side >= max(x.shape[-2:]):
            return answer_of(self.restorer, x)
        height, width = x.shape[-2:]
        answer = torch.zeros_like(x)
        for tile in plan_tiles((height, width), **tiling_of(self.restorer, self.side, self.overlap)):
            tile.add_to(answer, tile.keep(answer_of(self.restorer, tile.read(x))))
        return answer

    def _shrink(self, side: int) -> bool:
        """Take tiles of half the side, or the CPU; False if nothing is left to try."""
        if not (self.fixed or self.is_whole):
            step = max(ALIGNED, self.multiple)
            half = (self.side or side) // 2 // step * step
            if half >= max(smallest_tile(self.overlap, self.multiple), LEAST):
                self.side = half
                self.tell(f"memory ran out; tiles of {half} px from here on")
                return True
        if self.on_cpu is not None:
            self.restorer, self.on_cpu, self.side = self.on_cpu(), None, 0
            self.tell("memory ran out on the device; on the CPU from here on")
            return True
        return False

    def _hint(self) -> str:
        return "give a smaller --tile, or free memory" if self.fixed else "free memory, or take a machine with more"


def _give_back() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
