"""Slides in TIFF files are read window by window, as tifffile reads them whole."""

from __future__ import annotations

import re
import runpy
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from made_slides import APERIO, forget_block, tissue, write_pyramid, write_svs

from dgno.errors import ConfigError, UnsupportedInput
from dgno.io.open_slide import is_slide, open_slide
from dgno.io.slide import Slide


def whole(slide: Slide, *, level: int = 0, plane: int = 0) -> np.ndarray:
    height, width = slide.levels[level].shape
    return slide.read((0, height), (0, width), level=level, plane=plane)


KINDS = {
    "SubIFDs": {"subifds": True},
    "pages": {"subifds": False},
    "BigTIFF": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "OME": {"ome": True, "metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "axes": "YXS"}},
    "deflate, predictor": {"compression": "zlib", "predictor": True},
    "LZW": {"compression": "lzw"},
    "JPEG": {"compression": "jpeg"},
    "JPEG 2000": {"compression": "jpeg2000"},
    "samples apart": {"planarconfig": "separate"},
    "large tiles": {"tile": (1024, 1024)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_level_is_what_tifffile_reads(tmp_path: Path, kind: str) -> None:
    path, full = tmp_path / ("x.ome.tif" if kind == "OME" else "x.tif"), tissue()
    options = dict(KINDS[kind])
    if options.get("planarconfig"):
        stored = write_pyramid(path, np.moveaxis(full, -1, 0), levels=1, **options)
        shapes = [full.shape]
    else:
        stored = write_pyramid(path, full, **options)
        shapes = [level.shape for level in stored]
    assert is_slide(path) == (kind != "samples apart")  # one level of a small image
    with open_slide(path) as slide, tifffile.TiffFile(path) as tiff:
        assert [(*level.shape, slide.facts.samples) for level in slide.levels] == shapes
        assert slide.facts.value_range == (0, 255) and slide.facts.fill == 255
        for number in range(len(shapes)):
            wanted = tiff.series[0].levels[number].asarray()
            wanted = np.moveaxis(wanted, 0, -1) if kind == "samples apart" else wanted
            np.testing.assert_array_equal(whole(slide, level=number), wanted)
        np.testing.assert_array_equal(slide.read((60, 131), (63, 65)), whole(slide)[60:131, 63:65])
        if kind == "OME":
            assert slide.facts.pixel_size == (0.25, 0.5) and slide.format == "ome-tiff"


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "float32", "float64"])
def test_gray_of_every_dtype_in_channels(tmp_path: Path, dtype: str) -> None:
    stack = np.stack([tissue(300, 200, samples=1, dtype=dtype) // (n + 1) for n in range(3)]).astype(dtype)
    with tifffile.TiffWriter(tmp_path / "x.ome.tif", ome=True) as writer:
        common = {"tile": (64, 64), "photometric": "minisblack"}
        names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP", "Cy5"]}}
        writer.write(stack, subifds=1, metadata=names, **common)
        writer.write(stack[:, ::2, ::2], subfiletype=1, **common)
    with open_slide(tmp_path / "x.ome.tif") as slide:
        facts = slide.facts
        assert (facts.axes, facts.sizes, facts.samples, facts.dtype) == ("C", (3,), 1, np.dtype(dtype))
        assert facts.channel_names == ("DAPI", "GFP", "Cy5") and facts.fill == 0
        assert [facts.channel_of(plane) for plane in range(3)] == [0, 1, 2]
        for plane in range(3):
            np.testing.assert_array_equal(whole(slide, plane=plane)[..., 0], stack[plane])
            np.testing.assert_array_equal(whole(slide, plane=plane, level=1)[..., 0], stack[plane, ::2, ::2])


def test_a_range_that_nobody_declared_is_guessed_from_samples_with_a_note(tmp_path: Path) -> None:
    pixels = (tissue(700, 900, samples=1, dtype="uint16") >> 4).astype(np.uint16)
    write_pyramid(tmp_path / "x.tif", pixels, photometric="minisblack")
    with open_slide(tmp_path / "x.tif") as slide:
        assert slide.facts.value_range == (0, 4095)
        assert any("12 bits) guessed from samples of the data" in note for note in slide.notes)


def test_interleaved_channels_are_planes(tmp_path: Path) -> None:
    pixels = tissue(200, 300, samples=5)
    tifffile.imwrite(tmp_path / "x.tif", pixels, tile=(64, 64), photometric="minisblack", planarconfig="contig",
                     extrasamples=[0] * 4, metadata=None)  # fmt: skip
    with open_slide(tmp_path / "x.tif") as slide:
        assert (slide.facts.axes, slide.facts.sizes, slide.facts.samples) == ("C", (5,), 1)
        for plane in range(5):
            np.testing.assert_array_equal(whole(slide, plane=plane)[..., 0], pixels[..., plane])


def test_strips_are_read_in_part(tmp_path: Path) -> None:
    pixels = tissue(3000, 501, samples=1, dtype="uint16")
    for name, options in {"one": {}, "many": {"rowsperstrip": 7}, "packed": {"rowsperstrip": 7, "compression": "zlib"},
                          "turned": {"byteorder": ">", "rowsperstrip": 1000}}.items():  # fmt: skip
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, metadata=None, **options)
        with open_slide(tmp_path / f"{name}.tif", cache_bytes=0) as slide:
            assert slide.levels[0].block[0] < 3000
            np.testing.assert_array_equal(slide.read((990, 2990), (3, 77))[..., 0], pixels[990:2990, 3:77])


def test_white_stored_as_zero_is_turned_over(tmp_path: Path) -> None:
    pixels = tissue(200, 300, samples=1)
    tifffile.imwrite(tmp_path / "x.tif", pixels, tile=(64, 64), photometric="miniswhite")
    with open_slide(tmp_path / "x.tif") as slide:
        np.testing.assert_array_equal(whole(slide)[..., 0], 255 - pixels)
        assert slide.facts.stored.min_is_white and any("white as 0" in note for note in slide.notes)


def test_imagej_stacks_behind_one_page(tmp_path: Path) -> None:
    stack = np.stack([tissue(50, 60, samples=1, dtype="uint16") + n for n in range(6)]).reshape(2, 3, 50, 60)
    tifffile.imwrite(tmp_path / "x.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    with open_slide(tmp_path / "x.tif") as slide:
        assert (slide.facts.axes, slide.facts.sizes) == ("ZC", (2, 3))
        for plane in range(6):
            np.testing.assert_array_equal(whole(slide, plane=plane)[..., 0], stack.reshape(6, 50, 60)[plane])


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000"])
def test_an_aperio_slide(tmp_path: Path, compression: str) -> None:
    full = write_svs(tmp_path / "x.svs", compression=compression)
    with open_slide(tmp_path / "x.svs") as slide:
        assert (slide.format, slide.reader, slide.facts.magnification) == ("svs", "tifffile", 20)
        assert slide.facts.pixel_size == (0.499, 0.499) and slide.facts.properties["aperio.MPP"] == "0.4990"
        assert [level.shape for level in slide.levels] == [(700, 900), (350, 450)]
        assert slide.associated == {"thumbnail": (175, 225), "label": (99, 88), "macro": (50, 120)}
        np.testing.assert_array_equal(slide.read_associated("label"), full[:99, :88])
        with pytest.raises(ConfigError, match="thumbnail, label, macro"):
            slide.read_associated("overview")


def test_tiles_that_were_never_stored_are_blank(tmp_path: Path) -> None:
    full = tissue()
    write_pyramid(tmp_path / "x.tif", full, levels=1)
    forget_block(tmp_path / "x.tif", 1)
    with open_slide(tmp_path / "x.tif") as slide:
        assert slide.is_blank((0, 64), (64, 128)) and slide.is_blank((3, 4), (70, 80))
        assert not slide.is_blank((0, 64), (63, 128)) and not slide.is_blank((0, 65), (64, 128))
        wanted = full.copy()
        wanted[:64, 64:128] = 255
        np.testing.assert_array_equal(whole(slide), wanted)
        assert "1 of 165 tiles of level 0 were never stored, and are blank" in slide.notes
        assert slide.bad_tiles == []


def test_what_is_a_slide(tmp_path: Path) -> None:
    small = tissue(90, 80)
    tifffile.imwrite(tmp_path / "plain.tif", small)
    tifffile.imwrite(tmp_path / "stack.tif", tissue(90, 80, samples=1)[None].repeat(5, 0), photometric="minisblack")
    tifffile.imwrite(tmp_path / "alpha.tif", tissue(90, 80, samples=4), tile=(16, 16), photometric="rgb")
    (tmp_path / "text.svs").write_text("no slide")
    (tmp_path / "empty.svs").write_bytes(b"")
    for name in ("plain.tif", "stack.tif", "alpha.tif", "text.svs", "empty.svs", "missing.svs", "."):
        assert not is_slide(tmp_path / name), name
    tifffile.imwrite(tmp_path / "wide.tif", shape=(8200, 8200), dtype="uint8", compression=None)
    sizes = {"tiled.png": (4096, 4100), "tiles.tif": (4096, 4096), "planes.tif": (2, 2900, 2900)}
    for name, shape in sizes.items():
        tifffile.imwrite(tmp_path / name, np.zeros(shape, np.uint8), tile=(256, 256), compression="zlib")
    assert not is_slide(tmp_path / "tiles.tif")  # 2^24 px
    write_pyramid(tmp_path / "levels.tif", small, levels=2, subifds=False)
    write_pyramid(tmp_path / "below.tif", small, levels=2)
    for name in ("tiled.png", "wide.tif", "planes.tif", "levels.tif", "below.tif"):
        assert is_slide(tmp_path / name), name


def test_transparency_is_refused_with_what_to_do(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", tissue(90, 80, samples=4), tile=(16, 16), photometric="rgb")
    with pytest.raises(UnsupportedInput, match=r"a slide with transparency.*save it without transparency"):
        open_slide(tmp_path / "x.tif")


def test_windows_and_levels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    write_svs(tmp_path / "x.svs")
    with open_slide(tmp_path / "x.svs") as slide:
        for rows, columns, level, plane in [((0, 701), (0, 9), 0, 0), ((-1, 5), (0, 9), 0, 0), ((5, 5), (0, 9), 0, 0),
                                            ((0, 9), (0, 9), 2, 0), ((0, 9), (0, 9), 0, 1)]:  # fmt: skip
            with pytest.raises(ConfigError):
                slide.read(rows, columns, level=level, plane=plane)
    with pytest.raises(ConfigError, match="closed"):
        slide.read((0, 1), (0, 1))


def test_threads_read_the_same(tmp_path: Path) -> None:
    write_svs(tmp_path / "x.svs")
    with open_slide(tmp_path / "x.svs", cache_bytes=100_000) as slide:
        wanted, wrong = whole(slide), []

        def look(seed: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(30):
                top, left = rng.integers(0, 600), rng.integers(0, 800)
                window = slide.read((int(top), int(top) + 90), (int(left), int(left) + 90))
                if not np.array_equal(window, wanted[top : top + 90, left : left + 90]):
                    wrong.append(seed)

        threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_a_description_of_aperio_is_no_slide_of_other_pixels(tmp_path: Path) -> None:
    """Named .svs or not: the description decides on the format, the pages on the rest."""
    write_pyramid(tmp_path / "x.tif", tissue(), description=APERIO, subifds=False, levels=1)
    with open_slide(tmp_path / "x.tif") as slide:
        assert slide.format == "svs" and slide.associated == {}


def test_a_slide_of_10_gigapixels_opens_at_once(tmp_path: Path) -> None:
    """100,000 x 100,000 px, of which two tiles were stored; the file is small, and so is what is read of it."""
    side, tile, path = 100_000, 512, tmp_path / "x.tif"
    tiles = (-(-side // tile)) ** 2
    pixels = tissue(tile, tile, samples=1)
    pieces = iter([pixels if number in (0, 777) else None for number in range(tiles)])
    tifffile.imwrite(path, pieces, shape=(side, side), dtype="uint8", tile=(tile, tile), photometric="minisblack",
                     metadata=None, compression="zlib", maxworkers=1)  # fmt: skip
    assert is_slide(path)
    with open_slide(path) as slide:
        row, column = divmod(777, -(-side // tile))
        rows, columns = (row * tile, (row + 1) * tile), (column * tile, (column + 1) * tile)
        np.testing.assert_array_equal(slide.read(rows, columns)[..., 0], pixels)
        assert not slide.is_blank(rows, columns) and slide.is_blank((side - 9, side), (side - 9, side))
        assert (slide.read((side - 9, side), (side - 9, side)) == 0).all()


def test_the_documented_crop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of docs/slides.md run as they stand."""
    document = Path(__file__).parents[2] / "docs" / "slides.md"
    [example] = re.findall(r"```python\n(.*?)```", document.read_text(), flags=re.DOTALL)
    (tmp_path / "crop.py").write_text(example)
    levels = write_pyramid(tmp_path / "slide.svs", tissue())
    monkeypatch.chdir(tmp_path)
    runpy.run_path("crop.py")
    np.testing.assert_array_equal(tifffile.imread("crop.tif"), levels[0][200:456, 300:684])
