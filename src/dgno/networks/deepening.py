"""A deeper network that begins as a shallower one: the blocks that were added to its lifting are the identity.

Both halves of a block are residual; with nothing in their last maps, a block gives what it was given, and its gradient
is not zero (progressive stacking: Gong et al. 2019; zeros in the last map of a residual: Zhang et al. 2019, "Fixup").
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dgno.networks.dgno import DGNO
from dgno.networks.mamba_block import MambaBlock
from dgno.networks.naf_block import NAFBlock
from dgno.networks.restormer_block import RestormerBlock


def deepened(tensors: Mapping[str, Tensor], network: DGNO) -> dict[str, Tensor]:
    """`tensors`, and those of the blocks of `network` that they lack, which become the identity in it.

    tensors : of a network that is the same but for fewer blocks at some scales of the lifting; where it is another,
        what comes back does not fit `network` either
    """
    added: dict[str, Tensor] = {}
    for scale, level in network.lifting.named_children():
        for index, block in level.named_children():
            prefix = f"lifting.{scale}.{index}."
            if isinstance(block, BLOCKS) and not any(name.startswith(prefix) for name in tensors):
                _become_identity(block)
                added |= {prefix + name: tensor for name, tensor in block.state_dict().items()}
    return {**tensors, **added}


@torch.no_grad()
def _become_identity(block: nn.Module) -> None:
    for last in _LAST_MAPS[type(block)]:
        for parameter in block.get_submodule(last).parameters():
            parameter.zero_()
    if isinstance(block, NAFBlock):  # fresh ones are the identity
        block.beta.zero_()
        block.gamma.zero_()


_LAST_MAPS: dict[type[nn.Module], tuple[str, ...]] = {
    MambaBlock: ("scan.project_out", "feed_forward.project_out"),
    RestormerBlock: ("attention.project_out", "feed_forward.project_out"),
    NAFBlock: (),
}
BLOCKS = tuple(_LAST_MAPS)
