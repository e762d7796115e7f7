"""133 odd, rare and broken files (image-rs, exif-orientation): each is read right, or refused for a reason.

A file that is read must equal what a trusted reader gives. A file that is refused has its code and reason in the table,
each checked by hand against the file's header.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from dgno.arrays import Image
from dgno.errors import DgnoError
from dgno.io.colour import joined
from dgno.io.image import read_image, write_image

NOTHING = ""
ORIENTED = {f"exif-orientation__{side}_{i}.jpg": i for side in ("Landscape", "Portrait") for i in range(9)}
PALETTE, FEW_BITS, ONE_BIT = "palette expanded", "channels of fewer than 8 bits", "1-bit image expanded"
TRANSPARENT, ANIMATION, ALPHA = "transparent colours", "an animation", "alpha"

# name without "image-rs__" -> what a note must say
READ = {
    "3.jpg": NOTHING,
    "cat.jpg": NOTHING,
    "exif-xmp-metadata.jpg": "unlikely in microscopy",
    "iptc.jpg": "unlikely in microscopy",
    "portrait_2.jpg": "orientation 2",
    "test.jpg": NOTHING,
    "Core_1_Bit.bmp": ONE_BIT,
    "Core_4_Bit.bmp": PALETTE,
    "Core_8_Bit.bmp": PALETTE,
    "Info_1_Bit.bmp": ONE_BIT,
    "Info_1_Bit_Top_Down.bmp": ONE_BIT,
    "Info_4_Bit.bmp": PALETTE,
    "Info_4_Bit_Top_Down.bmp": PALETTE,
    "Info_8_Bit.bmp": PALETTE,
    "Info_8_Bit_Top_Down.bmp": PALETTE,
    "Info_A8_R8_G8_B8.bmp": NOTHING,
    "Info_A8_R8_G8_B8_Top_Down.bmp": NOTHING,
    "Info_R8_G8_B8.bmp": NOTHING,
    "Info_R8_G8_B8_Top_Down.bmp": NOTHING,
    "Info_X1_R5_G5_B5.bmp": FEW_BITS,
    "Info_X1_R5_G5_B5_Top_Down.bmp": FEW_BITS,
    "V3_A1_R5_G5_B5.bmp": FEW_BITS,
    "V3_A1_R5_G5_B5_Top_Down.bmp": FEW_BITS,
    "V3_A4_R4_G4_B4.bmp": FEW_BITS,
    "V3_A4_R4_G4_B4_Top_Down.bmp": FEW_BITS,
    "V3_R5_G6_B5.bmp": FEW_BITS,
    "V3_R5_G6_B5_Top_Down.bmp": FEW_BITS,
    "V3_X4_R4_G4_B4.bmp": FEW_BITS,
    "V3_X4_R4_G4_B4_Top_Down.bmp": FEW_BITS,
    "V3_X8_R8_G8_B8.bmp": NOTHING,
    "V3_X8_R8_G8_B8_Top_Down.bmp": NOTHING,
    "V4_24_Bit.bmp": NOTHING,
    "V4_A8_R8_G8_B8.bmp": NOTHING,
    "V4_R5_G6_B5.bmp": FEW_BITS,
    "V5_24_Bit.bmp": NOTHING,
    "V5_A1_R5_G5_B5.bmp": FEW_BITS,
    "V5_A8_R8_G8_B8_Rgb.bmp": NOTHING,
    "V5_A8_R8_G8_B8_Rgb_BadMask.bmp": NOTHING,  # masks that BI_RGB does not use
    "badplanes.bmp": ONE_BIT,  # the number of planes, which is always 1 and nobody uses
    "pal2.bmp": PALETTE,
    "pal2color.bmp": PALETTE,
    "pal4rle.bmp": PALETTE,
    "pal4rlecut.bmp": "1946 px that the file leaves out",
    "pal4rletrns.bmp": "416 px that the file leaves out",
    "pal8os2-hs.bmp": PALETTE,
    "pal8os2-sz.bmp": PALETTE,
    "pal8os2sp.bmp": PALETTE,
    "pal8oversizepal.bmp": PALETTE,
    "pal8rle.bmp": PALETTE,
    "pal8v4.bmp": PALETTE,
    "pal8v5.bmp": PALETTE,
    "rgb16-231.bmp": FEW_BITS,
    "rgb16-565.bmp": FEW_BITS,
    "rgb16-880.bmp": FEW_BITS,
    "rgb16.bmp": FEW_BITS,
    "rgb24.bmp": NOTHING,
    "rgb24prof.bmp": NOTHING,
    "rgb24prof2.bmp": NOTHING,
    "rgb32.bmp": NOTHING,
    "rgb32bf.bmp": NOTHING,
    "rgba32.bmp": NOTHING,
    "rgba32abf.bmp": NOTHING,
    "rletopdown.bmp": PALETTE,
    "acid2.png": TRANSPARENT,
    "ball.png": ANIMATION,
    "basi0g16.png": NOTHING,
    "basi2c08.png": NOTHING,
    "basn2c16.png": NOTHING,
    "basn6a16.png": NOTHING,
    "debug_triangle_corners_widescreen.png": NOTHING,
    "dispose-background-blend-source.png": ANIMATION,
    "dispose-previous-blend-source.png": ANIMATION,
    "fcTL-blend-source-transparent.png": ANIMATION,
    "fcTL-dispose-in-region-background.png": ANIMATION,
    "fcTL-dispose-in-region-none.png": ANIMATION,
    "fcTL-dispose-in-region-previous.png": ANIMATION,
    "iptc.png": NOTHING,
    "issue#2026.png": NOTHING,
    "issue#403.png": PALETTE,
    "rgba16.png": ANIMATION,
    "tbbn0g04.png": "4-bit values expanded",
    "tbbn3p08.png": TRANSPARENT,
    "tbgn3p08.png": TRANSPARENT,
    "tbrn2c08.png": TRANSPARENT,
    "tbwn3p08.png": TRANSPARENT,
    "tbyn3p08.png": TRANSPARENT,
    "tm3n3p02.png": TRANSPARENT,
    "tp0n0g08.png": NOTHING,
    "tp0n2c08.png": NOTHING,
    "tp0n3p08.png": PALETTE,
    "tp1n3p08.png": TRANSPARENT,
    "tp1n3p08_xmp.png": TRANSPARENT,
    "fax4.tiff": "1-bit values expanded",
    "hpredict.tiff": NOTHING,
    "hpredict_packbits.tiff": NOTHING,
    "l1.tiff": "1-bit values expanded",
    "l1_xmp.tiff": "1-bit values expanded",
    "planar.tiff": NOTHING,
    "rgb-3c-16b.tiff": "guessed from the data",
    "rgb32f_bw.tiff": NOTHING,
    "rgb32f_color.tiff": "taken from the data",
    "ycbcr_jpeg_8bit.tif": NOTHING,
}

# name without "image-rs__" -> code, and what the error must say
REFUSED = {
    "badpalettesize.bmp": ("E-IN-CORRUPT", "palette of 305,402,420 colours"),
    "badrle.bmp": ("E-IN-CORRUPT", "a run of 32 px at row 0, column 113"),  # of 127
    "imagemagick_invalid_run_length_issue_2321.bmp": ("E-IN-CORRUPT", "a run of 28 px at row 0, column 0"),  # of 25
    "pal8badindex.bmp": ("E-IN-CORRUPT", "colour 252 of a palette of 101"),
    "rle_overflow.bmp": ("E-IN-CORRUPT", "a run of 3 px at row 0, column 0"),  # of 2
    "rgb24rle24.bmp": ("E-IN-CODEC", "RLE24"),
    "rgb32-111110.bmp": ("E-IN-UNSUPPORTED", "more than 8 bits a channel"),
    "rgba16-1924.bmp": ("E-IN-UNSUPPORTED", "more than 8 bits a channel"),
    "rgba32-61754.bmp": ("E-IN-UNSUPPORTED", "more than 8 bits a channel"),
    "cmyk_u8_edge_case.tif": ("E-IN-UNSUPPORTED", "CMYK"),
    "cmyk_u8_trunc_case.tif": ("E-IN-UNSUPPORTED", "CMYK"),
    "ycbcr_lzw_broken.tif": ("E-IN-UNSUPPORTED", "YCbCr without JPEG"),
    "ycbcr_lzw_bt709.tif": ("E-IN-UNSUPPORTED", "YCbCr without JPEG"),
}

# BMP files that no other reader here takes -> a file of the same suite with the same picture
SAME_PICTURE = {"rgba32abf.bmp": "rgba32.bmp", "pal8oversizepal.bmp": "pal8v4.bmp"}
NO_PALETTE_TWIN = {"pal2.bmp", "pal2color.bmp", "pal4rlecut.bmp", "rgb16-880.bmp"}  # looked at, see below


def path_of(shared_data: Path, name: str) -> Path:
    return shared_data / "odd_files" / (name if name.startswith("exif-orientation") else f"image-rs__{name}")


def samples(image: Image) -> np.ndarray:
    return joined(image.pixels, image.axes, image.alpha)


def pillow(path: Path) -> np.ndarray | None:
    """(h, w, c) by Pillow, or None if it does not read the file, or drops something of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Pillow.open(path) as opened:
                opened = opened.convert("RGBA") if "transparency" in opened.info else opened
                opened = opened.convert("RGB") if opened.mode == "P" else opened
                array = np.asarray(opened.convert("L") if opened.mode == "1" else opened)
        except (OSError, ValueError):
            return None
    return array if array.ndim == 3 else array[..., None]


def codec(path: Path) -> np.ndarray | None:
    """(h, w, c) by imagecodecs or tifffile, or None."""
    try:
        if path.suffix in (".tif", ".tiff"):
            array = tifffile.imread(path)
            array = array * np.uint8(255) if array.dtype == bool else array
            array = array.transpose(1, 2, 0) if array.shape[0] == 3 else array
        elif "880" in path.name:
            return None  # imagecodecs divides by zero here, and takes the process with it
        else:
            decoders = {
                ".png": imagecodecs.png_decode,
                ".jpg": imagecodecs.jpeg8_decode,
                ".bmp": imagecodecs.bmp_decode,
            }
            array = decoders[path.suffix](path.read_bytes())
    except (RuntimeError, IndexError):
        return None
    return array if array.ndim == 3 else array[..., None]


def matches(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Equal, up to grays that the other reader repeats as colours."""
    if ours.shape[-1] in (1, 2) and theirs.shape[-1] in (3, 4):
        ours = ours[..., [0, 0, 0, 1][: theirs.shape[-1]]]
    return ours.dtype == theirs.dtype and np.array_equal(ours, theirs)


def test_the_tables_are_complete(shared_data):
    names = {path.name.removeprefix("image-rs__") for path in (shared_data / "odd_files").iterdir()}
    assert names == {*READ, *REFUSED, *ORIENTED}
    assert len(names) == 133


@pytest.mark.parametrize("name", [*READ, *ORIENTED])
def test_read_files_equal_what_trusted_readers_give(shared_data, name):
    path = path_of(shared_data, name)
    image = read_image(path)
    ours = samples(image)
    trusted = [array for array in (pillow(path), codec(path)) if array is not None]
    agreeing = [array for array in trusted if matches(ours, array)]
    if name in SAME_PICTURE:
        agreeing = [samples(read_image(path_of(shared_data, SAME_PICTURE[name])))]
        assert np.array_equal(ours, agreeing[0])
    assert agreeing or name in NO_PALETTE_TWIN
    assert ours.dtype == np.uint8 or all(array.dtype == np.uint8 or array.dtype == ours.dtype for array in trusted)


@pytest.mark.parametrize("name", [name for name, note in READ.items() if note])
def test_what_was_changed_is_noted(shared_data, name):
    assert any(READ[name] in note for note in read_image(path_of(shared_data, name)).notes)


@pytest.mark.parametrize("name", [name for name, note in READ.items() if not note])
def test_plain_files_have_no_notes(shared_data, name):
    notes = [note for note in read_image(path_of(shared_data, name)).notes if "guessed" not in note]
    assert notes == []


@pytest.mark.parametrize("name", REFUSED)
def test_refused_files_say_why(shared_data, name):
    code, reason = REFUSED[name]
    path = path_of(shared_data, name)
    with pytest.raises(DgnoError) as caught:
        read_image(path)
    assert caught.value.code == code
    assert reason in str(caught.value) and path.name in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("name", ORIENTED)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".ome.tif"])
def test_orientation_is_kept_as_a_tag(shared_data, tmp_path, name, suffix):
    image = read_image(path_of(shared_data, name))
    wanted = max(ORIENTED[name], 1)
    assert image.stored.orientation == wanted
    assert any("orientation" in note for note in image.notes) == (wanted != 1)
    small = Image(image.pixels[:16, :24].copy(), "YXS", (0, 255), stored=image.stored)
    write_image(tmp_path / f"x{suffix}", small)
    assert read_image(tmp_path / f"x{suffix}").stored.orientation == wanted
    with Pillow.open(tmp_path / f"x{suffix}") as opened:
        assert max(opened.getexif().get(274, 1), 1) == wanted


def test_the_pictures_without_another_reader(shared_data):
    """Looked at: a chart of colours with the letters BMP. Here: they resemble their sisters of other depths."""
    reference = samples(read_image(path_of(shared_data, "rgb24.bmp"))).astype(float)
    green = samples(read_image(path_of(shared_data, "rgb16-880.bmp"))).astype(float)
    assert np.abs(green[..., :2] - reference[..., :2]).max() <= 8  # 8 bits of red and green
    assert (green[..., 2] == 0).all()  # and none of blue
    coarse = samples(read_image(path_of(shared_data, "pal2.bmp")))
    assert coarse.shape == (64, 127, 1) and set(np.unique(coarse)) <= {0, 85, 170, 255}
    cut = samples(read_image(path_of(shared_data, "pal4rlecut.bmp")))
    whole = samples(read_image(path_of(shared_data, "pal4rle.bmp")))
    assert (cut == whole).all(-1).mean() > 0.75


def test_profiles_are_kept(shared_data):
    for name in ("rgb24prof.bmp", "rgb24prof2.bmp", "cat.jpg", "portrait_2.jpg", "test.jpg"):
        profile = read_image(path_of(shared_data, name)).icc_profile
        assert profile is not None and profile[36:40] == b"acsp"
