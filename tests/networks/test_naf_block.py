"""The block of NAFNet against its equations, pixel by pixel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dgno.networks.naf_block import NAFBlock, SimplifiedChannelAttention, simple_gate


def block_of(dim: int, block: int | None = None) -> NAFBlock:
    """With parameters away from their start, where both steps do nothing."""
    torch.manual_seed(0)
    made = NAFBlock(dim, block=block).double()
    for parameter in made.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    return made


def by_hand(block: NAFBlock, x: Tensor) -> Tensor:
    """One image (c, h, w), by loops and plain sums over the block's parameters."""
    p, (c, h, w) = dict(block.named_parameters()), x.shape

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(0)
        scaled = centred / (centred.square().mean(0) + 1e-5).sqrt()
        return p[f"{name}.weight"][:, None, None] * scaled + p[f"{name}.bias"][:, None, None]

    def linear(x: Tensor, name: str) -> Tensor:
        return torch.tensordot(p[f"{name}.weight"], x, 1) + p[f"{name}.bias"][:, None, None]

    y = linear(norm(x, "norm1"), "project_in")
    padded, spread = F.pad(y, (1, 1, 1, 1)), torch.zeros_like(y)
    for i in range(3):
        for j in range(3):
            spread += p["depthwise.weight"][:, 0, i, j, None, None] * padded[:, i : i + h, j : j + w]
    spread += p["depthwise.bias"][:, None, None]
    gated = spread[:c] * spread[c:]
    pooled = gated.sum((1, 2)) / (h * w)
    attended = gated * (p["attention.weigh.weight"] @ pooled + p["attention.weigh.bias"])[:, None, None]
    x = x + p["beta"] * linear(attended, "project_out")
    z = linear(norm(x, "norm2"), "expand")
    return x + p["gamma"] * linear(z[:c] * z[c:], "contract")


@pytest.mark.parametrize(("dim", "h", "w"), [(6, 5, 8), (4, 1, 1), (3, 7, 2)])
def test_the_block_is_what_its_equations_say(dim: int, h: int, w: int) -> None:
    block = block_of(dim)
    x = torch.randn(2, dim, h, w, dtype=torch.float64)
    expected = torch.stack([by_hand(block, image) for image in x])
    torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-10)


def test_a_fresh_block_passes_its_input_on() -> None:
    """beta and gamma start at 0, and both get a gradient there."""
    block, x = NAFBlock(6, block=None), torch.randn(1, 6, 4, 4)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert all(scale.grad is not None and scale.grad.abs().min() > 0 for scale in (block.beta, block.gamma))


def test_the_gate_multiplies_halves() -> None:
    x = torch.arange(4.0).view(1, 4, 1, 1)
    assert simple_gate(x).flatten().tolist() == [0 * 2, 1 * 3]


@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_squares_are_attended_to_one_by_one(side: int) -> None:
    """Attention in squares is that of every square alone, and of one square as large as the map that of the map."""
    torch.manual_seed(1)
    local = SimplifiedChannelAttention(5, block=side)
    whole = SimplifiedChannelAttention(5, block=None)
    whole.load_state_dict(local.state_dict())
    x = torch.randn(2, 5, 8, 16)
    y = local(x)
    for i in range(0, 8, side):
        for j in range(0, 16, side):
            square = (..., slice(i, i + side), slice(j, j + side))
            torch.testing.assert_close(y[square], whole(x[square]), rtol=1e-5, atol=1e-6)


def test_gradients() -> None:
    """Against differences, in both forms of the attention."""
    for side in (None, 2):
        x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(block_of(2, side), (x,))
