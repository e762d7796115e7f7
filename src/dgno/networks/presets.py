"""Sizes by name, and the one place where a name in a config becomes an object."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import overload

import torch
from torch import nn

from dgno.networks.blocks import ChannelNorm
from dgno.networks.blur_reader import READER_NETWORKS, BlurReader, ReaderConfig
from dgno.networks.config import DGNOConfig
from dgno.networks.dbmid import DBMID_NETWORKS, DBMIDConfig, DBMIDNet
from dgno.networks.dgno import DGNO
from dgno.networks.lifting import ImageConvolution, InstanceNorm, Lifting
from dgno.networks.mamba_block import MambaBlock
from dgno.networks.naf_block import NAFBlock
from dgno.networks.restormer_block import RestormerBlock
from dgno.networks.vgg import VGG, VGG_NETWORKS, VGGConfig
from dgno.operators.assembly import PaperAssembly, ReleasedAssembly
from dgno.operators.boundary import Boundary, Dirichlet, Neumann, Periodic
from dgno.operators.dg import DGOperator
from dgno.operators.fluxes import AverageJump, Central, Jump, Upwind, frobenius_norm
from dgno.operators.galerkin import cell_traces, face_traces

# Ours: the fluxes as in the paper, a lifting without whole-image statistics (local), the prompt in scan order. With
# scan blocks of 32 px, trained weights need about 110 px of context for exact tiles; with 64 px it was about 200.
_ours = partial(DGNOConfig, convention="paper", scan_block=32, shallow_norm="none", prompt_sorted=True)
# Small has the published depth, nano half of it, both a third of the width: 16 channels fill one vector of a processor.
_small = partial(_ours, width=16, blocks=(2, 4, 6, 2), heads=4)
_nano = partial(_ours, width=16, blocks=(1, 2, 2, 1), heads=4)

NETWORKS: dict[str, DGNOConfig] = {
    "dgno-face": DGNOConfig(traces="face", flux="avg_jump", boundary="dirichlet"),
    "dgno-cell": DGNOConfig(traces="cell", flux="jump", boundary="neumann"),
    "dgno-gg": DGNOConfig(scope="global"),
    "dgno-lg": DGNOConfig(scope="none"),
    "small-face": _small(traces="face", flux="avg_jump", boundary="dirichlet"),
    "small-cell": _small(traces="cell", flux="jump", boundary="neumann"),
    "nano-face": _nano(traces="face", flux="avg_jump", boundary="dirichlet"),
    "nano-cell": _nano(traces="cell", flux="jump", boundary="neumann"),
    # Table 6: other liftings, with operators and as plain U-Nets; about as many parameters as the networks above
    "dgno-nafnet": DGNOConfig(lifting="nafnet", blocks=(2, 4, 8, 5)),
    "dgno-restormer": DGNOConfig(lifting="restormer", blocks=(2, 4, 7, 2)),
    "naf-unet": DGNOConfig(lifting="nafnet", blocks=(2, 4, 8, 5), scope="blocks"),
    "restormer-unet": DGNOConfig(lifting="restormer", blocks=(2, 4, 7, 2), scope="blocks"),
    "nano-nafnet": _nano(lifting="nafnet", blocks=(2, 4, 4, 2)),
    "nano-restormer": _nano(lifting="restormer", blocks=(1, 2, 3, 1)),
    "nano-naf-unet": _nano(lifting="nafnet", blocks=(2, 4, 4, 2), scope="blocks"),
    "nano-restormer-unet": _nano(lifting="restormer", blocks=(1, 2, 3, 1), scope="blocks"),
}

NetworkConfig = DGNOConfig | DBMIDConfig | ReaderConfig | VGGConfig
PRESETS: dict[str, NetworkConfig] = {**NETWORKS, **DBMID_NETWORKS, **READER_NETWORKS, **VGG_NETWORKS}
Network = DGNO | DBMIDNet | BlurReader | VGG
KINDS: tuple[type[NetworkConfig], ...] = (DGNOConfig, DBMIDConfig, ReaderConfig, VGGConfig)
FAMILIES = {kind.family: kind for kind in KINDS}

_TRACES = {"cell": cell_traces, "face": face_traces}
_BOUNDARIES: dict[str, Callable[[], Boundary]] = {"dirichlet": Dirichlet, "neumann": Neumann, "periodic": Periodic}
_ASSEMBLIES: dict[str, Callable[[nn.Module, Boundary], PaperAssembly | ReleasedAssembly]] = {
    "paper": PaperAssembly,
    "released": ReleasedAssembly,
}
_NORMS = {"instance": InstanceNorm, "channel": ChannelNorm, "none": lambda dim: nn.Identity()}
_ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}


def make_flux(config: DGNOConfig) -> nn.Module:
    """The numerical flux that a config names."""
    fluxes: dict[str, Callable[[], nn.Module]] = {
        "central": Central,
        "jump": partial(Jump, config.tau, learnt=config.tau_learnt),
        "avg_jump": partial(AverageJump, config.tau, learnt=config.tau_learnt),
        "upwind": Upwind,
        "upwind_frobenius": partial(Upwind, frobenius_norm),
    }
    return fluxes[config.flux]()


def make_operator(config: DGNOConfig, dim: int) -> DGOperator:
    """One operator layer of `dim` channels."""
    if config.scope == "global":
        return DGOperator(dim, config.heads, element_size=None)
    if config.scope == "none":
        return DGOperator(dim, config.heads, element_size=config.element_size)
    assembly = _ASSEMBLIES[config.convention](make_flux(config), _BOUNDARIES[config.boundary]())
    integral = _TRACES[config.traces]
    return DGOperator(dim, config.heads, element_size=config.element_size, integral=integral, assembly=assembly)


def make_block(config: DGNOConfig, scale: int) -> nn.Module:
    """One block of the lifting's kind for scale 0, 1, 2 or 3; Restormer's heads have as many channels at all scales."""
    dim, block = config.width * 2**scale, config.scan_block and config.scan_block // 2**scale
    kinds: dict[str, Callable[[], nn.Module]] = {
        "mamba": partial(MambaBlock, dim, block=block, prompt_sorted=config.prompt_sorted),
        "nafnet": partial(NAFBlock, dim, block=block),
        "restormer": partial(RestormerBlock, dim, heads=2**scale, block=block),
    }
    return kinds[config.lifting]()


def make_layer(config: DGNOConfig, scale: int) -> nn.Module:
    """What merged features of scale 0, 1 or 2 go through: an operator layer, or a block in a plain U-Net."""
    return make_block(config, scale) if config.scope == "blocks" else make_operator(config, config.width * 2**scale)


@overload
def build(config: DGNOConfig) -> DGNO: ...
@overload
def build(config: DBMIDConfig) -> DBMIDNet: ...
@overload
def build(config: ReaderConfig) -> BlurReader: ...
@overload
def build(config: VGGConfig) -> VGG: ...
@overload
def build(config: NetworkConfig) -> Network: ...
def build(config: NetworkConfig) -> Network:
    """The network of a config, with fresh parameters from torch's global generator."""
    if isinstance(config, DBMIDConfig):
        return DBMIDNet(config)
    if isinstance(config, ReaderConfig):
        return BlurReader(config)
    return VGG(config) if isinstance(config, VGGConfig) else _build_dgno(config)


def _build_dgno(config: DGNOConfig) -> DGNO:
    lifting = Lifting(
        config.channels,
        config.width,
        make_block=partial(make_block, config),
        blocks=config.blocks,
        activation=_ACTIVATIONS[config.activation],
        norm=_NORMS[config.shallow_norm],
    )

    def operators(scale: int) -> nn.Sequential:
        return nn.Sequential(*(make_layer(config, scale) for _ in range(config.iterations)))

    network = DGNO(
        config.channels,
        config.width,
        lifting=lifting,
        operators=operators,
        multiple=config.multiple,
        is_local=config.scan_block is not None and config.shallow_norm != "instance" and config.scope != "global",
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, ImageConvolution):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return network
