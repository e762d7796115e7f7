"""What restores images, ours and others', each as a function of one image (1, 1, h, w) with values in [0, 1].

Peers are what a user can install instead, in their published sizes and as they come: MONAI's Restormer, SwinUNETR and
U-Net with random weights, scikit-image's Richardson-Lucy and Wiener with a Gaussian PSF.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dgno.evaluation.inventory import multiply_accumulates
from dgno.networks import NETWORKS, build
from dgno.optics.psf import gaussian_disk
from dgno.restoration.placed import Placed

# Every kernel by its plain reference, as `dgno.kernels.backends` reads it at each call.
REFERENCES = {
    "DGNO_FEED_FORWARD": "layers",
    "DGNO_ATTENTIVE_SCAN": "layers",
    "DGNO_OPERATOR_LAYER": "layers",
    "DGNO_MERGE": "layers",
    "DGNO_POINTWISE": "linear",
    "DGNO_SCAN": "chunked",
    "DGNO_OPERATOR": "reference",
    "DGNO_GATE": "reference",
    "DGNO_CONVOLUTION": "reference",
    "DGNO_PRODUCTS": "floats",
}
OURS = ("dgno-face", "dgno-cell", "small-cell", "nano-cell")
FASTER = ("high", "bf16")  # than fp32
COUNTED = 128  # px: side of the image that peers' products are counted on
SIGMA, STEPS, BALANCE = 2.0, 30, 0.1  # of the classical methods: PSF in px, iterations, Wiener's regularisation


@dataclass(frozen=True)
class Contestant:
    """run : restores one image.  operations : in products, a pixel, multiplications and additions; 0 if not counted"""

    run: Callable[[Tensor], object]
    operations: float = 0.0


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These environment variables, for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def ours(name: str, *, references: bool = False, precision: str = "fp32") -> Contestant:
    """One of our networks, with compiled kernels or with their references, as `dgno restore --precision` has it."""
    network = build(NETWORKS[name]).eval()
    placed = Placed(network, torch.device("cpu"), precision)

    @torch.no_grad()
    def run(x: Tensor) -> object:
        with environment(REFERENCES if references else {}):
            return placed(x)

    side = network.multiple
    return Contestant(run, 2 * sum(multiply_accumulates(network, side)) / side**2)


def peer(make: Callable[[], nn.Module]) -> Contestant:
    """A network of others."""
    network = make().eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(torch.rand(1, 1, COUNTED, COUNTED))
    return Contestant(torch.no_grad()(network), counter.get_total_flops() / COUNTED**2)


def restormer() -> nn.Module:
    """Zamir et al. 2022, arXiv:2111.09881, in its size: 26.1 M parameters."""
    from monai.networks.nets.restormer import Restormer

    blocks, heads = (4, 6, 6, 8), (1, 2, 4, 8)
    return Restormer(2, 1, 1, 48, blocks, heads, num_refinement_blocks=4, ffn_expansion_factor=2.66)


def swin_unetr() -> nn.Module:
    """Hatamizadeh et al. 2022, arXiv:2201.01266, in its width of 48: 25.1 M parameters."""
    from monai.networks.nets import SwinUNETR

    return SwinUNETR(in_channels=1, out_channels=1, feature_size=48, spatial_dims=2)


def unet() -> nn.Module:
    """MONAI's residual U-Net with the channels of its documentation: 1.6 M parameters."""
    from monai.networks.nets import UNet

    return UNet(2, 1, 1, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2)


def classical(name: str) -> Contestant:
    """scikit-image's Richardson-Lucy ("richardson_lucy") or Wiener filter ("wiener")."""
    from skimage import restoration

    psf = gaussian_disk(SIGMA).astype(np.float32)
    if name == "wiener":
        return Contestant(lambda x: restoration.wiener(x[0, 0].numpy(), psf, BALANCE))
    return Contestant(lambda x: restoration.richardson_lucy(x[0, 0].numpy(), psf, num_iter=STEPS))


CONTESTANTS: dict[str, Callable[[], Contestant]] = {
    **{name: functools.partial(ours, name) for name in OURS},
    **{f"dgno-face, {precision}": functools.partial(ours, "dgno-face", precision=precision) for precision in FASTER},
    **{f"{name}, references": functools.partial(ours, name, references=True) for name in OURS},
    "MONAI Restormer": functools.partial(peer, restormer),
    "MONAI SwinUNETR": functools.partial(peer, swin_unetr),
    "MONAI UNet": functools.partial(peer, unet),
    f"scikit-image Richardson-Lucy, {STEPS} steps": functools.partial(classical, "richardson_lucy"),
    "scikit-image Wiener": functools.partial(classical, "wiener"),
}
RESTORMER = "MONAI Restormer"
