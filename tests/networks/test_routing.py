"""Routing and scan order: the best class at inference, Gumbel noise while training, sorting that can be undone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dgno.errors import ConfigError
from dgno.kernels.reorder import reorder
from dgno.networks.attentive_scan import CLASSES, STATES, AttentiveScan, Routing, scan_order
from dgno.networks.config import DGNOConfig
from dgno.networks.dgno import DGNO
from dgno.networks.presets import build


@pytest.fixture
def routing() -> Routing:
    """With logits that spread over the classes."""
    torch.manual_seed(0)
    routing = Routing(12)
    torch.nn.init.normal_(routing.logits.weight, std=2)
    return routing


@pytest.fixture
def prompts() -> Tensor:
    return torch.randn(CLASSES, STATES, generator=torch.Generator().manual_seed(2))


def logits_of(routing: Routing, x: Tensor) -> Tensor:
    """(b, l, classes)"""
    return routing.logits(F.gelu(routing.hidden(x))).flatten(2).mT


def test_inference_takes_the_best_class(routing: Routing, prompts: Tensor) -> None:
    """At inference the class is the arg-max of the logits, its prompt the row of that class, and nothing is drawn."""
    x = torch.randn(2, 12, 8, 9)
    state = torch.get_rng_state()
    classes, prompt = routing.eval()(x, prompts)
    assert torch.equal(classes, logits_of(routing, x).argmax(-1))
    assert torch.equal(prompt, prompts[classes])
    assert torch.equal(torch.get_rng_state(), state)
    assert len(classes.unique()) > 10


def test_training_draws_from_the_softmax(routing: Routing, prompts: Tensor) -> None:
    """While training, classes are drawn as often as their softmax says (within 5 standard deviations, 40,000 draws)."""
    pixel = torch.randn(1, 12, 1, 1, generator=torch.Generator().manual_seed(3))
    routing.generators = [torch.Generator().manual_seed(4)]
    n = 40_000
    classes, prompt = routing.train()(pixel.expand(1, 12, 200, 200), prompts)
    assert torch.equal(prompt, prompts[classes])
    share = torch.bincount(classes.flatten(), minlength=CLASSES) / n
    expected = (logits_of(routing, pixel) / 1.0).softmax(-1)[0, 0]
    deviation = (expected * (1 - expected) / n).sqrt()
    assert ((share - expected).abs() <= 5 * deviation + 1 / n).all()
    assert share.max() < 0.9  # the draw is no arg-max


def test_the_gradient_goes_straight_through(routing: Routing, prompts: Tensor) -> None:
    """The gradient at the logits is that of prompts averaged with the softmax of the noisy logits."""
    x = torch.randn(1, 12, 4, 4, requires_grad=True)
    gradient = torch.randn(1, 16, STATES)
    prompts = prompts.requires_grad_()
    routing.train().generators = [torch.Generator().manual_seed(5)]
    classes, prompt = routing(x, prompts)
    ours = torch.autograd.grad(prompt, [x, routing.logits.weight, prompts], gradient)

    routing.generators = [torch.Generator().manual_seed(5)]
    logits = logits_of(routing, x)
    soft = (logits + routing.noise(logits)).softmax(-1)
    plain = torch.autograd.grad(soft @ prompts.detach(), [x, routing.logits.weight], gradient)
    torch.testing.assert_close(ours[:2], plain)
    torch.testing.assert_close(ours[2], F.one_hot(classes[0], CLASSES).float().T @ gradient[0])


def network() -> DGNO:
    torch.manual_seed(0)
    return build(DGNOConfig(width=8, heads=2, blocks=(1, 1, 1, 1))).train()


def trained(network: DGNO, seeds: list[tuple[int, ...]] | None, x: Tensor) -> Tensor:
    network.seed_routing(seeds)
    with torch.no_grad():
        return network(x)


def test_seeds_decide_the_draw() -> None:
    """While training, the same seeds give the same bits and other seeds give others; without seeds two runs differ."""
    net, x = network(), torch.rand(2, 1, 32, 32)
    first = trained(net, [(1,), (2,)], x)
    assert torch.equal(trained(net, [(1,), (2,)], x), first)
    other = trained(net, [(1,), (3,)], x)
    assert not torch.equal(other[1], first[1])
    assert not torch.equal(trained(net, None, x), trained(net, None, x))


def test_an_image_has_its_own_draw() -> None:
    """The draw of an image depends on its seed alone, not on its place or its neighbours in the batch."""
    net, x = network(), torch.rand(2, 1, 32, 32)
    together = trained(net, [(1, 5), (2, 5)], x)
    assert torch.equal(trained(net, [(1, 5), (9, 9)], x)[0], together[0])
    torch.testing.assert_close(trained(net, [(2, 5)], x[1:])[0], together[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(trained(net, [(2, 5), (1, 5)], x.flip(0)).flip(0), together, rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_every_image_has_a_seed(count: int) -> None:
    """Neither too few nor too many; where nothing is drawn, they do not matter."""
    network, x = build(DGNOConfig(width=8, heads=2, blocks=(1, 1, 1, 1))), torch.rand(2, 1, 32, 32)
    network.train().seed_routing([(i,) for i in range(count)])
    for run in (network, network.at_all_scales):
        with pytest.raises(ConfigError, match=f"{count} seeds of the routing for a batch of 2 images.*seed_routing"):
            run(x)
    network.eval()(x)
    network.train().seed_routing(None)
    network(x)


def test_the_global_generator_decides_without_seeds() -> None:
    """Without seeds torch's own generator draws, so torch.manual_seed makes training repeatable."""
    net, x = network(), torch.rand(1, 1, 32, 32)
    outputs = []
    for _ in range(2):
        torch.manual_seed(7)
        outputs.append(trained(net, None, x))
    assert torch.equal(*outputs)


ORDERS = pytest.mark.parametrize("block", [None, 4, 2], ids=str)


def random_classes(b: int, h: int, w: int) -> Tensor:
    return torch.randint(5, (b, h * w), generator=torch.Generator().manual_seed(h * w))


@ORDERS
def test_sorting_is_undone(block: int | None) -> None:
    """Sort and un-sort are inverse permutations of all pixels of the batch."""
    order = scan_order(random_classes(2, 8, 12), 8, 12, block)
    rows = torch.randn(2 * 8 * 12, 3)
    there = reorder(rows, order.sorted, order.unsorted)
    assert torch.equal(reorder(there, order.unsorted, order.sorted), rows)
    assert not torch.equal(there, rows)


@ORDERS
def test_sequences_are_sorted_and_stable(block: int | None) -> None:
    """A sequence holds the pixels of one block of one image, by class and in raster order inside a class."""
    classes = random_classes(2, 8, 12)
    order = scan_order(classes, 8, 12, block)
    side = (block or 8, block or 12)
    assert order.sequences == 2 * (8 // side[0]) * (12 // side[1])
    for sequence in order.sorted.reshape(order.sequences, -1):
        image, row, column = sequence // 96, sequence % 96 // 12, sequence % 12
        for places in (image, row // side[0], column // side[1]):
            assert len(places.unique()) == 1
        key = classes.flatten()[sequence] * 1000 + sequence
        assert (key.diff() > 0).all()


def test_the_raster_arrangement_has_blocks_but_no_classes() -> None:
    """Without the sort a sequence is its block in raster order; for whole images that is the identity."""
    classes = random_classes(2, 8, 12)
    assert scan_order(classes, 8, 12, None).raster is None
    raster = scan_order(classes, 8, 12, 4).raster
    assert raster is not None
    assert torch.equal(raster, scan_order(torch.zeros_like(classes), 8, 12, 4).sorted)


@pytest.mark.parametrize("prompt_sorted", [True, False])
def test_blocks_are_independent(prompt_sorted: bool) -> None:
    """A block of the plane gives what it gives as a plane of its own (the positional convolution aside)."""
    torch.manual_seed(0)
    scan = AttentiveScan(8, block=8, prompt_sorted=prompt_sorted).eval()
    torch.nn.init.zeros_(scan.position.weight)
    x, basis = torch.randn(1, 8, 16, 24), torch.randn(32, STATES)
    with torch.inference_mode():
        whole = scan(x, basis)
        part = scan(x[:, :, 8:, 8:16].contiguous(), basis)
    torch.testing.assert_close(whole[:, :, 8:, 8:16], part, rtol=1e-5, atol=1e-6)


def test_one_block_is_the_whole_plane() -> None:
    """A block as large as the plane is the published scan of the whole image, for both orders of the prompt."""
    for prompt_sorted in (True, False):
        torch.manual_seed(0)
        block = AttentiveScan(8, block=8, prompt_sorted=prompt_sorted).eval()
        whole = AttentiveScan(8, block=None, prompt_sorted=prompt_sorted).eval()
        whole.load_state_dict(block.state_dict())
        x, basis = torch.randn(2, 8, 8, 8), torch.randn(32, STATES)
        with torch.inference_mode():
            torch.testing.assert_close(block(x, basis), whole(x, basis), rtol=1e-5, atol=1e-6)


def test_the_prompt_stays_in_raster_order_when_published() -> None:
    """Position t of the published scan receives the prompt of raster pixel t; sorted, that of its own pixel."""
    scan = AttentiveScan(8)
    classes = random_classes(1, 4, 4)
    order = scan_order(classes, 4, 4, None)
    prompt = torch.arange(16.0)[None, :, None].expand(1, 16, STATES)
    assert torch.equal(scan.arrange(prompt, order), prompt)
    scan.prompt_sorted = True
    assert torch.equal(scan.arrange(prompt, order)[0, :, 0], order.sorted.float())
