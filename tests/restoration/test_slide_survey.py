"""The look at a whole slide: it finds what the look at an image finds, window by window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from array_slide import ArraySlide
from blur_readers import LevelReader, SharpnessReader, coded, types_in_blocks
from dgno.arrays import Image
from dgno.errors import ConfigError, InputError, NonFiniteInput, ResumeError, UnreadableInput
from dgno.io.open_slide import open_slide
from dgno.restoration import READER
from dgno.restoration.assessment import BACKGROUND, Assessment, assess_image
from dgno.restoration.feather import feather, touches
from dgno.restoration.from_weights import make_reader
from dgno.restoration.image import by_extremes, by_percentiles, by_range
from dgno.restoration.slide_look import survey_slide
from dgno.restoration.slide_overview import overview
from dgno.restoration.slide_survey import SlideSurvey
from dgno.restoration.tiling import Span


def whole(survey: SlideSurvey, plane: int = 0) -> Assessment:
    rows, columns = survey.planes[plane].squares
    return survey.planes[plane].assessment((0, rows), (0, columns))


def patches(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Textured disks on bright glass, half of them blurred: (h, w, 3) uint8."""
    rng = np.random.default_rng(seed)
    texture = rng.normal(0, 1, shape)
    soft = gaussian_filter(texture, 4) * 8
    mask = gaussian_filter(rng.normal(0, 1, shape), 40)
    mask = gaussian_filter((mask > np.quantile(mask, 0.7)).astype(float), 3)
    left = np.arange(shape[1]) < shape[1] // 2
    values = 240 - mask[..., None] * ((60, 120, 70) + 20 * np.where(left, texture, soft)[..., None])
    return np.rint(values + rng.normal(0, 1, values.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("tile_size", [256, 480, 2048])
@pytest.mark.parametrize("shape", [(500, 610), (200, 1001)])
def test_a_small_slide_is_found_as_the_image_is(tile_size: int, shape: tuple[int, int]) -> None:
    pixels = patches(shape)
    image = assess_image(Image(pixels, "YXS", (0, 255)), SharpnessReader(), tile_size=0)[0]
    survey = survey_slide(ArraySlide(pixels), SharpnessReader(), tile_size=tile_size)
    slide = whole(survey)
    assert survey.is_bright
    assert 0.1 < image.tissue.mean() < 0.7
    assert len(np.unique(image.types)) == 3
    np.testing.assert_array_equal(slide.tissue, image.tissue)
    assert (slide.types == image.types).mean() > 0.999
    same = slide.types == image.types
    np.testing.assert_allclose(slide.strength[same], image.strength[same], rtol=1e-3)
    np.testing.assert_allclose(slide.likelihoods, image.likelihoods, atol=0.003)
    assert slide.shape == shape


def test_of_a_large_slide_only_what_holds_tissue_is_read() -> None:
    """Tissue, its squares and their types are those of the image; glass is not read at full resolution."""
    pixels = np.full((2400, 2304, 3), 240, np.uint8)
    pixels += np.random.default_rng(0).integers(0, 3, pixels.shape, dtype=np.uint8)
    pixels[300:900, 1200:1900] = np.minimum(patches((600, 700)), pixels[300:900, 1200:1900])
    image = assess_image(Image(pixels, "YXS", (0, 255)), SharpnessReader(), tile_size=0)[0]
    pixels[1400:1410, 1400:1410] -= 15  # too small and too faint for the overview
    slide = ArraySlide(pixels, levels=5)
    found = whole(survey_slide(slide, SharpnessReader(), tile_size=512))
    tiles = [(rows, columns) for level, _, rows, columns in slide.reads if level == 0 and rows[1] - rows[0] > 256]
    assert image.tissue.any()
    assert (found.tissue == image.tissue).mean() > 0.999
    assert (found.types == image.types).mean() > 0.99
    large = whole(survey_slide(slide, SharpnessReader(), tile_size=2048))
    np.testing.assert_array_equal(large.tissue, found.tissue)  # also of a speck that only a large tile happens to see
    assert max(rows[1] for rows, _ in tiles) < 1600
    assert min(columns[0] for _, columns in tiles) > 500
    assert {level for level, *_ in slide.reads} == {0, 4}


def test_the_order_and_the_size_of_tiles_change_nothing() -> None:
    pixels = patches((700, 900), seed=1)
    small, large = (whole(survey_slide(ArraySlide(pixels), SharpnessReader(), tile_size=n)) for n in (256, 640))
    np.testing.assert_array_equal(small.tissue, large.tissue)
    assert (small.types == large.types).mean() > 0.999


def test_planes_and_channels_are_looked_at_apart() -> None:
    """Dark planes, T slowest: percentiles of a channel over its planes, and types by plane."""
    kinds = [[0, 1], [2, 3]]
    planes = np.stack([[coded(np.full((8, 8), k), seed=k).pixels for k in row] for row in kinds])
    survey = survey_slide(ArraySlide(planes, "TC"), LevelReader(), normalize=by_range)
    assert not survey.is_bright
    for number in range(4):
        assert (whole(survey, number).types == number).all()
    for channel in (0, 1):
        expected = by_percentiles(Image(planes, "TCYX", (0, 255)), channel)
        assert survey.affine(channel) == expected
        assert survey.affine(channel, by_extremes) == by_extremes(Image(planes, "TCYX", (0, 255)), channel)
    one = survey_slide(ArraySlide(planes, "TC"), LevelReader(), planes={3})
    assert (list(one.planes), list(one.samples)) == ([3], [1])


def test_windows_of_weights_are_those_of_the_whole() -> None:
    """For feathering, at any place: inside a tile, across tiles, at the borders of the slide."""
    pixels = coded(types_in_blocks(40, 44)).pixels[:317, :349]
    survey = survey_slide(ArraySlide(pixels), LevelReader(), tile_size=256)
    plane = survey.planes[0]
    types = plane.types_in((0, plane.squares[0]), (0, plane.squares[1]))
    np.testing.assert_array_equal(survey.types(0, Span(3, 20), Span(7, 40)), types[3:20, 7:40])
    for rows, columns in (((0, 317), (0, 349)), ((100, 200), (90, 260)), ((0, 9), (340, 349)), ((312, 317), (0, 70))):
        spans = Span(*rows), Span(*columns)
        for kind in (1, 2, 3):
            expected = feather(types, kind, (1, 2, 3), *spans)
            np.testing.assert_array_equal(plane.weights_in(kind, (1, 2, 3), *spans), expected)
            assert touches(types, kind, *spans) <= plane.touches(kind, *spans)
            assert plane.touches(kind, *spans) or not expected.any()


def test_what_is_kept_is_found_again_and_has_equal_bytes(tmp_path: Path) -> None:
    slide = ArraySlide(patches((400, 500)))
    for name in ("a", "b"):
        survey = survey_slide(slide, SharpnessReader(), tile_size=256, facts={"reader": "sharpness"})
        survey.save(tmp_path / name)
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert len(names) == 3
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)
    again = SlideSurvey.load(tmp_path / "a")
    assert again.facts == {"reader": "sharpness"}
    assert again.is_bright
    assert again.affine(0, by_percentiles) == survey.affine(0, by_percentiles)
    for name in ("types", "sigma", "likelihoods", "angle", "abstained"):
        np.testing.assert_array_equal(getattr(whole(again), name), getattr(whole(survey), name))
    (tmp_path / "a" / "blocks.bin").write_bytes((tmp_path / "a" / "blocks.bin").read_bytes()[:-1])
    with pytest.raises(ResumeError, match="looked at again"):
        SlideSurvey.load(tmp_path / "a")
    (tmp_path / "b" / "survey.json").unlink()
    with pytest.raises(InputError):
        SlideSurvey.load(tmp_path / "b")


@pytest.mark.parametrize("levels", [1, 5])
def test_a_slide_of_nothing_has_no_tissue(levels: int) -> None:
    pixels = np.full((2304, 2304, 3), 255, np.uint8)
    slide = ArraySlide(pixels, levels=levels, fill=255.0)
    survey = survey_slide(slide, LevelReader())
    assert len(slide.reads) == 1  # one window, for a scale
    assert (survey.planes[0].types_in((0, 288), (0, 288)) == BACKGROUND).all()
    assert list(survey.planes[0].windows()) == []


def test_bad_slides_and_options_are_refused(tmp_path: Path) -> None:
    pixels = patches((600, 600))
    with pytest.raises(ConfigError, match="px on a slide"):
        survey_slide(ArraySlide(pixels), SharpnessReader(), tile_size=64)
    with pytest.raises(ConfigError, match="min_confidence"):
        survey_slide(ArraySlide(pixels), SharpnessReader(), min_confidence=2)
    with pytest.raises(UnreadableInput, match="row 256, column 0"):
        survey_slide(ArraySlide(pixels, broken=((0, 0, 300, 10),)), SharpnessReader())
    masked = ArraySlide(pixels, broken=((0, 0, 300, 10),), on_bad_tile="mask", fill=255.0)
    found = whole(survey_slide(masked, SharpnessReader(), tile_size=512))
    assert not found.tissue[33:63, 1:31].any()
    assert len(masked.bad_tiles) == 1
    broken = np.random.default_rng(0).random((300, 300)).astype(np.float32)
    broken[7, 9] = np.nan
    with pytest.raises(NonFiniteInput):
        survey_slide(ArraySlide(broken), SharpnessReader())


def test_progress_and_interruption() -> None:
    shares: list[float] = []
    survey_slide(ArraySlide(patches((600, 600))), SharpnessReader(), tile_size=256, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 4

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey_slide(ArraySlide(patches((600, 600))), SharpnessReader(), tile_size=256, progress=stop)


@pytest.mark.parametrize("levels", [1, 3, 6])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_overview_is_the_mean_of_the_plane(levels: int, dtype: str) -> None:
    """Whether the pyramid has it, or something finer, or nothing; the last pixels may be means of fewer."""
    y, x = np.mgrid[:2600, :2111]
    pixels = (100 + 50 * np.sin(x / 300) + 40 * np.cos(y / 200)).astype(dtype)
    found = overview(ArraySlide(pixels, levels=levels), 0)
    down, along = found.scale
    assert 10 < down < 25
    assert 10 < along < 25
    rows, columns = ((np.arange(n) + 0.5) * step for n, step in zip(found.pixels.shape, (down, along), strict=False))
    expected = pixels[rows.astype(int)[:, None], columns.astype(int)]
    inner = np.s_[:-1, :-1]
    assert np.abs(found.pixels[inner][..., 0].astype(float) - expected[inner]).max() < 5
    assert found.pixels.dtype == pixels.dtype
    assert overview(ArraySlide(pixels, levels=levels), 0, times=1.0, most=10**4).pixels.size <= 10**4


def test_a_real_crop_is_read_as_the_image_is(shared_data: Path) -> None:
    """Stained tissue and glass, with the reader of the package, in tiles and at once."""
    with open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        pixels = slide.read((260, 1000), (900, 1640))
    reader = make_reader(READER, "cpu")
    image = assess_image(Image(pixels, "YXS", (0, 255)), reader, tile_size=0)[0]
    found = whole(survey_slide(ArraySlide(pixels), reader, tile_size=768))
    assert 0.4 < image.tissue.mean() < 0.95
    assert (found.types == image.types).mean() > 0.99
    same = found.types == image.types
    np.testing.assert_allclose(found.strength[same], image.strength[same], rtol=0.01, atol=0.02)
