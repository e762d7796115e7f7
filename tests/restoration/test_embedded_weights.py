"""The weights that come with the package: small, whole, local, of use, and exact when tiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from skimage.io import imread

import dgno
from dgno.arrays import Image
from dgno.evaluation.inventory import card_facts, verify
from dgno.metrics import psnr
from dgno.optics.blur_types import DEFOCUS, MIXED, MOTION, TypedRange
from dgno.optics.exposure import ExposureRange
from dgno.optics.moving import MotionRange
from dgno.optics.simulate import BlurRange
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.image import restore_image
from dgno.restoration.tiling import plan_tiles
from dgno.weights.store import embedded_names, find_weights, read_weights, restores

EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
LARGEST = 6e6  # bytes
GAINS = {DEFOCUS: 2.0, MOTION: 1.0, MIXED: 1.0}  # dB
OF_DBMID = {DEFOCUS: 1.0, MOTION: 0.3}  # dB; its networks were trained briefly, see docs/models.md
BLURS: dict[str, ExposureRange] = {  # the noise as by default
    DEFOCUS: BlurRange(sigma=(3.0, 3.0), fields=("constant",)),
    MOTION: TypedRange(motion=MotionRange((20.0, 20.0)), types=(MOTION,)),
    MIXED: TypedRange(BlurRange(sigma=(2.0, 2.0), fields=("constant",)), MotionRange((12.0, 12.0)), (MIXED,)),
}
TOLERANCE, SHARE = 2e-5, 0.999  # of tiles against the whole

RESTORING = [name for name in embedded_names() if restores(name)]
each = pytest.mark.parametrize("name", embedded_names())
each_restorer = pytest.mark.parametrize("name", RESTORING)


def sharp_image(name: str) -> np.ndarray:
    """A cell for weights that take gray, a section stained with H&E for those that take colours; 8 bits."""
    gray = read_weights(find_weights(name))[0].network.channels == 1
    return data.cell()[170:510, 190:530] if gray else np.asarray(imread(EXAMPLES / "he_sharp.png"))


def decibels(image: np.ndarray, reference: np.ndarray) -> float:
    return psnr(torch.from_numpy(image / 255), torch.from_numpy(reference / 255))


def test_there_are_weights_for_both_kinds_of_images() -> None:
    kinds = {card_facts(name)["for"] for name in embedded_names()}
    assert {"fluorescence", "bright field"} <= kinds
    assert {"fluorescence-small", "brightfield-nano"} <= set(embedded_names())  # those that are chosen by default


@each
def test_they_are_small_and_whole(name: str) -> None:
    assert find_weights(name).stat().st_size < LARGEST
    assert verify(name) == {name: "whole"}


@each_restorer
def test_they_are_local_and_their_halo_is_known(name: str) -> None:
    facts = card_facts(name)
    assert facts["local"] is True
    assert isinstance(facts["halo px"], int)
    assert facts["normalisation"] in ("range", "percentile")


@each_restorer
def test_they_restore_what_was_blurred(name: str) -> None:
    """Blur of every type that they learnt, under camera noise: a gain of GAINS over the blurred image, for one seed."""
    sharp = sharp_image(name)
    types = str(read_weights(find_weights(name))[0].training.get("blur types", DEFOCUS)).split(", ")
    assert not name.endswith("-mixed-nano") or MIXED in types
    for blur in types:
        blurred, _ = dgno.simulate(sharp, ranges=BLURS[blur], seed=0)
        restored = dgno.restore(blurred, weights=name, device="cpu")
        assert (restored.shape, restored.dtype) == (sharp.shape, sharp.dtype)
        gain = (OF_DBMID if name.startswith("dl-") else GAINS)[blur]
        assert decibels(restored, sharp) >= decibels(blurred, sharp) + gain


@each_restorer
def test_tiles_with_the_halo_of_the_card_give_what_the_whole_gives(name: str) -> None:
    """On a blurred image of at least 500 x 600 px in float32, at 99.9 % of the pixels within 2e-5 of the range."""
    halo = read_weights(find_weights(name))[0].halo
    assert halo is not None, "the halo of these weights was not measured"
    restorer, normalize = make_restorer(name, device="cpu")
    tile_size = -(-(2 * halo + 128) // restorer.multiple) * restorer.multiple
    shape = (max(500, tile_size + 64), max(600, tile_size + 64))
    tiles = plan_tiles(shape, tile_size=tile_size, overlap=halo, multiple=restorer.multiple)
    assert min(len({tile.rows for tile in tiles}), len({tile.columns for tile in tiles})) >= 2
    sharp = sharp_image(name)
    margins = [(0, n - m) for n, m in zip(shape, sharp.shape, strict=False)] + [(0, 0)] * (sharp.ndim - 2)
    larger = np.pad(sharp, margins, "symmetric").astype(np.float32) / 255
    blurred, _ = dgno.simulate(larger, seed=0)
    image = Image(blurred, "YXS" if blurred.ndim == 3 else "YX", (0.0, 1.0))
    tiled, whole = (restore_image(image, restorer, tile_size=n, normalize=normalize) for n in (tile_size, 0))
    assert (np.abs(tiled.pixels - whole.pixels) <= TOLERANCE).mean() >= SHARE
    assert np.abs(whole.pixels - blurred).mean() > 100 * TOLERANCE  # there was something to agree on
