"""Products of bfloat16 inside the compiled parts, in vectors and in tiles: rounded factors, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from kernel_comparison import (
    assert_agree,
    attentive_weights,
    compiled_versions,
    feed_forward_inputs,
    layer_inputs,
    normal_numbers,
)
from torch import Tensor

from dgno.kernels import attentive_scan_c, dg_operator_c, feed_forward_c, fusing
from dgno.kernels.compiled import allow_tiles
from dgno.kernels.depthwise import gelu_gate
from dgno.kernels.dg_layer_c import apply_layer_c, integrate_layer_c
from dgno.networks import NETWORKS, build

PARTS = (attentive_scan_c, dg_operator_c, feed_forward_c)
pytestmark = pytest.mark.skipif(
    any(not compiled_versions(part) or not part.load().has_half() for part in PARTS),
    reason="no products of bfloat16 here",
)

# Rows and inputs beside those of a tile (16; 16 or 32), outputs beside whole vectors and pairs of them
MAPS = [(1, 16, 1, 1, 42), (2, 17, 1, 9, 5), (2, 33, 4, 5, 1), (1, 16, 3, 131, 42), (1, 48, 40, 7, 127)]
SCANS = [(1, 16, 1, 1, None), (2, 17, 9, 70, None), (1, 20, 16, 24, 8), (2, 48, 12, 12, 12)]
LAYERS = [
    (2, 16, 4, 16, 24, 8),
    (1, 20, 5, 8, 8, 4),
    (1, 24, 2, 10, 15, 5),
    (1, 48, 16, 16, 88, 8),
    (2, 24, 8, 3, 4, 1),
]


@pytest.fixture(params=["vectors", "tiles"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """How products of bfloat16 are computed."""
    if request.param == "tiles" and not all(part.load().has_tiles() for part in PARTS):
        pytest.skip("no tiles (AMX) here")
    allow_tiles(request.param == "tiles")
    yield request.param
    allow_tiles(True)


@pytest.mark.parametrize("sizes", MAPS, ids=str)
def test_bfloat16_rounds_the_factors_and_nothing_else(way: str, sizes: tuple[int, ...]) -> None:
    """Against float64 with the same factors rounded: the sums, the norm, the gate and the residual are float32."""
    x, norm_weight, norm_bias, project_in, taps, project_out = feed_forward_inputs(*sizes)
    ours = feed_forward_c.feed_forward_c(x, norm_weight, norm_bias, project_in, taps, project_out, half=True)

    def rounded(t: Tensor) -> Tensor:
        return t.float().bfloat16().double()

    normalised = F.layer_norm(x.permute(0, 2, 3, 1), norm_weight.shape, norm_weight, norm_bias)
    hidden = F.linear(rounded(normalised), rounded(project_in)).permute(0, 3, 1, 2)
    gated = gelu_gate(hidden, taps.double()).permute(0, 2, 3, 1)
    exact = x + F.linear(rounded(gated), rounded(project_out)).permute(0, 3, 1, 2)
    assert_agree(ours, exact, 2e-3)  # a factor beside a rounding edge may fall to its other side
    assert (ours - exact).abs().mean() <= 1e-4 * exact.abs().max()


def test_a_network_in_bfloat16_is_close_to_the_network(way: str) -> None:
    """Mixed precision takes the fused kernels; what comes out is float32, and near, but not the same."""
    torch.manual_seed(0)
    network, x = build(NETWORKS["nano-face"]).eval(), torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x)
        change = (exact - x).abs().max()
    difference = (half - exact).abs().max()
    assert half.dtype == torch.float32
    assert 0 < difference <= 0.05 * change


def scanned(sizes: tuple[int, int, int, int, int | None]) -> Tensor:
    *shape, block = sizes
    random = torch.Generator().manual_seed(shape[1])
    weights, x = attentive_weights(shape[1], random), normal_numbers(random, *shape)
    return attentive_scan_c.attentive_scan_c(x, weights, block=block, prompt_sorted=True, half=True)


def operated(sizes: tuple[int, int, int, int, int, int]) -> Tensor:
    *shape, side = sizes
    z, weights = layer_inputs(*shape)
    volume, _ = integrate_layer_c(z, weights, side, False, half=True)
    return apply_layer_c(z, volume, weights, half=True)


CALLS: dict[str, tuple[Callable[..., Tensor], tuple[int | None, ...]]] = {
    **{f"attentive scan {sizes}": (scanned, sizes) for sizes in SCANS},
    **{f"operator layer {sizes}": (operated, sizes) for sizes in LAYERS},
}


@pytest.mark.skipif(not fusing.has_tiles(), reason="no tiles (AMX) here")
@pytest.mark.parametrize("part, sizes", CALLS.values(), ids=CALLS)
def test_tiles_give_what_vectors_give(part: Callable[..., Tensor], sizes: tuple[int | None, ...]) -> None:
    """But for the order of sums; a factor beside a rounding edge may fall to its other side."""
    tiles = part(sizes)
    allow_tiles(False)
    try:
        vectors = part(sizes)
    finally:
        allow_tiles(True)
    assert_agree(tiles, vectors, 2e-3)
    assert (tiles - vectors).abs().mean() <= 1e-4 * vectors.abs().max()


def test_threads_and_other_users_of_tiles_change_nothing(way: str, set_threads: Callable[[int], None]) -> None:
    """Bit for bit; before and after, torch multiplies bfloat16 in tiles of its own, and is not disturbed either."""
    inputs = feed_forward_inputs(2, 48, 40, 70, 127)
    a, b = torch.randn(2, 200, 200, generator=torch.Generator().manual_seed(1)).bfloat16()
    set_threads(1)
    alone = feed_forward_c.feed_forward_c(*inputs, half=True)
    for threads in (1, 2, 3):
        set_threads(threads)
        product = a @ b
        assert torch.equal(feed_forward_c.feed_forward_c(*inputs, half=True), alone)
        assert torch.equal(a @ b, product)
