"""Whole networks as ONNX nodes: images of any size in, what the network makes of them out."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from dgno.errors import NotExportable
from dgno.export.blocks import mamba_block, naf_block, restormer_block
from dgno.export.graph import Graph, Map, Size, Value
from dgno.export.layers import Layer, added, convolution, every_other_pixel, joined, layer, pointwise, sequence
from dgno.export.operators import dg_operator
from dgno.networks.dbmid import DBMIDNet, Inner
from dgno.networks.dgno import DGNO, OperatorStage
from dgno.networks.lifting import FeatureMerge, Lifting
from dgno.networks.mamba_block import MambaBlock
from dgno.networks.naf_block import NAFBlock
from dgno.networks.restormer_block import RestormerBlock
from dgno.operators.dg import DGOperator

BLOCKS: dict[type[nn.Module], Layer] = {
    MambaBlock: mamba_block,
    NAFBlock: naf_block,
    RestormerBlock: restormer_block,
    DGOperator: dg_operator,
}


def restored(g: Graph, m: DGNO | DBMIDNet, x: Map) -> Value:
    """The restored image, of the size of `x`: extended as the network extends it, and the result cropped."""
    with g.inside("extended"):
        padded = extended(g, x, m.multiple)
    y = dgno(g, m, padded) if isinstance(m, DGNO) else dbmid(g, m, padded)
    return cropped(g, y.value, x)


def extended(g: Graph, x: Map, multiple: int) -> Map:
    """The image with sides that are a multiple, by reflection at the bottom and the right, by the last pixel where it
    is too small to reflect: `networks.blocks.pad_to_multiple`."""
    h, w = (_whole(g, size, multiple) for size in (x.h, x.w))
    y = x.value
    for axis, size, wanted in ((2, x.h, h), (3, x.w, w)):
        if size != wanted or isinstance(size, str):
            y = g.op("Gather", y, _mirrored(g, size, wanted), axis=axis)
    return Map(y, x.b, x.c, h, w)


def _whole(g: Graph, size: Size, multiple: int) -> Size:
    """The next multiple."""
    if isinstance(size, int):
        return -(-size // multiple) * multiple
    more = g.op("Add", size, g.integers(multiple - 1))
    return g.times(g.over(more, multiple), multiple)


def _mirrored(g: Graph, size: Size, wanted: Size) -> Value:
    """Which pixel stands at 0, 1, ..., wanted - 1."""
    last = g.op("Sub", g.as_value(size), g.integers(1))
    there = g.counted(wanted)
    reflected = g.op("Sub", last, g.op("Abs", g.op("Sub", there, last)))
    too_small = g.op("GreaterOrEqual", g.op("Sub", g.as_value(wanted), g.as_value(size)), g.as_value(size))
    return g.op("Where", too_small, g.op("Min", there, last), reflected)


def cropped(g: Graph, y: Value, like: Map) -> Value:
    """The part of `y` that has the size of the image."""
    ends = g.op("Concat", g.as_value(like.h), g.as_value(like.w), axis=0)
    return g.op("Slice", y, g.integers(0, 0), ends, g.integers(2, 3))


def dgno(g: Graph, m: DGNO, x: Map) -> Map:
    """DGNO on an image whose sides are multiples."""
    e1, e2, e3, latent = lifting(g, m.lifting, x)
    z3 = stage(g, m.operator_quarter, latent, e3, "operator_quarter")
    z2 = stage(g, m.operator_half, z3, e2, "operator_half")
    z1 = stage(g, m.operator_full, z2, e1, "operator_full")
    with g.inside("output"):
        return added(g, convolution(g, m.output_full, z1), x)


def lifting(g: Graph, m: nn.Module, x: Map) -> tuple[Map, Map, Map, Map]:
    """The encoder: features at four scales."""
    assert isinstance(m, Lifting)
    x2 = every_other_pixel(g, x)
    x4 = every_other_pixel(g, x2)
    e1 = level(g, m.level1, convolution(g, m.embed, x), "level1")
    deep = merged(g, m.merge2, sequence(g, m.down1, e1), shallow(g, m.shallow2, x2, "shallow2"))
    e2 = level(g, m.level2, deep, "level2")
    deep = merged(g, m.merge3, sequence(g, m.down2, e2), shallow(g, m.shallow3, x4, "shallow3"))
    e3 = level(g, m.level3, deep, "level3")
    return e1, e2, e3, level(g, m.latent, sequence(g, m.down3, e3), "latent")


def level(g: Graph, blocks: nn.Sequential, x: Map, name: str) -> Map:
    """Blocks of the lifting's kind, or operator layers."""
    for number, block in blocks.named_children():
        if type(block) not in BLOCKS:
            raise NotExportable(f"a block of the kind {type(block).__name__} has no ONNX form here")
        with g.inside(f"{name}/{number}"):
            x = BLOCKS[type(block)](g, block, x)
    return x


def shallow(g: Graph, m: nn.Sequential, x: Map, name: str) -> Map:
    with g.inside(name):
        return sequence(g, m, x)


def merged(g: Graph, m: FeatureMerge, deep: Map, shallow: Map) -> Map:
    return convolution(g, m.merge, joined(g, deep, shallow))


def stage(g: Graph, m: OperatorStage, coarser: Map, encoded: Map, name: str) -> Map:
    """Coarser features come up, meet the encoder's, and go through the operator layers."""
    with g.inside(name):
        z = pointwise(g, m.merge, joined(g, sequence(g, m.up, coarser), encoded))
    return level(g, m.layers, z, name)


def dbmid(g: Graph, m: DBMIDNet, x: Map) -> Map:
    """DBMID's encoder and decoder on an image whose sides are multiples."""
    z, encoded = x, []
    for i, (enter, encode) in enumerate(zip(m.enter, m.encode, strict=True)):
        with g.inside(f"encode/{i}"):
            encoded.append(pairs(g, encode, relu(g, layer(g, enter, z))))
        z = encoded[-1][-1]
    for scale in (2, 1, 0):
        with g.inside(f"decode/{scale}"):
            if scale < 2:
                z = relu(g, added(g, z, encoded[scale][-1]))
            decode = m.decode[scale]
            assert isinstance(decode, Inner)
            mirrored = None if decode.is_residual or scale == 2 else encoded[scale][::-1]
            z = layer(g, m.leave[scale], pairs(g, decode, z, mirrored)[-1])
    return added(g, z, x) if m.global_residual else z


def pairs(g: Graph, m: nn.Module, x: Map, mirrored: list[Map] | None = None) -> list[Map]:
    """What leaves each pair of inner convolutions."""
    assert isinstance(m, Inner)
    left = []
    for i, pair in enumerate(m.pairs):
        y = layer(g, pair, x)
        if mirrored is not None:
            y = added(g, y, mirrored[i])
        x = added(g, x, y) if m.is_residual else relu(g, y)
        left.append(x)
    return left


def relu(g: Graph, x: Map) -> Map:
    return replace(x, value=g.op("Relu", x.value))
