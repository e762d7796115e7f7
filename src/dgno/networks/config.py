"""What a DGNO network is made of, by name: the record that presets and weights carry."""

from __future__ import annotations

from dataclasses import dataclass


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
    scope : "elements"; "none" leaves elements uncoupled (LG); "global" makes the image one element (GG)
    element_size : side of an element in pixels
    iterations : T, operator layers at each scale
    tau, tau_learnt : start value of the jump's weight; learnt or fixed
    scan_block : side in pixels of the squares in which pixels are sorted and scanned; None: the whole image (published)
    shallow_norm : "instance" (published), "channel" or "none"
    prompt_sorted : put the prompt in scan order too; False is published
    activation : of the shallow features, "gelu" or "relu"
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
