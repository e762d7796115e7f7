"""What a DGNO network is made of, by name: the record that presets and weights carry."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dgno.errors import ConfigError

CHOICES = {
    "channels": (1, 3),
    "traces": ("cell", "face"),
    "flux": ("central", "jump", "avg_jump", "upwind", "upwind_frobenius"),
    "boundary": ("dirichlet", "neumann", "periodic"),
    "convention": ("paper", "released"),
    "scope": ("elements", "none", "global", "blocks"),
    "shallow_norm": ("instance", "channel", "none"),
    "activation": ("gelu", "relu"),
    "lifting": ("mamba", "nafnet", "restormer"),
}
SINCE = {"lifting": 2}  # fields that headers of weights have from this schema on


@dataclass(frozen=True)
class DGNOConfig:
    """Everything that decides the network; `dgno.networks.build` makes it.

    channels : of the image, 1 or 3
    width, blocks : channels at full scale; encoder modules at the four scales
    heads : of the operator layers; divides the width
    traces : "cell" or "face"
    flux : "central", "jump", "avg_jump", "upwind" or "upwind_frobenius"
    boundary : "dirichlet", "neumann" or "periodic"
    convention : "paper" or "released"
    scope : "elements"; "none" leaves elements uncoupled (LG); "global" makes the image one element (GG); "blocks" has
        no operators but blocks as in the lifting: a plain U-Net
    element_size : side of an element in pixels
    iterations : T, operator layers (or blocks) at each scale
    tau, tau_learnt : start value of the jump's weight; learnt or fixed
    scan_block : side in pixels of the squares in which pixels are sorted and scanned, pooled (nafnet) or attended to
        (restormer); None: the whole image (published)
    shallow_norm : "instance" (published), "channel" or "none"
    prompt_sorted : put the prompt in scan order too; False is published; only mamba has one
    activation : of the shallow features, "gelu" or "relu"
    lifting : kind of the encoder's blocks, "mamba" (published), "nafnet" or "restormer"
    """

    channels: int = 1
    width: int = 48
    blocks: tuple[int, int, int, int] = (2, 4, 6, 2)
    heads: int = 16
    traces: str = "cell"
    flux: str = "jump"
    boundary: str = "neumann"
    convention: str = "released"
    scope: str = "elements"
    element_size: int = 8
    iterations: int = 2
    tau: float = 0.25
    tau_learnt: bool = True
    scan_block: int | None = None
    shallow_norm: str = "instance"
    prompt_sorted: bool = False
    activation: str = "gelu"
    lifting: str = "mamba"

    family = "dgno"
    tells_types = False  # of blur

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)!r}, wanted one of {', '.join(map(repr, known))}"
            for name, known in CHOICES.items()
            if type(getattr(self, name)) is not type(known[0]) or getattr(self, name) not in known
        ]
        lowest = {"width": 4, "heads": 1, "element_size": 1, "iterations": 1}
        problems += [
            f"{name} is {getattr(self, name)!r}, wanted a whole number of at least {low}"
            for name, low in lowest.items()
            if not _is_count(getattr(self, name), low)
        ]
        problems += [
            f"{name} is {getattr(self, name)!r}, wanted true or false"
            for name in ("tau_learnt", "prompt_sorted")
            if not isinstance(getattr(self, name), bool)
        ]
        if isinstance(self.tau, bool) or not isinstance(self.tau, float | int) or not math.isfinite(self.tau):
            problems.append(f"tau is {self.tau!r}, wanted a finite number")
        if not isinstance(self.blocks, tuple) or len(self.blocks) != 4 or not all(_is_count(n, 1) for n in self.blocks):
            problems.append(f"blocks is {self.blocks!r}, wanted four whole numbers of at least 1")
        counts = _is_count(self.width, 1) and _is_count(self.heads, 1)
        if counts and (self.width % 2 or self.width % self.heads or self.width // self.heads < 2):
            problems.append(
                f"width {self.width} and heads {self.heads}: the width is even, and at least twice the heads' number"
            )
        if self.scan_block is not None and (not _is_count(self.scan_block, 8) or self.scan_block % 8):
            problems.append(f"scan_block is {self.scan_block!r}, wanted a multiple of 8, or None")
        if problems:
            raise ConfigError("the network cannot be built", why="; ".join(problems))

    @property
    def multiple(self) -> int:
        """px, of the images that the four scales, the elements and the scan blocks divide."""
        return math.lcm(8, 4 * self.element_size, self.scan_block or 1)

    @property
    def schema(self) -> int:
        """Of the oldest header of weights that can name this network."""
        return 2 if self.lifting != "mamba" or self.scope == "blocks" else 1


def _is_count(value: object, lowest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest
