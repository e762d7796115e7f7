"""Networks by configuration: `build(DGNOConfig(...))`, or `build(NETWORKS["nano-cell"])`."""

from dgno.networks.config import DGNOConfig
from dgno.networks.dgno import DGNO
from dgno.networks.presets import NETWORKS, PRESETS, build

__all__ = ["DGNO", "NETWORKS", "PRESETS", "DGNOConfig", "build"]
