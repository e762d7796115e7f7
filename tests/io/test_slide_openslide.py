"""OpenSlide reads what tifffile does not, and agrees with the reader of TIFF files where both can."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from made_slides import block_place, change, write_svs

from dgno.errors import ConfigError, UnknownFormat, UnreadableInput, UnsupportedCodec
from dgno.io.open_slide import is_slide, open_slide
from dgno.io.slide import Slide
from dgno.io.slide_openslide import OpenSlideReader

openslide = pytest.importorskip("openslide")

REAL = ["CMU-1-Small-Region.svs", "tcga-cr-7395-ts1.svs", "hamamatsu-dapi.ndpi"]


def whole(slide: Slide, level: int = 0) -> np.ndarray:
    height, width = slide.levels[level].shape
    return slide.read((0, height), (0, width), level=level)


@pytest.mark.parametrize("name", REAL)
def test_both_readers_agree_on_real_slides(shared_data: Path, name: str) -> None:
    path = shared_data / "slides" / name
    with open_slide(path) as ours, OpenSlideReader(path) as theirs:
        assert ours.reader == "tifffile" and theirs.reader == "openslide"
        stored = len(ours.levels)  # OpenSlide adds levels to NDPI, which it scales down while it decodes
        assert [level.shape for level in ours.levels] == [level.shape for level in theirs.levels][:stored]
        assert ours.facts.magnification == theirs.facts.magnification
        if theirs.facts.pixel_size is None:
            assert ours.facts.pixel_size is None
        else:
            np.testing.assert_allclose(ours.facts.pixel_size, theirs.facts.pixel_size, rtol=1e-6)
        for number, level in enumerate(ours.levels):
            height, width = level.shape
            if level.downsample % 1:  # corners that lie between its pixels OpenSlide interpolates
                height, width = level.block
            window = ((0, height), (0, width))
            np.testing.assert_array_equal(ours.read(*window, level=number), theirs.read(*window, level=number))
        for picture in set(ours.associated) & set(theirs.associated):
            assert ours.associated[picture] == theirs.associated[picture]


@pytest.mark.filterwarnings("ignore:hamamatsu-format metadata parsing")
@pytest.mark.parametrize("name", REAL)
def test_tiffslide_agrees_on_real_slides(shared_data: Path, name: str) -> None:
    tiffslide = pytest.importorskip("tiffslide")
    path = shared_data / "slides" / name
    with open_slide(path) as ours, tiffslide.TiffSlide(path) as theirs:
        assert [level.shape[::-1] for level in ours.levels] == list(theirs.level_dimensions)
        if ours.facts.pixel_size:
            np.testing.assert_allclose(ours.facts.pixel_size[1], theirs.properties["tiffslide.mpp-x"], rtol=1e-6)
        size = (600, 500)
        for level in range(len(ours.levels)):
            wanted = np.asarray(theirs.read_region((0, 0), level, size).convert("RGB"))
            height, width = (min(a, b) for a, b in zip(size[::-1], ours.levels[level].shape, strict=True))
            found = ours.read((0, height), (0, width), level=level)
            np.testing.assert_array_equal(found, wanted[:height, :width])


def test_a_made_up_slide(tmp_path: Path) -> None:
    write_svs(tmp_path / "x.svs")
    with open_slide(tmp_path / "x.svs") as ours, OpenSlideReader(tmp_path / "x.svs") as theirs:
        assert theirs.format == "aperio" and theirs.facts.pixel_size == (0.499, 0.499)
        assert theirs.associated["label"] == (99, 88) and theirs.facts.fill == 255
        for level in (0, 1):
            np.testing.assert_array_equal(whole(ours, level), whole(theirs, level))
        np.testing.assert_array_equal(ours.read_associated("macro"), theirs.read_associated("macro"))
        with pytest.raises(ConfigError, match="those it has: label"):
            theirs.read_associated("overview")


def test_a_broken_tile_is_named_and_the_slide_can_still_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.svs"
    write_svs(path)
    place, length = block_place(path, 17)
    change(path, lambda data: data.__setitem__(slice(place, place + length), bytes(length)))
    with OpenSlideReader(path) as slide:
        good = slide.read((0, 60), (0, 60))
        with pytest.raises(UnreadableInput, match="row 1, column 2 of the slide"):
            slide.read((64, 100), (130, 150))
        np.testing.assert_array_equal(slide.read((0, 60), (0, 60)), good)
        assert slide.read((300, 310), (300, 310)).shape == (10, 10, 3)
    with OpenSlideReader(path, on_bad_tile="mask") as slide:
        assert (slide.read((64, 128), (128, 192)) == 255).all()
        assert [(tile.rows, tile.columns) for tile in slide.bad_tiles] == [((64, 128), (128, 192))]


def test_what_openslide_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mrxs").write_bytes(b"\xff\xd8\xff\xe0 not much of a slide")
    assert not is_slide(tmp_path / "x.mrxs")
    with pytest.raises(UnknownFormat, match="JPEG image, and no slide"):
        open_slide(tmp_path / "x.mrxs")
    with pytest.raises(UnknownFormat):
        OpenSlideReader(tmp_path / "x.mrxs")


def test_without_the_packages_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.dcm").write_bytes(bytes(128) + b"DICM" + bytes(200))
    (tmp_path / "x.mrxs").write_bytes(b"\xff\xd8\xff\xe0 a picture")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "Slidedat.ini").write_text("[GENERAL]")
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "x.zarr"), mode="w")
    group.create_array("0", shape=(9, 8), dtype="uint8")
    axes = [{"name": "y"}, {"name": "x"}]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for package in ("openslide", "zarr"):
        monkeypatch.setitem(sys.modules, package, None)
    for name in ("x.dcm", "x.mrxs", "x.zarr"):
        assert is_slide(tmp_path / name)
        with pytest.raises(UnsupportedCodec, match=r"pip install 'dgno\[slides\]'") as caught:
            open_slide(tmp_path / name)
        assert caught.value.path == tmp_path / name
