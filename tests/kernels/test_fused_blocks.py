"""Parts of a block in one call: the compiled versions give what the plain ones give, wherever and however they run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kernel_comparison import (
    assert_agree,
    attentive_weights,
    compiled_versions,
    feed_forward_inputs,
    normal_numbers,
)
from torch import Tensor

from dgno.kernels import attentive_scan_c, feed_forward_c
from dgno.kernels.attentive_core import CoreWeights
from dgno.kernels.attentive_lift import LiftWeights
from dgno.kernels.attentive_scan import AttentiveWeights, attentive_scan
from dgno.kernels.feed_forward import feed_forward
from dgno.networks.mamba_block import MambaBlock

pytestmark = pytest.mark.skipif(not compiled_versions(feed_forward_c), reason="the kernels were not compiled")


# (b, c, h, w, hidden): one pixel, one row, one column; channels and hidden ones beside the vectors (4, 8, 16); maps
# wider than a tile, and high enough to be cut into strips by several threads
MAPS = [
    (1, 16, 1, 1, 42),
    (2, 17, 1, 9, 5),
    (1, 20, 11, 1, 53),
    (2, 33, 4, 5, 1),
    (1, 16, 3, 131, 42),
    (1, 48, 40, 7, 127),
    (2, 17, 5, 9, 515),
]


@pytest.mark.parametrize("sizes", MAPS, ids=str)
def test_the_compiled_feed_forward_network_is_the_plain_one(version: int, sizes: tuple[int, ...]) -> None:
    """O16, at odd sizes, for every instruction set."""
    inputs = feed_forward_inputs(*sizes)
    exact = feed_forward(*(t.double() for t in inputs))
    assert_agree(feed_forward_c.feed_forward_c(*inputs), exact)


# (b, c, h, w, block): one sequence longer than a chunk, several shorter ones, one pixel
SCANS = [
    (1, 16, 1, 1, None),
    (2, 17, 9, 70, None),
    (1, 20, 16, 24, 8),
    (2, 48, 12, 12, 12),
    (1, 16, 3, 131, None),
]


@pytest.mark.parametrize("prompt_sorted", [False, True])
@pytest.mark.parametrize("sizes", SCANS, ids=str)
def test_the_compiled_attentive_scan_is_the_plain_one(
    version: int, sizes: tuple[int, int, int, int, int | None], prompt_sorted: bool
) -> None:
    """O16, at odd sizes, for every instruction set, whole images and blocks, prompts in both orders."""
    b, c, h, w, block = sizes
    random = torch.Generator().manual_seed(c * h * w)
    weights, x = attentive_weights(c, random), normal_numbers(random, b, c, h, w)
    lift, core = ([t.double() for t in half] for half in weights)
    exact_weights = AttentiveWeights(LiftWeights(*lift), CoreWeights(*core))
    exact = attentive_scan(x.double(), exact_weights, block=block, prompt_sorted=prompt_sorted)
    ours = attentive_scan_c.attentive_scan_c(x, weights, block=block, prompt_sorted=prompt_sorted)
    assert_agree(ours, exact)


def parts(c: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """The two compiled parts for maps of c channels."""
    random = torch.Generator().manual_seed(c)
    weights, network = attentive_weights(c, random), feed_forward_inputs(1, c, 1, 1, 2 * c)[1:]
    return {
        "feed-forward": lambda x: feed_forward_c.feed_forward_c(x, *network),
        "scan of the image": lambda x: attentive_scan_c.attentive_scan_c(x, weights, block=None, prompt_sorted=True),
        "scan of blocks": lambda x: attentive_scan_c.attentive_scan_c(x, weights, block=8, prompt_sorted=False),
    }


@pytest.mark.parametrize("name", parts(16))
def test_threads_change_nothing(name: str, set_threads: Callable[[int], None]) -> None:
    """Bit for bit: also where there are more threads than sequences."""
    part, x = parts(20)[name], torch.randn(1, 20, 40, 72, generator=torch.Generator().manual_seed(5))
    set_threads(1)
    alone = part(x)
    for count in (2, 3, 7):
        set_threads(count)
        assert torch.equal(part(x), alone)


@pytest.mark.parametrize("name", ["feed-forward", "scan of blocks"])
def test_a_pixel_is_computed_alike_in_every_map(name: str) -> None:
    """Bit for bit: a crop gives what the whole map gives, but for the pixel or the block at its sides."""
    part, x = parts(16)[name], torch.randn(1, 16, 48, 200, generator=torch.Generator().manual_seed(6))
    whole, crop = part(x), part(x[:, :, 8:40, 64:160].contiguous())
    assert torch.equal(crop[:, :, 8:-8, 8:-8], whole[:, :, 16:32, 72:152])


@pytest.mark.parametrize("name", parts(16))
def test_what_is_not_a_number_stays_where_it_is_seen(name: str) -> None:
    """A pixel that is not a number spoils its surroundings and nothing else, and no class is out of range for it."""
    x = torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(8))
    x[0, 3, 20, 20] = torch.nan
    out = parts(16)[name](x)
    assert out[0, :, 20, 20].isnan().any()
    if name != "scan of the image":
        assert out[:, :, :8].isfinite().all()


@pytest.mark.parametrize("block, prompt_sorted", [(None, False), (4, True)])
def test_blocks_in_one_call_are_blocks_layer_by_layer(
    block: int | None, prompt_sorted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole block of a network gives the same both ways, with the routing's arg-max in both."""
    torch.manual_seed(0)
    module = MambaBlock(16, block=block, prompt_sorted=prompt_sorted).eval()
    x = torch.randn(2, 16, 12, 20)
    with torch.no_grad():
        fused = module(x)
        for variable in ("DGNO_FEED_FORWARD", "DGNO_ATTENTIVE_SCAN"):
            monkeypatch.setenv(variable, "layers")
        assert_agree(fused, module(x))
