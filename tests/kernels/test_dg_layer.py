"""The operator layer in two passes over the map: the compiled version gives what the plain one gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kernel_comparison import assert_agree, compiled_versions, layer_inputs

from dgno.kernels import dg_operator_c, fusing
from dgno.kernels.dg_layer import LayerWeights, apply_layer, integrate_layer
from dgno.kernels.dg_layer_c import LARGEST_SIDE, apply_layer_c, integrate_layer_c
from dgno.networks.presets import NETWORKS, make_operator

pytestmark = pytest.mark.skipif(not compiled_versions(dg_operator_c), reason="the kernels were not compiled")

# (b, channels, heads, h, w, side of an element): whole vectors of channels (4, 8, 16) and others, groups of heads that
# are full and not, a grid of one element, more elements in a row than a tile holds, elements of one pixel; rows of
# pixels that end beside whole vectors
LAYERS = [
    (2, 16, 4, 16, 24, 8),
    (1, 20, 5, 8, 8, 4),
    (1, 48, 16, 16, 88, 8),
    (1, 24, 2, 10, 15, 5),
    (1, 96, 16, 8, 8, 8),
    (2, 24, 8, 3, 4, 1),
    (1, 64, 4, 16, 32, 16),
    (1, 18, 6, 16, 16, 8),
    (1, 27, 9, 16, 16, 8),
]


def double(weights: LayerWeights) -> LayerWeights:
    return LayerWeights(*(t.double() for t in weights))


@pytest.mark.parametrize("sides", [False, True], ids=["cell", "face"])
@pytest.mark.parametrize("sizes", LAYERS, ids=str)
def test_the_compiled_layer_is_the_plain_one(
    compiled_operator: dg_operator_c.CompiledOperator, sizes: tuple[int, ...], sides: bool
) -> None:
    """O16: kernel integrals, those of the sides, and the layer's result, for every instruction set."""
    *shape, side = sizes
    if sizes[1] < compiled_operator.lanes():
        pytest.skip("fewer channels than a vector")
    z, weights = layer_inputs(*shape)
    volume, traces = integrate_layer_c(z, weights, side, sides)
    exact_volume, exact_traces = integrate_layer(z.double(), double(weights), side, sides)
    assert_agree(volume, exact_volume)
    if sides:
        assert traces is not None
        assert exact_traces is not None
        assert_agree(traces, exact_traces)
    else:
        assert traces is None
    assert_agree(apply_layer_c(z, volume, weights), apply_layer(z.double(), volume.double(), double(weights)))


def test_threads_and_tiles_change_nothing(set_threads: Callable[[int], None]) -> None:
    """Bit for bit with any number of threads, and elements of a crop are those of the whole."""
    z, weights = layer_inputs(1, 16, 4, 32, 208)
    set_threads(1)
    volume, traces = integrate_layer_c(z, weights, 8, True)
    out = apply_layer_c(z, volume, weights)
    for threads in (2, 3, 7):
        set_threads(threads)
        again, sides = integrate_layer_c(z, weights, 8, True)
        assert torch.equal(again, volume)
        assert torch.equal(sides, traces)
        assert torch.equal(apply_layer_c(z, volume, weights), out)
    crop = z[:, :, 8:24, 40:].contiguous()
    assert torch.equal(integrate_layer_c(crop, weights, 8, True)[0], volume[:, 1:3, 5:])
    assert torch.equal(apply_layer_c(crop, volume[:, 1:3, 5:], weights), out[:, :, 8:24, 40:])


@pytest.mark.parametrize("preset", ["nano-face", "nano-cell", "dgno-face", "dgno-cell", "dgno-lg"])
def test_a_layer_in_two_passes_is_the_layer(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the fluxes, borders and conventions of the presets."""
    torch.manual_seed(0)
    layer, z = make_operator(NETWORKS[preset], 48), torch.randn(1, 48, 24, 40)
    with torch.no_grad():
        for norm in (layer.key_norm, layer.value_norm):
            norm.weight.add_(torch.randn_like(norm.weight))
            norm.bias.add_(torch.randn_like(norm.bias))
        assert fusing.choose_operator_layer(z.device, z.dtype, *layer.key_norm.weight.shape[::2], 8).name == "c"
        fused = layer(z)
        monkeypatch.setenv("DGNO_OPERATOR_LAYER", "layers")
        assert_agree(fused, layer(z))


def test_layers_that_do_not_fit_run_in_steps() -> None:
    """The whole plane as one element, large elements, and heads without a compiled version: the reason says which."""
    choose, cpu = fusing.choose_operator_layer, torch.device("cpu")
    assert "leave the cache" in choose(cpu, torch.float32, 4, 4, None).reason
    assert "leave the cache" in choose(cpu, torch.float32, 4, 4, LARGEST_SIDE + 1).reason
    assert "heads of 5" in choose(cpu, torch.float32, 4, 5, 8).reason
    assert "needs" in choose(cpu, torch.float32, 1, 3, 8).reason


def test_what_does_not_fit_is_refused() -> None:
    """The C code believes what it is told, so tensors that do not fit together never reach it."""
    z, weights = layer_inputs(1, 16, 4, 16, 16)
    volume, _ = integrate_layer_c(z, weights, 8, False)
    for name, tensor in weights._asdict().items():
        for axis in range(tensor.ndim):
            longer = torch.cat([tensor, tensor.narrow(axis, 0, 1)], axis)
            with pytest.raises((ValueError, TypeError)):
                integrate_layer_c(z, weights._replace(**{name: longer}), 8, False)
    with pytest.raises(ValueError, match="cut into elements"):
        integrate_layer_c(z, weights, 5, False)
    with pytest.raises(ValueError, match="do not fit a map"):
        apply_layer_c(z, volume[:, :1], weights)
    with pytest.raises(RuntimeError, match="gradient"):
        apply_layer_c(z.requires_grad_(), volume, weights)
