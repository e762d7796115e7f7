"""Laws of the whole network: sizes, the residual path, padding, determinism, and independence of images."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dgno.kernels import backends
from dgno.networks.blocks import every_other_pixel, pad_to_multiple
from dgno.networks.config import CHOICES, DGNOConfig
from dgno.networks.dgno import DGNO
from dgno.networks.presets import build

TINY = DGNOConfig(width=8, heads=2, blocks=(1, 1, 1, 1))
LOCAL = replace(TINY, convention="paper", scan_block=32, shallow_norm="none", prompt_sorted=True)
GLOBAL = replace(TINY, scope="global")
LIFTINGS = {
    f"{kind} {scope}": replace(base, lifting=kind, scope=scope)
    for kind, base in (("mamba", TINY), ("nafnet", LOCAL), ("restormer", LOCAL))
    for scope in ("elements", "blocks")
}
EVERY_KIND = LIFTINGS | {"ours": LOCAL, "GG": GLOBAL, "LG": replace(TINY, scope="none")}
every_kind = pytest.mark.parametrize("config", EVERY_KIND.values(), ids=EVERY_KIND)


def make(config: DGNOConfig) -> DGNO:
    torch.manual_seed(0)
    return build(config).eval()


def image(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("h, w", [(256, 256), (520, 696), (65, 97), (1, 1), (1, 40), (33, 2)])
def test_outputs_have_the_size_of_the_input(h: int, w: int) -> None:
    """The image comes back in its size, and at half and quarter resolution every second and fourth pixel of it."""
    network, x = make(TINY), image(1, 1, h, w)
    with torch.inference_mode():
        outputs = network.at_all_scales(x)
    assert [y.shape[2:] for y in outputs] == [x[:, :, ::k, ::k].shape[2:] for k in (1, 2, 4)]
    assert all(y.isfinite().all() for y in outputs)


@every_kind
def test_the_restored_image_is_the_finest_output(config: DGNOConfig) -> None:
    """forward gives bit by bit what at_all_scales gives at full resolution."""
    network, x = make(config), image(2, 1, 40, 72)
    with torch.inference_mode():
        assert torch.equal(network(x), network.at_all_scales(x)[0])


@every_kind
def test_without_projection_the_input_comes_back(config: DGNOConfig) -> None:
    """Output convolutions that are zero leave the input: whole, and every second and fourth pixel of it."""
    network, x = make(config), image(1, 1, 65, 97)
    for projection in (network.output_full, network.output_half, network.output_quarter):
        for parameter in projection.parameters():
            torch.nn.init.zeros_(parameter)
    with torch.inference_mode():
        for k, y in zip((1, 2, 4), network.at_all_scales(x), strict=True):
            assert torch.equal(y, x[:, :, ::k, ::k])


@every_kind
def test_two_runs_give_the_same_bits(config: DGNOConfig) -> None:
    """Inference draws nothing: two runs, and two networks from one seed, agree bit by bit."""
    x = image(1, 1, 64, 64)
    network = make(config)
    with torch.inference_mode():
        first = network(x)
        torch.rand(7)  # moves the global generator
        assert torch.equal(network(x), first)
        assert torch.equal(make(config)(x), first)


@every_kind
def test_images_of_a_batch_do_not_meet(config: DGNOConfig, backend: str) -> None:
    """An image is restored alike alone and in a batch, in any order."""
    network, x = make(config), image(3, 1, 64, 64)
    with torch.inference_mode():
        together, reversed_order = network(x), network(x.flip(0)).flip(0)
        alone = torch.cat([network(one[None]) for one in x])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(together, reversed_order, rtol=0, atol=1e-5)


@pytest.mark.parametrize("traces", CHOICES["traces"])
@pytest.mark.parametrize("scan_block", [None, 32])
def test_fast_kernels_give_the_plain_gradients(
    traces: str, scan_block: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O16 for the network: with the compiled kernels every parameter gets the gradient of the plain ones."""
    config = replace(TINY, traces=traces, flux="avg_jump", scan_block=scan_block)
    network, x = make(config).train(), image(1, 1, 32, 64)
    gradients = []
    for scan, other in (("c", "c"), ("chunked", "reference")):
        monkeypatch.setenv("DGNO_SCAN", scan)
        for variable in ("DGNO_OPERATOR", "DGNO_GATE", "DGNO_CONVOLUTION"):
            monkeypatch.setenv(variable, other)
        network.zero_grad()
        network.seed_routing([(5,)])
        sum(y.square().mean() for y in network.at_all_scales(x)).backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == dict(network.named_parameters()).keys()
    largest = max(
        plain.abs().max() for plain in gradients[1].values()
    )  # biases before an instance norm have about none
    for name, plain in gradients[1].items():
        assert (gradients[0][name] - plain).abs().max() <= 1e-4 * plain.abs().max() + 1e-5 * largest, name


def test_without_compiled_kernels_the_network_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was compiled, plain tensor code gives the same image."""
    from dgno.kernels import attentive_scan_c, depthwise_c, dg_operator_c, feed_forward_c, pointwise_c, selective_scan_c
    from dgno.kernels import compiled as kernels

    modules = (attentive_scan_c, depthwise_c, dg_operator_c, feed_forward_c, pointwise_c, selective_scan_c)
    network, x = make(TINY), image(1, 1, 32, 32)
    with torch.inference_mode():
        compiled = network(x)

    def fail(name: str) -> None:
        raise OSError("not compiled")

    monkeypatch.setattr(kernels, "load_library", fail)
    for module in modules:
        module.load.cache_clear()
    with torch.inference_mode():
        plain = network(x)
    for module in modules:
        module.load.cache_clear()
    torch.testing.assert_close(plain, compiled, rtol=0, atol=1e-5)


@pytest.mark.parametrize("h, w", [(32, 64), (33, 1), (1, 1), (17, 31), (520, 696)])
def test_padding_reflects_where_it_can(h: int, w: int) -> None:
    """The plane grows at the bottom and the right to a multiple, by reflection, or by the last pixel where short."""
    x = image(1, 1, h, w)
    padded = pad_to_multiple(x, 32)
    assert padded.shape[2] % 32 == padded.shape[3] % 32 == 0
    assert padded.shape[2] - h < 32
    assert padded.shape[3] - w < 32
    assert torch.equal(padded[:, :, :h, :w], x)
    for axis, n in ((2, h), (3, w)):
        added = padded.shape[axis] - n
        mirror = padded.narrow(axis, n - 1 - added, added).flip(axis) if added < n else padded.narrow(axis, n - 1, 1)
        assert torch.equal(padded.narrow(axis, n, added), mirror.expand_as(padded.narrow(axis, n, added)))


@pytest.mark.parametrize(
    "element_size, block, multiple",
    [(8, None, 32), (8, 64, 64), (8, 32, 32), (6, None, 24), (5, 16, 80)],
)
def test_the_multiple_of_pixels(element_size: int, block: int | None, multiple: int) -> None:
    """lcm(8, 4 * element_size), and of the scan's blocks: 32 by default, so that 520 x 696 becomes 544 x 704."""
    assert DGNOConfig(element_size=element_size, scan_block=block).multiple == multiple


def test_every_kind_extends_images_alike() -> None:
    """Also GG, whose one element would need less: it is compared with the others on the same extended image."""
    assert [make(config).multiple for config in EVERY_KIND.values()] == [32] * len(EVERY_KIND)


def test_padding_is_not_seen_at_multiples() -> None:
    """An image whose size is a multiple is not extended."""
    x = image(1, 1, 64, 96)
    assert pad_to_multiple(x, 32).shape == x.shape


@pytest.mark.parametrize("h, w", [(4, 4), (5, 7), (1, 1)])
def test_down_sampling_starts_at_the_first_pixel(h: int, w: int) -> None:
    """Every second pixel, from the first: ceil(h / 2) x ceil(w / 2)."""
    x = image(1, 2, h, w)
    y = every_other_pixel(x)
    assert y.shape == (1, 2, -(-h // 2), -(-w // 2))
    assert torch.equal(y[:, :, -1, -1], x[:, :, (h - 1) // 2 * 2, (w - 1) // 2 * 2])


def test_local_networks_forget_far_pixels() -> None:
    """With a scan in blocks, a change 192 px away only rounds differently; with one scan, more."""
    x = image(1, 1, 64, 256)
    changed = x.clone()
    changed[..., -1] = 1 - changed[..., -1]

    def reach(config: DGNOConfig) -> float:
        network = make(config)
        with torch.inference_mode():
            return (network(x) - network(changed))[..., :64].abs().max().item()

    assert reach(LOCAL) < 1e-6
    assert reach(replace(LOCAL, scan_block=None)) > 1e-5


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize("is_training", [False, True])
@every_kind
def test_of_no_images_there_is_nothing(config: DGNOConfig, is_training: bool, is_plain: bool) -> None:
    """As of layers of torch: empty results of the right sizes, and gradients that are 0."""
    network = build(config).train(is_training)
    x = torch.empty(0, 1, 41, 35, requires_grad=True)
    with backends.without_compiled() if is_plain else contextlib.nullcontext():
        outputs = (network(x), *network.at_all_scales(x))
    assert [tuple(y.shape[2:]) for y in outputs] == [(41, 35), (41, 35), (21, 18), (11, 9)]
    assert all(y.shape[:2] == (0, 1) for y in outputs)
    sum(y.sum() for y in outputs).backward()
    assert x.grad is not None and x.grad.shape == x.shape
    assert all(p.grad is not None and not p.grad.any() for p in network.parameters())
    with torch.no_grad():
        assert network(x).shape == x.shape
