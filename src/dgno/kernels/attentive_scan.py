"""The attentive state-space module (ASSM) with its norm and its residual, at inference: the reference.

    x + ASSM(LN(x)): route every pixel to a class, gate its features, scan the pixels in the order of their classes, put
    them back (MambaIRv2, Guo et al. 2024, arXiv:2411.15269, section 3; as DGNO uses it)

Its halves are `attentive_lift.py` and `attentive_core.py`. `networks/attentive_scan.py` is the module with its
parameters, the noise of training and the gradients, layer by layer. The fast twin in C is `attentive_scan_c.py`;
`fusing.py` chooses.
"""

from __future__ import annotations

from typing import NamedTuple

from dgno.kernels.attentive_core import CoreWeights, Map, attentive_core
from dgno.kernels.attentive_lift import LiftWeights, attentive_lift


class AttentiveWeights(NamedTuple):
    """Parameters of one module and of the norm before it."""

    lift: LiftWeights
    core: CoreWeights


def attentive_scan(x: Map, weights: AttentiveWeights, *, block: int | None, prompt_sorted: bool) -> Map:
    """The map with what the module adds to it.

    block : side in px of the squares inside which pixels are sorted and scanned, dividing the map; None: the whole map
    prompt_sorted : is the prompt put in scan order like the pixels? (The published weights were trained without.)
    """
    y, classes, prompts = attentive_lift(x, weights.lift, None)
    return attentive_core(x, y, classes, prompts, weights.core, block=block, prompt_sorted=prompt_sorted)
