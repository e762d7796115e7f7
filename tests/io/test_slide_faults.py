"""RELIABILITY 3A for slides: what is broken is named with its place, and never filled in silence."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from made_slides import APERIO, block_place, change, forget_block, tissue, write_pyramid, write_svs

from dgno.errors import DgnoError, InputChanged, InputError, TruncatedInput, UnreadableInput, UnsupportedCodec
from dgno.io.limits import Limits
from dgno.io.open_slide import is_slide, open_slide
from dgno.io.slide import Slide


def read_all(slide: Slide) -> None:
    for number, level in enumerate(slide.levels):
        slide.read((0, level.shape[0]), (0, level.shape[1]), level=number)


def cut(data: bytearray, place: int, length: int) -> None:
    data[place + length // 2 : place + length] = bytes(length - length // 2)


def dry(data: bytearray, place: int, length: int) -> None:
    """The second half goes, but the end marker stays: libjpeg makes gray of the rest."""
    half = data[place : place + length // 2].rstrip(b"\xff") + b"\xff\xd9"
    data[place : place + length] = half + b"\xff" * (length - len(half))


def erased(data: bytearray, place: int, length: int) -> None:
    data[place : place + length] = bytes(length)


def marker(data: bytearray, place: int, length: int) -> None:
    data[place + length // 2 : place + length // 2 + 2] = b"\xff\xe1"


def other_size(data: bytearray, place: int, length: int) -> None:
    """The frame header claims 40,000 x 40,000 px."""
    frame = data.index(b"\xff\xc0", place, place + length)
    data[frame + 5 : frame + 9] = (40_000).to_bytes(2, "big") * 2


JPEG_DAMAGE = [cut, dry, erased, marker, other_size]
SAYS = {
    "cut": "its JPEG data have no end marker",
    "dry": "its JPEG data end before its pixels",
    "erased": "its JPEG data have no end marker",
    "marker": "the marker ffe1 stands inside its JPEG data",
    "other_size": "it holds 40000 x 40000 px where 64 x 64 were wanted",  # found before anything is decoded
}
Damage = Callable[[bytearray, int, int], None]


@pytest.mark.parametrize("damage", JPEG_DAMAGE, ids=lambda f: f.__name__)
def test_one_broken_jpeg_tile_is_named(tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "x.svs"
    write_svs(path)
    with open_slide(path) as slide:
        good = slide.read((0, 700), (0, 900))
    place, length = block_place(path, 37)  # 15 tiles a row: row 2, column 7
    change(path, lambda data: damage(data, place, length))
    with open_slide(path) as slide:
        for _ in range(2):  # not only the first time
            with pytest.raises(UnreadableInput, match="row 2, column 7 of the slide cannot be read") as caught:
                slide.read((0, 700), (0, 900))
        assert caught.value.path == path and "rows 128 to 191 and columns 448 to 511 of level 0" in caught.value.why
        np.testing.assert_array_equal(slide.read((0, 128), (0, 900)), good[:128])
        assert slide.bad_tiles == []
        assert SAYS[damage.__name__] in caught.value.why
    with open_slide(path, on_bad_tile="mask") as slide:
        found = slide.read((0, 700), (0, 900))
        good[128:192, 448:512] = 255
        np.testing.assert_array_equal(found, good)
        slide.read((130, 140), (450, 460))
        (bad,) = slide.bad_tiles
        assert (bad.level, bad.plane, bad.rows, bad.columns) == (0, 0, (128, 192), (448, 512)) and bad.why


@pytest.mark.parametrize("compression", ["lzw", "zlib", "jpeg2000", "zstd", "packbits"])
def test_a_cut_tile_of_every_codec_is_named(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "x.tif"
    write_pyramid(path, tissue(), levels=1, compression=compression)
    place, length = block_place(path, 37)
    change(path, lambda data: cut(data, place, length))
    with open_slide(path) as slide, pytest.raises(UnreadableInput, match="row 2, column 7 of the slide"):
        read_all(slide)


def test_gray_tiles_are_not_taken_for_cut_ones(tmp_path: Path) -> None:
    """libjpeg's filling is gray 128, which a whole tile may be as well."""
    for value, photometric in ((128, "rgb"), (128, "ycbcr"), (255, "ycbcr"), (0, "rgb")):
        full = np.full((200, 200, 3), value, np.uint8)
        tifffile.imwrite(tmp_path / "x.tif", full, tile=(64, 64), photometric=photometric, compression="jpeg")
        with open_slide(tmp_path / "x.tif") as slide:
            np.testing.assert_array_equal(slide.read((0, 200), (0, 200)), tifffile.imread(tmp_path / "x.tif"))


def test_a_cut_restart_interval_of_ndpi_is_named(shared_data: Path, tmp_path: Path) -> None:
    whole, path = shared_data / "slides" / "hamamatsu-dapi.ndpi", tmp_path / "x.ndpi"
    place, length = block_place(whole, 300)
    change(whole, lambda data: cut(data, place, length), to=path)
    with open_slide(path) as slide, pytest.raises(UnreadableInput, match="row 300, column 0 of the slide"):
        slide.read((2390, 2420), (0, 100))


def test_truncated_slides_are_refused_wherever_they_end(tmp_path: Path) -> None:
    write_svs(tmp_path / "whole.svs")
    data = (tmp_path / "whole.svs").read_bytes()
    for end in {*np.linspace(1, len(data) - 1, 50).astype(int).tolist(), 2, 3, 7, 8, len(data) - 1}:
        (tmp_path / "x.svs").write_bytes(data[:end])
        with pytest.raises(InputError) as caught, open_slide(tmp_path / "x.svs") as slide:
            read_all(slide)
        assert caught.value.code in ("E-IN-TRUNC", "E-IN-CORRUPT", "E-IN-EMPTY"), end
        assert caught.value.path == tmp_path / "x.svs"


def test_flipped_bytes_end_in_pixels_or_in_an_error_of_ours(tmp_path: Path) -> None:
    pixels = tissue(150, 130)
    tifffile.imwrite(tmp_path / "whole.svs", pixels, tile=(64, 64), photometric="rgb", compression="jpeg",
                     description=APERIO, metadata=None)  # fmt: skip
    data, rng, before = (tmp_path / "whole.svs").read_bytes(), np.random.default_rng(1), open_files()
    ends = {"ok": 0, "error": 0}
    for _ in range(300):
        flipped = bytearray(data)
        spot = int(rng.integers(len(data)) if rng.random() < 0.5 else rng.integers(700))
        flipped[spot] ^= int(rng.integers(1, 256))
        (tmp_path / "x.svs").write_bytes(flipped)
        try:
            with open_slide(tmp_path / "x.svs", limits=Limits(pixels=2**24)) as slide:
                height, width = slide.levels[0].shape
                if height * width < 2**22:
                    read_all(slide)
            ends["ok"] += 1
        except DgnoError as error:
            assert error.path == tmp_path / "x.svs", (spot, error)
            ends["error"] += 1
    assert min(ends.values()) > 20 and open_files() == before


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_no_file_stays_open(tmp_path: Path) -> None:
    write_svs(tmp_path / "x.svs")
    (tmp_path / "cut.svs").write_bytes((tmp_path / "x.svs").read_bytes()[:-100])
    before = open_files()
    for _ in range(5):
        with open_slide(tmp_path / "x.svs") as slide:
            read_all(slide)
        with pytest.raises(TruncatedInput):
            open_slide(tmp_path / "cut.svs")
        assert is_slide(tmp_path / "x.svs")
    assert open_files() == before


def test_pages_in_a_loop_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.svs"
    write_svs(path)
    with tifffile.TiffFile(path) as tiff:
        last, first = tiff.pages[-1], tiff.pages[0].offset
        spot = last.offset + 2 + 12 * len(last.tags)
    change(path, lambda data: data.__setitem__(slice(spot, spot + 4), first.to_bytes(4, "little")))
    with pytest.raises(UnreadableInput, match="form a loop"):
        open_slide(path)


def test_a_slide_of_which_nothing_was_stored_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", tissue(100, 100), tile=(64, 64), photometric="rgb")
    for number in range(4):
        forget_block(tmp_path / "x.tif", number)
    with pytest.raises(UnreadableInput, match="4 of 4 strips or tiles of page 0 have no data"):
        open_slide(tmp_path / "x.tif")


@pytest.mark.parametrize("code", [6, 34661, 65123])
def test_codecs_without_decoder_are_named(tmp_path: Path, code: int) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, tissue(100, 100, samples=1), tile=(64, 64))
    with tifffile.TiffFile(path) as tiff:
        spot = tiff.pages[0].tags[259].valueoffset
    change(path, lambda data: data.__setitem__(slice(spot, spot + 2), code.to_bytes(2, "little")))
    with pytest.raises(UnsupportedCodec, match="TIFF compression"):
        open_slide(path)


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.svs"
    write_svs(path)
    with open_slide(path) as slide:
        before = slide.fingerprint()
        slide.check_unchanged(before)
        (tmp_path / "y.svs").write_bytes(path.read_bytes())
        os.replace(tmp_path / "y.svs", path)  # noqa: PTH105
        with pytest.raises(InputChanged):
            slide.check_unchanged(before)
        path.unlink()
        with pytest.raises(InputError, match="no such file"):
            slide.check_unchanged(before)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.svs")
    (tmp_path / "folder.svs").mkdir()
    (tmp_path / "empty.svs").write_bytes(b"")
    (tmp_path / "text.svs").write_text("IJrEr1vV, which is no slide")
    for name, code in (("pipe.svs", "E-IN-NOTFILE"), ("folder.svs", "E-IN-NOTFILE"), ("empty.svs", "E-IN-EMPTY"),
                       ("text.svs", "E-IN-FORMAT"), ("missing.svs", "E-IN-MISSING")):  # fmt: skip
        with pytest.raises(InputError) as caught:
            open_slide(tmp_path / name)
        assert (caught.value.code, caught.value.path) == (code, tmp_path / name)
    with pytest.raises(InputError):
        open_slide(Path("/dev/zero"))


def test_a_failing_disk_is_asked_again_and_then_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.svs"
    write_svs(path)
    real, failures = os.pread, [errno.EIO, errno.EIO]

    def flaky(descriptor: int, length: int, place: int) -> bytes:
        if failures:
            raise OSError(failures.pop(), "Input/output error")
        return real(descriptor, min(length, 1000), place)  # short reads are no error

    with open_slide(path, on_bad_tile="mask") as slide:
        wanted = slide.read((0, 60), (0, 60))
    with open_slide(path, on_bad_tile="mask") as slide:
        monkeypatch.setattr(os, "pread", flaky)
        np.testing.assert_array_equal(slide.read((0, 60), (0, 60)), wanted)
        failures += [errno.EIO] * 3
        with pytest.raises(UnreadableInput, match="Input/output error"):  # a disk is no tile: not masked
            slide.read((0, 60), (100, 160))
        assert slide.bad_tiles == []


def test_the_shared_broken_slide_is_refused(shared_data: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_slide(shared_data / "slides" / "broken.svs")
    assert caught.value.code == "E-IN-FORMAT"
    assert not is_slide(shared_data / "slides" / "broken.svs")
