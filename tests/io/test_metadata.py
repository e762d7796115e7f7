"""What files say of their pixels: resolutions, ranges, palettes and profiles; and nonsense among it."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
import pytest
import tifffile
from ome_files import RNG, STACK, ome, write_ome
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from dgno.arrays import Image
from dgno.io import pixel_size
from dgno.io.image import read_image, write_image
from dgno.io.output import losses

# --- pixel size ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows, columns, is_known, note",
    [
        (0.25, 0.25, True, ""),
        (0.25, 0.26, True, "not square"),
        (0.25, 0.252, True, ""),
        (85, 85, True, "unlikely"),
        (0, 0, False, "absurd"),
        (-1, 1, False, "absurd"),
        (math.nan, 1, False, "absurd"),
        (math.inf, math.inf, False, "absurd"),
        (1001, 1001, False, "absurd"),
        (0.0009, 0.0009, False, "absurd"),
    ],
)
def test_pixel_sizes_are_checked(rows, columns, is_known, note):
    size, notes = pixel_size.checked(rows, columns, source="test")
    assert size == ((rows, columns) if is_known else None)
    assert [note in text for text in notes] == ([True] if note else [])


@pytest.mark.parametrize("density", [72, 96, 72.009, 95.987])
def test_densities_of_screens_are_no_pixel_sizes(density):
    assert pixel_size.from_density(density, density, 25400, source="test") == (None, ())
    assert pixel_size.from_density(density / 2.54, density / 2.54, 1e4, source="test") == (None, ())


@pytest.mark.parametrize("density", [(0, 0), (0, 300), (math.inf, 300), (math.nan, 300), (-300, 300)])
def test_densities_that_are_none_leave_the_size_unknown(density):
    size, notes = pixel_size.from_density(*density, 25400, source="test")
    assert size is None and notes[0].startswith("pixel size unknown: the resolution (test) is")


ODD_SIZES = [
    ("1", "pixel", "its unit 'pixel' is no length"),
    ("1", "reference frame", "its unit 'reference frame' is no length"),
    ("0,25", "µm", "'0,25' is no number"),
    ("nan", "µm", "absurd"),
    ("0.25", "Mm", "absurd"),
    ("250", "Pm", "absurd"),
    ("0.25", "furlong" * 9, f"its unit '{('furlong' * 9)[:40]}' is no length"),
]


@pytest.mark.parametrize("size, unit, why", ODD_SIZES)
def test_the_note_names_what_ome_says_in_place_of_a_length(tmp_path, size, unit, why):
    said = "".join(f' PhysicalSize{axis}="{size}" PhysicalSize{axis}Unit="{unit}"' for axis in "XY")
    write_ome(tmp_path / "x.ome.tif", ome(more=said))
    found = read_image(tmp_path / "x.ome.tif")
    assert found.pixel_size is None and any(why in note for note in found.notes)
    write_image(tmp_path / "y.ome.tif", found)
    is_number = size in ("1", "0.25", "250")  # other texts would make the document invalid
    assert ("PhysicalSizeX=" in tifffile.tiffcomment(tmp_path / "y.ome.tif")) == is_number


def test_who_gives_the_pixel_size_reads_nothing_of_the_files_own():
    said = [
        *pixel_size.checked(85, 80, source="test")[1],
        *pixel_size.checked(0, 0, source="test")[1],
        *pixel_size.from_density(0, 0, 1.0, source="test")[1],
    ]
    assert len(said) == 4
    assert pixel_size.overruled(["another", *said]) == ("another",)


@pytest.mark.parametrize("unit, micrometres", [("INCH", 25400), ("CENTIMETER", 1e4)])
def test_resolution_of_tiff(tmp_path, unit, micrometres):
    resolution = (micrometres / 0.5, micrometres / 0.25)
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], resolution=resolution, resolutionunit=unit)
    np.testing.assert_allclose(read_image(tmp_path / "x.tif").pixel_size, (0.25, 0.5), rtol=1e-6)
    tifffile.imwrite(tmp_path / "x.tif", STACK[0], resolution=(4, 4), resolutionunit="NONE")
    found = read_image(tmp_path / "x.tif")
    assert found.pixel_size is None and found.stored.resolution == (4, 4, 1)
    write_image(tmp_path / "y.tif", found)
    assert read_image(tmp_path / "y.tif").stored.resolution == (4, 4, 1)


def test_resolution_of_png_and_jpeg_and_bmp(tmp_path):
    image = Pillow.fromarray(STACK[0].astype(np.uint8))
    for suffix in (".png", ".jpg", ".bmp"):
        image.save(tmp_path / f"x{suffix}", dpi=(50800, 50800))
        np.testing.assert_allclose(read_image(tmp_path / f"x{suffix}").pixel_size, (0.5, 0.5), rtol=1e-4)
        image.save(tmp_path / f"x{suffix}", dpi=(96, 96))
        assert read_image(tmp_path / f"x{suffix}").pixel_size is None
        image.save(tmp_path / f"x{suffix}")
        assert read_image(tmp_path / f"x{suffix}").pixel_size is None


@pytest.mark.parametrize("dpi", [(72, 72), (96, 96), (300, 300), (600, 300), (50800, 25400)])
@pytest.mark.parametrize("came", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_resolution_is_kept(tmp_path, dpi, came, suffix):
    """As pixel size, and as other programs read it: also the density of a screen, which is no pixel size."""
    Pillow.fromarray(STACK[0].astype(np.uint8)).save(tmp_path / f"x{came}", dpi=dpi)
    image = read_image(tmp_path / f"x{came}")
    write_image(tmp_path / f"y{suffix}", image)
    found = read_image(tmp_path / f"y{suffix}").pixel_size
    if image.pixel_size is None or found is None:
        assert (image.pixel_size, found) == (None, None)
    else:
        np.testing.assert_allclose(found, image.pixel_size, rtol=1e-5)
    with Pillow.open(tmp_path / f"y{suffix}") as opened:
        np.testing.assert_allclose([float(value) for value in opened.info["dpi"]], dpi, rtol=2e-4)


@pytest.mark.parametrize("unit, density", [(1, 300), (1, 72), (2, 118), (2, 20000), (0, 1)])
def test_jpeg_keeps_its_unit(tmp_path, unit, density):
    Pillow.fromarray(STACK[0].astype(np.uint8)).save(tmp_path / "x.jpg", dpi=(300, 300))
    data = bytearray((tmp_path / "x.jpg").read_bytes())
    data[13:18] = struct.pack(">BHH", unit, density, density)
    (tmp_path / "x.jpg").write_bytes(data)
    write_image(tmp_path / "y.jpg", read_image(tmp_path / "x.jpg"))
    assert (tmp_path / "y.jpg").read_bytes()[13:18] == data[13:18]


def test_jpeg_says_when_it_cannot_hold_a_pixel_size(tmp_path):
    image = Image(np.zeros((9, 8), np.uint8), "YX", (0, 255), pixel_size=(0.1, 0.1))
    notes = write_image(tmp_path / "x.jpg", image)
    assert any("below 0.153 um" in note for note in notes)
    assert read_image(tmp_path / "x.jpg").pixel_size is None


# --- value range ---------------------------------------------------------------------------------------------------


def tagged(path, values: np.ndarray, low: float, high: float, code: str = "H") -> None:
    tifffile.imwrite(path, values, extratags=[(340, code, 1, low, False), (341, code, 1, high, False)], metadata=None)


def test_ranges_come_from_the_file_if_it_says_so(tmp_path):
    tagged(tmp_path / "x.tif", STACK[0] // 8, 0, 4095)
    found = read_image(tmp_path / "x.tif")
    assert found.value_range == (0, 4095) and found.notes == ()
    tagged(tmp_path / "x.tif", STACK[0].astype(np.float32), -1.0, 5000.0, "f")
    assert read_image(tmp_path / "x.tif").value_range == (-1, 5000)


@pytest.mark.parametrize("low, high", [(0, 255), (9, 9), (4095, 0)])
def test_ranges_that_do_not_hold_are_not_used(tmp_path, low, high):
    tagged(tmp_path / "x.tif", STACK[0], low, high)
    found = read_image(tmp_path / "x.tif")
    assert found.value_range == (0, 4095)
    assert "which they do not" in found.notes[0] and "guessed" in found.notes[1]


def test_16_significant_bits_of_16_say_nothing(tmp_path):
    write_ome(tmp_path / "x.ome.tif", ome(more='SignificantBits="16"'))
    found = read_image(tmp_path / "x.ome.tif")
    assert found.value_range == (0, 4095) and "12 bits" in found.notes[0]


def png(pixels: np.ndarray, *extra: tuple[bytes, bytes]) -> bytes:
    """A gray 16-bit PNG with further chunks."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))
    parts = [(b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_sbit_of_png(tmp_path):
    (tmp_path / "x.png").write_bytes(png(STACK[0] // 8, (b"sBIT", b"\x0c")))
    assert read_image(tmp_path / "x.png").value_range == (0, 4095)
    (tmp_path / "x.png").write_bytes(png(STACK[0] * 16, (b"sBIT", b"\x0c")))
    assert read_image(tmp_path / "x.png").value_range == (0, 65535)  # stretched, as the standard has it


# --- PNG and JPEG --------------------------------------------------------------------------------------------------


GAMMA, SRGB_GAMMA = struct.pack(">I", 100000), struct.pack(">I", 45455)
ADOBE = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)


@pytest.mark.parametrize(("chunks", "is_told"), [
    ({b"gAMA": GAMMA, b"cHRM": ADOBE}, True),
    ({b"gAMA": GAMMA}, True),
    ({b"cICP": bytes([9, 16, 0, 1])}, True),
    ({b"gAMA": SRGB_GAMMA}, False),
    ({b"sRGB": b"\0", b"gAMA": SRGB_GAMMA}, False),
    ({b"gAMA": b"\0"}, False),
])  # fmt: skip
def test_png_says_how_its_values_are_seen(tmp_path, chunks, is_told):
    """PNG keeps it as it came; the others say if colours may look different."""
    info = PngInfo()
    for kind, payload in chunks.items():
        info.add(kind, payload)
    Pillow.fromarray(RNG.integers(0, 255, (5, 6, 3), np.uint8)).save(tmp_path / "x.png", pnginfo=info)
    image = read_image(tmp_path / "x.png")
    write_image(tmp_path / "y.png", image)
    whole = {kind: payload for kind, payload in chunks.items() if payload != b"\0" or kind == b"sRGB"}
    assert read_image(tmp_path / "y.png").stored.png_colour == image.stored.png_colour == whole
    written, before = (tmp_path / "y.png").read_bytes(), b"IDAT"
    assert all(-1 < written.index(kind + payload) < written.index(before) for kind, payload in whole.items())
    told = [any("gamma" in note for note in losses(image, kind)) for kind in ("png", "tiff", "ome-tiff", "jpeg", "bmp")]
    assert told == [False, *[is_told] * 4]


def test_broken_metadata_of_png_do_not_matter(tmp_path):
    extra = [(b"iCCP", b"name\0\0not deflated"), (b"pHYs", b"short"), (b"eXIf", b"MM\0*"), (b"sBIT", b"")]
    (tmp_path / "x.png").write_bytes(png(STACK[0], *extra))
    found = read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(found.pixels, STACK[0])
    assert (found.icc_profile, found.pixel_size, found.stored.orientation) == (None, None, 1)


def test_a_deflate_bomb_in_a_profile_is_left_out(tmp_path):
    bomb = zlib.compress(bytes(200_000_000))
    (tmp_path / "x.png").write_bytes(png(STACK[0], (b"iCCP", b"name\0\0" + bomb)))
    assert read_image(tmp_path / "x.png").icc_profile is None


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_equals_what_pillow_reads(tmp_path, mode, progressive, subsampling):
    rows, columns = np.indices((50, 70))
    array = np.stack([rows * 3, columns * 3, rows + columns], -1).astype(np.uint8)
    image = Pillow.fromarray(array if mode == "RGB" else array[..., 0])
    image.save(tmp_path / "x.jpg", progressive=progressive, subsampling=subsampling, icc_profile=b"p" * 200_000)
    found = read_image(tmp_path / "x.jpg")
    with Pillow.open(tmp_path / "x.jpg") as opened:
        np.testing.assert_array_equal(found.pixels, np.asarray(opened))
    assert found.icc_profile == b"p" * 200_000 and found.value_range == (0, 255)


@pytest.mark.parametrize("has_alpha", [False, True])
def test_a_palette_of_grays_makes_a_gray_image(tmp_path, has_alpha):
    image = Pillow.fromarray(STACK[0].astype(np.uint8) % 4).convert("P")
    image.putpalette([v for gray in (9, 99, 7, 255) for v in (gray,) * 3])
    image.save(tmp_path / "x.png", **({"transparency": 2} if has_alpha else {}))
    found = read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(found.pixels, np.array([9, 99, 7, 255])[STACK[0] % 4])
    assert (found.alpha is not None) == has_alpha and "palette expanded to gray values" in found.notes
    if has_alpha:
        np.testing.assert_array_equal(found.alpha, np.array([255, 255, 0, 255])[STACK[0] % 4])


def test_every_kind_of_png_equals_what_pillow_reads(tmp_path):
    array = RNG.integers(0, 256, (21, 17, 4), dtype=np.uint8)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        samples = {"1": array[..., 0] > 99, "L": array[..., 0], "P": array[..., :3], "I;16": STACK[0]}
        image = Pillow.fromarray(samples.get(mode, array[..., : len(mode)]))
        image = image.quantize(7) if mode == "P" else image
        image.save(tmp_path / "x.png")
        found = read_image(tmp_path / "x.png")
        wanted = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
        ours = found.pixels if found.alpha is None else np.dstack([found.pixels, found.alpha])
        np.testing.assert_array_equal(ours, wanted)
