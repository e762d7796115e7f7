"""Products of floats as sums of two bfloat16 each, 17 bits of them: torch's float32_matmul_precision "high"."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from kernel_comparison import (
    assert_agree,
    assert_all_agree,
    attentive_weights,
    compiled_versions,
    feed_forward_inputs,
    layer_inputs,
    matrix,
    normal_numbers,
    random_tensors,
    values_and_gradients,
)
from torch import Tensor

from dgno.errors import ConfigError
from dgno.kernels import attentive_scan_c, convolution_c, dg_operator_c, feed_forward_c, pointwise_c
from dgno.kernels.compiled import allow_tiles
from dgno.kernels.dg_layer_c import apply_layer_c, integrate_layer_c
from dgno.kernels.merge_c import merge_c
from dgno.kernels.products import FEWEST, FLOATS, PAIRS, choose_products, multiplied_as
from dgno.networks import NETWORKS, build

PARTS = (attentive_scan_c, convolution_c, dg_operator_c, feed_forward_c, pointwise_c)
TOLERANCE = 2e-5  # of the largest value; 1e-5 where all bits are multiplied


def has_tiles(part: object) -> bool:
    return bool(compiled_versions(part)) and part.load().has_tiles()  # type: ignore[attr-defined,arg-type]


needs_tiles = pytest.mark.skipif(not all(map(has_tiles, PARTS)), reason="no tiles (AMX) here")


@pytest.fixture
def set_precision() -> Iterator[Callable[[str], None]]:
    """torch.set_float32_matmul_precision, undone after the test."""
    before = torch.get_float32_matmul_precision()
    yield torch.set_float32_matmul_precision
    torch.set_float32_matmul_precision(before)


def numbers(*sizes: int) -> torch.Generator:
    return torch.Generator().manual_seed(sum(sizes))


def fed_forward(*sizes: int) -> Tensor:
    return feed_forward_c.feed_forward_c(*feed_forward_inputs(*sizes))


def scanned(*sizes: int) -> Tensor:
    random = numbers(*sizes)
    weights, x = attentive_weights(sizes[1], random), normal_numbers(random, *sizes)
    return attentive_scan_c.attentive_scan_c(x, weights, block=None, prompt_sorted=True)


def operated(*sizes: int) -> Tensor:
    *shape, side = sizes
    z, weights = layer_inputs(*shape)
    return apply_layer_c(z, integrate_layer_c(z, weights, side, False)[0], weights)


def merged(b: int, c: int, h: int, w: int) -> Tensor:
    random = numbers(b, c, h, w)
    coarse, fine = normal_numbers(random, b, 4 * c, h, w), normal_numbers(random, b, c, 2 * h, 2 * w)
    return merge_c(coarse, fine, matrix(random, c, 2 * c))


def convolved(b: int, i: int, o: int, h: int, w: int) -> Tensor:
    return convolution_c.convolution_c(*random_tensors((b, i, h, w), (o, i, 3, 3), (o,)))


# Rows, inputs and outputs beside those of a tile (16, 32, 16), one and several groups of 32 rows, chunks of hidden
# channels, blocks of windows
CALLS: dict[str, tuple[Callable[..., Tensor], tuple[int, ...]]] = {
    f"{call.__name__} {sizes}": (call, sizes)
    for call, every in {
        fed_forward: [(2, 33, 4, 5, 32), (1, 48, 40, 7, 127), (1, 32, 5, 66, 300), (1, 40, 3, 131, 515)],
        scanned: [(1, 32, 1, 1), (2, 48, 12, 13)],
        operated: [(1, 32, 4, 16, 24, 8), (1, 48, 16, 16, 88, 8), (2, 36, 9, 6, 8, 2)],
        merged: [(1, 33, 2, 97), (2, 48, 4, 48), (1, 32, 1, 1)],
        convolved: [(1, 33, 40, 17, 35), (2, 48, 24, 12, 64), (1, 40, 17, 1, 7), (1, 96, 33, 40, 33)],
    }.items()
    for sizes in every
}


@needs_tiles
@pytest.mark.parametrize("call, sizes", CALLS.values(), ids=CALLS)
def test_pairs_are_nearly_the_floats(
    call: Callable[..., Tensor], sizes: tuple[int, ...], set_precision: Callable[[str], None]
) -> None:
    """Near, and not the same; and exactly the floats where there are no tiles."""
    exact = call(*sizes)
    set_precision("high")
    pairs = call(*sizes)
    assert_agree(pairs, exact, TOLERANCE)
    assert not torch.equal(pairs, exact)
    allow_tiles(False)
    try:
        assert torch.equal(call(*sizes), exact)
    finally:
        allow_tiles(True)


@needs_tiles
@pytest.mark.parametrize("call, inputs", [
    (feed_forward_c.feed_forward_c, feed_forward_inputs(1, 48, 9, 20, 300)),
    (convolution_c.convolution_c, random_tensors((2, 33, 17, 12), (40, 33, 3, 3), (40,))),
], ids=["feed-forward network", "convolution"])  # fmt: skip
def test_gradients_are_nearly_those_of_the_floats(
    call: Callable[..., Tensor], inputs: list[Tensor], set_precision: Callable[[str], None]
) -> None:
    exact = values_and_gradients(call, inputs)
    set_precision("high")
    pairs = values_and_gradients(call, inputs)
    assert_all_agree(pairs, exact, 2 * TOLERANCE)
    assert not torch.equal(pairs[0], exact[0])


@needs_tiles
def test_threads_change_nothing(set_precision: Callable[[str], None], set_threads: Callable[[int], None]) -> None:
    """Bit for bit."""
    set_precision("high")
    for call, sizes in CALLS.values():
        set_threads(1)
        alone = call(*sizes)
        for threads in (2, 3):
            set_threads(threads)
            assert torch.equal(call(*sizes), alone)


@needs_tiles
def test_what_is_not_finite_stays_so(set_precision: Callable[[str], None]) -> None:
    """And nothing else becomes so."""
    x, weight = random_tensors((1, FEWEST, 12, 40), (17, FEWEST, 3, 3))
    x[0, 3, 5, 20], x[0, 4, 6, 39] = torch.inf, torch.nan
    exact = convolution_c.convolution_c(x, weight)
    set_precision("high")
    assert torch.equal(convolution_c.convolution_c(x, weight).isfinite(), exact.isfinite())


@needs_tiles
def test_a_network_of_pairs_is_nearly_the_network(set_precision: Callable[[str], None]) -> None:
    torch.manual_seed(0)
    network, x = build(NETWORKS["small-cell"]).eval(), torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        exact = network(x)
        set_precision("high")
        pairs = network(x)
    assert_agree(pairs, exact, 1e-4)
    assert not torch.equal(pairs, exact)


@pytest.mark.skipif(not compiled_versions(feed_forward_c), reason="the kernels were not compiled")
def test_the_environment_overrules_torch_and_what_was_told_both(
    monkeypatch: pytest.MonkeyPatch, set_precision: Callable[[str], None]
) -> None:
    kernel = feed_forward_c.load()
    set_precision("high")
    monkeypatch.setenv("DGNO_PRODUCTS", "floats")
    assert choose_products(kernel).name == "floats"
    with multiplied_as(PAIRS):
        assert choose_products(kernel).name == ("pairs" if kernel.has_tiles() else "floats")
    monkeypatch.setenv("DGNO_PRODUCTS", "triples")
    with pytest.raises(ConfigError, match="known: floats, pairs"):
        choose_products(kernel)
    monkeypatch.setenv("DGNO_PRODUCTS", "pairs")
    set_precision("highest")
    if kernel.has_tiles():
        assert choose_products(kernel).name == "pairs"
    with multiplied_as(FLOATS):
        assert choose_products(kernel).name == "floats"
    allow_tiles(False)
    try:
        with multiplied_as(PAIRS):
            assert "no tiles" in choose_products(kernel).reason
        with pytest.raises(ConfigError, match="no tiles"):
            choose_products(kernel)
    finally:
        allow_tiles(True)


@pytest.mark.skipif(not compiled_versions(feed_forward_c), reason="the kernels were not compiled")
@pytest.mark.parametrize(("setting", "wanted"), [("ieee", "floats"), ("bf16", "pairs")])
def test_backends_of_torch_may_be_set_by_their_names(setting: str, wanted: str) -> None:
    """After which torch does not tell the precision of all of them any more."""
    told = f"torch.backends.mkldnn.matmul.fp32_precision = {setting!r}"
    code = f"import torch; {told}; torch.backends.cuda.matmul.fp32_precision = 'tf32'"
    code += "; from dgno.kernels import feed_forward_c as f; from dgno.kernels.products import choose_products"
    code += "; print(choose_products(f.load()).name)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == (wanted if feed_forward_c.load().has_tiles() else "floats")
