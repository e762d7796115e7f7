"""The block of Restormer against sums over single pixels and channels, and against MONAI's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dgno.networks.restormer_block import RestormerBlock, TransposedAttention


def attention_of(dim: int, heads: int, block: int | None = None) -> TransposedAttention:
    """With temperatures that differ from head to head."""
    torch.manual_seed(0)
    made = TransposedAttention(dim, heads, block=block)
    made.temperature.data += 0.5 * torch.rand_like(made.temperature)
    return made


def by_loops(attention: TransposedAttention, x: Tensor) -> Tensor:
    """One image (c, h, w): every entry of Eq. 1 as a sum of its own, in float64."""
    c, h, w = x.shape
    weight = attention.depthwise.weight.double()
    qkv = torch.einsum("oi,ihw->ohw", attention.qkv.weight.double(), x.double())
    padded, spread = torch.zeros(3 * c, h + 2, w + 2, dtype=torch.float64), torch.zeros_like(qkv)
    padded[:, 1:-1, 1:-1] = qkv
    for i in range(3):
        for j in range(3):
            spread += weight[:, 0, i, j, None, None] * padded[:, i : i + h, j : j + w]
    q, k, v = spread.flatten(1).split(c)
    d, y = c // attention.heads, torch.empty(c, h * w, dtype=torch.float64)
    for head in range(attention.heads):
        for i in range(head * d, (head + 1) * d):
            likeness = torch.stack(
                [(q[i] * k[j]).sum() / (q[i].norm() * k[j].norm()) for j in range(head * d, (head + 1) * d)]
            )
            shares = torch.exp(attention.temperature[head].double().flatten() * likeness)
            y[i] = sum(share * v[head * d + j] for j, share in enumerate(shares / shares.sum()))
    return torch.einsum("oi,in->on", attention.project_out.weight.double(), y).view(c, h, w)


@pytest.mark.parametrize(("dim", "heads", "h", "w"), [(8, 2, 5, 7), (6, 1, 8, 8), (6, 3, 3, 1)])
def test_the_attention_is_what_its_equation_says(dim: int, heads: int, h: int, w: int) -> None:
    attention, x = attention_of(dim, heads), torch.randn(2, dim, h, w)
    with torch.no_grad():
        expected = torch.stack([by_loops(attention, image) for image in x])
        torch.testing.assert_close(attention(x).double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [2, 4, 8])
def test_squares_attend_to_themselves(side: int) -> None:
    """In squares, the channels of a pixel are mixed by its square alone: a change outside it and its border of 1 px,
    which the convolution reads, leaves it as it was; without squares it does not."""
    x = torch.randn(1, 6, 16, 16)
    changed = x.clone()
    changed[..., side + 1 :, :] += 1
    for block, same in ((side, True), (None, False)):
        attention = attention_of(6, 2, block)
        with torch.no_grad():
            difference = (attention(x) - attention(changed))[..., :side, :].abs().max()
        assert bool(difference < 1e-6) is same


def test_one_square_is_the_whole_map() -> None:
    x = torch.randn(2, 6, 8, 8)
    with torch.no_grad():
        assert torch.equal(attention_of(6, 2, 8)(x), attention_of(6, 2)(x))


def test_the_scale_of_queries_and_keys_does_not_matter() -> None:
    """They have length 1, and a map that is 0 everywhere stays so."""
    attention, x = attention_of(6, 2), torch.randn(1, 6, 8, 8)
    with torch.no_grad():
        before = attention(x)
        attention.qkv.weight[:12] *= 7
        torch.testing.assert_close(attention(x), before, rtol=1e-4, atol=1e-6)
        assert torch.equal(attention(0 * x), 0 * x)


def test_the_attention_is_computed_in_float32_whatever_is_around_it() -> None:
    """In bf16 the length of a query over many pixels would be off; what comes out is that of rounded projections."""
    attention, x = attention_of(8, 2), torch.randn(1, 8, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low = attention(x)
    with torch.no_grad():
        full = attention(x)
    assert 0 < (low.float() - full).abs().max() < 0.03 * full.abs().max()


MONAI = {
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "attn.temperature": "attention.temperature",
    "attn.qkv.conv.weight": "attention.qkv.weight",
    "attn.qkv_dwconv.conv.weight": "attention.depthwise.weight",
    "attn.project_out.conv.weight": "attention.project_out.weight",
    "ffn.project_in.conv.weight": "feed_forward.project_in.weight",
    "ffn.dwconv.conv.weight": "feed_forward.depthwise.weight",
    "ffn.project_out.conv.weight": "feed_forward.project_out.weight",
}


@pytest.mark.parametrize(("dim", "heads"), [(8, 2), (12, 1)])
def test_the_block_is_that_of_monai(dim: int, heads: int) -> None:
    """Another implementation gives the same maps from the same weights: the attention alone, and the whole block.

    MONAI cuts its maps into heads by einops, an optional package, so that step is done here; and it normalises every
    channel over the map, where the paper has a layer norm of every pixel, so the norms are ours.
    """
    monai = pytest.importorskip("monai.networks.nets.restormer")
    torch.manual_seed(1)
    ours, x = RestormerBlock(dim, heads, block=None), torch.randn(2, dim, 9, 12)
    ours.attention.temperature.data += torch.rand_like(ours.attention.temperature)
    theirs = monai.MDTATransformerBlock(2, dim, heads, 2.66, bias=False, layer_norm_use_bias=True)
    state, wanted = ours.state_dict(), theirs.state_dict()
    assert set(MONAI.values()) == set(state)
    theirs.load_state_dict({name: state[MONAI[name]].view(wanted[name].shape) for name in wanted})

    def attention(x: Tensor) -> Tensor:
        part = theirs.attn
        q, k, v = (t.reshape(2, heads, dim // heads, 9 * 12) for t in part.qkv_dwconv(part.qkv(x)).chunk(3, dim=1))
        y = part._attention_fn(F.normalize(q, dim=-1), F.normalize(k, dim=-1), v)
        return part.project_out(y.reshape(2, dim, 9, 12))

    with torch.no_grad():
        torch.testing.assert_close(ours.attention(x), attention(x), rtol=1e-4, atol=1e-6)
        y = x + attention(ours.norm1(x))
        torch.testing.assert_close(ours(x), y + theirs.ffn(ours.norm2(y)), rtol=1e-4, atol=1e-5)


def test_gradients() -> None:
    """Every parameter has one, and that of the input is the one of differences."""
    block = RestormerBlock(4, 2, block=2).double()
    x = torch.randn(1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    block.feed_forward.forward = lambda x: x.sin()  # type: ignore[method-assign]  # its kernel is tested elsewhere
    assert torch.autograd.gradcheck(block, (x,))
