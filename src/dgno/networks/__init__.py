"""Networks by configuration: `build(DGNOConfig(...))`, or `build(NETWORKS["nano-cell"])`."""

from dgno.networks.config import DGNOConfig
from dgno.networks.dgno import DGNO
from dgno.networks.presets import NETWORKS, build

__all__ = ["DGNO", "NETWORKS", "DGNOConfig", "build"]
