"""Laws of restoring slides: blocks are pure, tiles do not show, what is in focus keeps its bits."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from array_slide import ArraySlide
from dgno.arrays import Affine, Image
from dgno.errors import NonFiniteInput
from dgno.optics.blur_types import BLUR_TYPES, DEFOCUS, IN_FOCUS, MOTION
from dgno.restoration.assessment import Assessment
from dgno.restoration.feather import feather, touches
from dgno.restoration.image import Restorer, restore_image, tiling_of
from dgno.restoration.journal import Journal
from dgno.restoration.route import Remedy, restore_routed
from dgno.restoration.slide import EVERYTHING, RestoredSlide, SlideWork, Treatment, read_block, restore_block
from dgno.restoration.slide_plan import plan_blocks
from dgno.restoration.slide_seams import seam_index
from dgno.restoration.tiling import Span

UNIT = Affine(0.0, 255.0)


class Sharpen:
    """Unsharp masking with a mean over 13 x 13 px: local, with a reach of 6 px."""

    halo, multiple = 6, 4

    def __call__(self, x: Tensor) -> Tensor:
        mean = F.avg_pool2d(F.pad(x, (6, 6, 6, 6), mode="replicate"), 13, 1)
        return x + 0.7 * (x - mean)


class Global(Sharpen):
    """The same, and a little of the mean of the tile: not local."""

    halo, is_local = 24, False

    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x) + 0.05 * (x.mean() - 0.5)


class Stretched:
    """Each tile stretched by its own extremes, as tools do that normalise tile by tile; then sharpened a little."""

    halo, multiple = 6, 4

    def __call__(self, x: Tensor) -> Tensor:
        low, high = torch.quantile(x.flatten()[:: max(1, x.numel() // 10**5)], torch.tensor([0.001, 0.999]))
        return (x - low) / (high - low).clamp(min=1e-3)


class Known:
    """Types of squares that somebody tells."""

    def __init__(self, types: np.ndarray) -> None:
        self.types = types

    def touches(self, wanted: int, rows: Span, columns: Span) -> bool:
        return touches(self.types, wanted, rows, columns)

    def weights_in(self, wanted: int, blurred: Sequence[int], rows: Span, columns: Span) -> np.ndarray:
        return feather(self.types, wanted, blurred, rows, columns)


def scene(height: int = 700, width: int = 900, samples: int = 3, dtype: str = "uint8", seed: int = 4) -> np.ndarray:
    """Clouds of several sizes, so that neighbouring tiles have other extremes."""
    rng = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, samples, height, width)
    for side, weight in ((4, 0.5), (16, 0.3), (64, 0.2), (256, 0.1)):
        noise = torch.rand(1, samples, max(2, height * side // 1024), max(2, width * side // 1024), generator=rng)
        total += weight * F.interpolate(noise, (height, width), mode="bicubic")
    values = total[0].permute(1, 2, 0).numpy() / 1.2 + 0.03 * np.random.default_rng(seed).normal(
        size=(height, width, 1)
    )
    top = 1.0 if dtype.startswith("float") else float(np.iinfo(dtype).max)
    pixels = values.clip(0, 1) * top
    pixels = pixels.astype(dtype) if dtype.startswith("float") else np.rint(pixels).astype(dtype)
    return pixels if samples > 1 else pixels[..., 0]


def work_of(
    slide: ArraySlide,
    restorer: Restorer,
    *,
    tile_size: int = 256,
    affine: Affine = UNIT,
    types: np.ndarray | None = None,
) -> SlideWork:
    tiling = tiling_of(restorer, tile_size, None)
    plan = plan_blocks(slide.facts.shape, range(slide.facts.plane_count), **tiling)
    context = {"overlap": tiling["overlap"], "multiple": tiling["multiple"]}
    affines = dict.fromkeys(range(slide.facts.channels), affine)
    if types is None:
        return SlideWork(plan, [Treatment(EVERYTHING, restorer, affines)], **context)
    kinds = [Treatment(BLUR_TYPES.index(name), restorer, affines) for name in (DEFOCUS, MOTION)]
    return SlideWork(plan, kinds, {0: Known(types)}, **context)


def run(slide: ArraySlide, work: SlideWork, folder: Path, order: int | None = None) -> tuple[np.ndarray, RestoredSlide]:
    """The first plane of the restored slide, in windows of another size than its blocks."""
    numbers = [block.number for block in work.plan if work.is_needed(slide, block)]
    if order is not None:
        random.Random(order).shuffle(numbers)
    with Journal(folder / "work", {}) as journal:
        for number in numbers:
            block = work.plan.block(number)
            result = restore_block(slide, work, block, read_block(slide, block))
            journal.put(number, result.pixels, saturated=result.saturated)
        restored = RestoredSlide(slide, work, journal)
        height, width = slide.facts.shape
        whole = np.empty((height, width, slide.facts.samples), slide.facts.dtype)
        for top in range(0, height, 200):
            for left in range(0, width, 200):
                rows, columns = Span(top, min(top + 200, height)), Span(left, min(left + 200, width))
                whole[slice(*rows), slice(*columns)] = restored.read(rows, columns, 0)
    return whole, restored


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("halo", [0, 8])
def test_the_identity_gives_the_slide_back(tmp_path: Path, dtype: str, samples: int, halo: int) -> None:
    """Bit for bit, whatever the dtype; also where tiles are faded into each other."""
    pixels = scene(300, 420, samples, dtype)
    slide = ArraySlide(pixels)

    def identity(x: Tensor) -> Tensor:
        return x

    identity.halo, identity.is_local = halo, False  # type: ignore[attr-defined]
    result, _ = run(slide, work_of(slide, identity, tile_size=128), tmp_path)
    assert result.tobytes() == pixels.reshape(result.shape).tobytes()


@pytest.mark.parametrize("tile_size", [64, 132, 256, 0])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tiles_of_a_local_restorer_equal_the_whole(tmp_path: Path, dtype: str, tile_size: int) -> None:
    pixels = scene(dtype=dtype)
    low, high = (0.0, 1.0) if dtype == "float32" else (0.0, float(np.iinfo(dtype).max))
    slide, affine = ArraySlide(pixels, value_range=(low, high)), Affine(low, high - low)
    result, _ = run(slide, work_of(slide, Sharpen(), tile_size=tile_size, affine=affine), tmp_path)
    image = Image(pixels, "YXS", (low, high))
    whole = restore_image(image, Sharpen(), tile_size=0).pixels
    difference = np.abs(result.astype(np.float64) - whole)
    tolerance = 2e-6 if dtype == "float32" else 1.0  # a sum in another order may round a tie the other way
    assert difference.max() <= tolerance
    assert (difference > tolerance / 2).mean() < 1e-3
    assert np.abs(whole.astype(np.float64) - pixels).max() > 0.05 * (high - low)  # something was restored


@pytest.mark.parametrize("restorer", [Sharpen(), Global()])
def test_the_order_of_the_blocks_does_not_matter(tmp_path: Path, restorer: Restorer) -> None:
    slide = ArraySlide(scene())
    work = work_of(slide, restorer)
    results = []
    for order in (None, 1, 2):
        (tmp_path / str(order)).mkdir()
        results.append(run(slide, work, tmp_path / str(order), order)[0].tobytes())
    assert len(set(results)) == 1


def test_fading_shares_every_change_out(tmp_path: Path) -> None:
    """A global restorer that adds the same everywhere adds just that, where one tile keeps it and where four do."""
    slide = ArraySlide(scene(dtype="float32"), value_range=(0.0, 1.0))

    def brighter(x: Tensor) -> Tensor:
        return x + 0.25

    brighter.halo, brighter.is_local = 20, False  # type: ignore[attr-defined]
    result, _ = run(slide, work_of(slide, brighter, tile_size=128, affine=Affine(0.0, 1.0)), tmp_path)
    np.testing.assert_allclose(result - scene(dtype="float32"), 0.25, atol=2e-6)


def types_with(shape: tuple[int, int]) -> np.ndarray:
    """In focus, with a disk that is out of focus and a bar that moved across the borders of tiles."""
    rows, columns = np.indices(shape)
    types = np.full(shape, BLUR_TYPES.index(IN_FOCUS), np.uint8)
    types[(rows - 40) ** 2 + (columns - 50) ** 2 < 30**2] = BLUR_TYPES.index(DEFOCUS)
    types[60:70, 20:100] = BLUR_TYPES.index(MOTION)
    return types


def test_what_is_in_focus_keeps_its_bits_and_the_rest_is_as_in_an_image(tmp_path: Path) -> None:
    pixels = scene()
    slide = ArraySlide(pixels)
    types = types_with((-(-700 // 8), -(-900 // 8)))
    work = work_of(slide, Sharpen(), types=types)
    result, _ = run(slide, work, tmp_path)
    focused = np.kron(types == BLUR_TYPES.index(IN_FOCUS), np.ones((8, 8), bool))[:700, :900]
    np.testing.assert_array_equal(result[focused], pixels[focused])
    assert (result[~focused] != pixels[~focused]).mean() > 0.5
    zeros = np.zeros(types.shape, np.float32)
    found = Assessment((700, 900), np.zeros((4, *types.shape), np.float32), types, zeros, zeros, zeros, zeros > 0)
    remedies = {name: Remedy(Sharpen(), lambda image, channel: UNIT) for name in (DEFOCUS, MOTION)}
    image = restore_routed(Image(pixels, "YXS", (0.0, 255.0)), {0: found}, remedies, tile_size=0)
    difference = np.abs(result.astype(int) - image.pixels)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_blocks_without_blur_are_not_read(tmp_path: Path) -> None:
    slide = ArraySlide(scene(1024, 1024))
    types = np.zeros((128, 128), np.uint8)
    types[:4, :4] = BLUR_TYPES.index(DEFOCUS)
    work = work_of(slide, Sharpen(), types=types, tile_size=128)
    assert [block.number for block in work.plan if work.is_needed(slide, block)] == [0]


def test_a_restorer_sees_no_more_than_the_blur_and_its_context(tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    class Watched(Sharpen):
        def __call__(self, x: Tensor) -> Tensor:
            seen.append(tuple(x.shape[-2:]))
            return super().__call__(x)

    slide = ArraySlide(scene(1024, 1024))
    types = np.full((128, 128), BLUR_TYPES.index(IN_FOCUS), np.uint8)
    types[40:42, 40:44] = BLUR_TYPES.index(DEFOCUS)
    run(slide, work_of(slide, Watched(), types=types, tile_size=512), tmp_path)
    assert len(seen) == 1
    assert all(side <= 8 * squares + 2 * 6 + 2 * 4 for side, squares in zip(seen[0], (2, 4), strict=True))


def test_blank_blocks_are_passed_over() -> None:
    pixels = scene(1024, 1024)
    pixels[:, 512:] = 255
    slide = ArraySlide(pixels, fill=255.0)
    work = work_of(slide, Sharpen(), tile_size=256)
    needed = [work.plan.block(n) for n in range(len(work.plan)) if work.is_needed(slide, work.plan.block(n))]
    assert needed
    assert all(block.tile.columns.write.start < 512 for block in needed)


@pytest.mark.parametrize("tile_size", [256, 384, 512])
def test_seams_do_not_show_unless_tiles_are_normalised_each_for_itself(tmp_path: Path, tile_size: int) -> None:
    slide = ArraySlide(scene(2048, 2048, 1))
    indices = {}
    for name, restorer in (("slide", Sharpen()), ("faded", Global()), ("tile", Stretched())):
        (tmp_path / name).mkdir()
        work = work_of(slide, restorer, tile_size=tile_size)
        whole, restored = run(slide, work, tmp_path / name)
        before = lambda rows, columns, plane: slide.read(rows, columns, plane=plane)  # noqa: E731
        after = lambda rows, columns, plane, whole=whole: whole[slice(*rows), slice(*columns)]  # noqa: E731
        indices[name] = seam_index(before, after, work.plan, restored.journal.__contains__)
    assert 0.95 <= indices["slide"] <= 1.05
    assert 0.95 <= indices["faded"] <= 1.05
    assert indices["tile"] > 1.2, indices


def test_what_could_not_be_read_stays_the_declared_fill(tmp_path: Path) -> None:
    pixels = scene()
    slide = ArraySlide(pixels, broken=((0, 0, 300, 300),), on_bad_tile="mask", fill=255.0)
    result, _ = run(slide, work_of(slide, Sharpen()), tmp_path)
    assert (result[256:512, 256:512] == 255).all()
    assert [(bad.rows, bad.columns) for bad in slide.bad_tiles] == [((256, 512), (256, 512))]
    whole, _ = run(ArraySlide(pixels), work_of(ArraySlide(pixels), Sharpen()), tmp_path / "..")
    far = np.ones(result.shape, bool)
    far[250:518, 250:518] = False
    np.testing.assert_array_equal(result[far], whole[far])


@pytest.mark.parametrize("mode", ["inpaint", "mask"])
def test_numbers_that_are_none_are_refused_or_left_or_black(tmp_path: Path, mode: str) -> None:
    pixels = scene(300, 300, 1, "float32")
    pixels[150:160, 200:210] = np.nan
    slide = ArraySlide(pixels, value_range=(0.0, 1.0))
    work = work_of(slide, Sharpen(), affine=Affine(0.0, 1.0))
    with pytest.raises(NonFiniteInput, match="row 150, column 200"):
        run(slide, work, tmp_path)
    (tmp_path / "kept").mkdir()
    result, restored = run(slide, replace(work, nonfinite=mode), tmp_path / "kept")
    np.testing.assert_array_equal(result[150:160, 200:210, 0], np.nan if mode == "inpaint" else 0.0)
    assert np.isfinite(result[..., 0][np.isfinite(pixels)]).all() and restored.filled == 100


@pytest.mark.parametrize("axes", ["C", "TZ"])
def test_planes_are_restored_each_for_itself(tmp_path: Path, axes: str) -> None:
    planes = np.stack([scene(200, 260, 1, seed=i) for i in range(4)])
    slide = ArraySlide(planes.reshape(*((4,) if axes == "C" else (2, 2)), 200, 260), axes)
    work = work_of(slide, Sharpen(), tile_size=128)
    with Journal(tmp_path / "work", {}) as journal:
        for block in work.plan:
            journal.put(block.number, restore_block(slide, work, block, read_block(slide, block)).pixels)
        restored = RestoredSlide(slide, work, journal)
        for i, plane in enumerate(planes):
            alone = restore_image(Image(plane, "YX", (0.0, 255.0)), Sharpen(), tile_size=0).pixels
            found = restored.read(Span(0, 200), Span(0, 260), i)[..., 0]
            assert np.abs(found.astype(int) - alone).max() <= 1
