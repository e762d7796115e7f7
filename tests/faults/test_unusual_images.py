"""RELIABILITY 3B: images that are unusual but legal go through reading, normalising, a restorer and writing unharmed.

The restorer is the identity, so that every pixel and every alpha value must come back bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from dgno.arrays import Image, percentile_affine, range_affine, restored_plane, to_tensor
from dgno.errors import DgnoError, InputTooLarge, UnsupportedInput
from dgno.io.image import read_image, read_images, write_images
from dgno.io.limits import Limits
from dgno.restorable import check_restorable

RNG = np.random.default_rng(3)
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
FLOATS = ("float16", "float32", "float64")


@dataclass(frozen=True)
class Case:
    """`make` writes a file that must be read with `note` among the notes, or, if `code` is set, not be restored."""

    id: str
    name: str
    make: Callable[[Path], object]
    note: str = ""
    code: str = ""


def tiff(values: np.ndarray, **arguments: object) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, values, **{"metadata": None, "photometric": "minisblack", **arguments})


def noise(dtype: str, *shape: int) -> np.ndarray:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (RNG.normal(size=shape) * 1000).astype(kind)
    return RNG.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def with_value(value: float, dtype: str = "float32") -> np.ndarray:
    values = noise(dtype, 9, 8)
    values[4, 5] = value
    return values


def labels() -> np.ndarray:
    return np.kron(np.arange(1, 65).reshape(8, 8), np.pad(np.ones((24, 24), int), 4)).astype(np.uint16)


def pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for size in (64, 32, 50):
            writer.write(noise("uint16", size, size), metadata=None)


def pillow(mode: str) -> Callable[[Path], object]:
    samples = 1 if mode in ("L", "P", "1") else len(mode)
    image = Pillow.fromarray(noise("uint8", 33, 31, samples).squeeze())
    return lambda path: (image.quantize(9) if mode == "P" else image.convert(mode)).save(path)


UNSUPPORTED = "E-IN-UNSUPPORTED"  # unless it is allowed
ONE_CHANNEL = {"extrasamples": ["assocalpha"], "photometric": "rgb"}
CASES = [
    *[
        Case("B01", f"constant {v} {d}.tif", tiff(np.full((40, 40), v, d)))
        for d in ("uint8", "uint16")
        for v in (0, 99, 255)
    ],
    Case("B01", "constant float.tif", tiff(np.full((40, 40), 5.0))),
    Case("B02", "NaN.tif", tiff(with_value(np.nan)), code="E-IN-NONFINITE"),
    Case("B02", "infinity.tif", tiff(with_value(np.inf)), code="E-IN-NONFINITE"),
    Case("B02", "-infinity.tif", tiff(with_value(-np.inf, "float64")), code="E-IN-NONFINITE"),
    *[Case("B03", f"{h} x {w}.tif", tiff(noise("uint16", h, w))) for h, w in ((1, 1), (1, 9), (9, 1), (2, 3), (7, 9))],
    *[Case("B04", f"{h} x {w}.tif", tiff(noise("uint8", h, w))) for h, w in ((31, 33), (32, 64), (521, 97))],
    *[
        Case("B05", f"{b} bits.tif", tiff(noise("uint16", 40, 40) >> (16 - b)), f"({b} bits) guessed")
        for b in (10, 12, 14)
    ],
    *[Case("B06", f"{d}.tif", tiff(noise(d, 40, 41))) for d in (*INTEGERS, *FLOATS)],
    *[Case("B06", f"{d} colours.tif", tiff(noise(d, 40, 41, 3), photometric="rgb")) for d in (*INTEGERS, *FLOATS)],
    Case("B06", "bool.tif", tiff(noise("uint8", 40, 41) > 99), "1-bit values expanded", UNSUPPORTED),
    Case("B06", "labels.tif", tiff(labels()), code=UNSUPPORTED),
    Case("B07", "-5 to 3e4.tif", tiff(np.linspace(-5, 3e4, 1600, dtype=np.float32).reshape(40, 40)), "-5 to 30000"),
    Case("B08", "alpha.tif", tiff(noise("uint8", 40, 41, 4), photometric="rgb", extrasamples=["unassalpha"])),
    Case("B08", "premultiplied.tif", tiff(noise("uint16", 40, 41, 4), **ONE_CHANNEL)),
    Case("B08", "gray and alpha.png", pillow("LA")),
    Case("B09", "palette.png", pillow("P"), "palette expanded"),
    Case("B09", "1 bit.png", pillow("1"), "1-bit values expanded", UNSUPPORTED),
    Case(
        "B10",
        "big-endian tiles.tif",
        tiff(noise("uint16", 70, 41), byteorder=">", tile=(16, 16), compression="zlib", predictor=2),
    ),
    Case("B10", "planar.tif", tiff(noise("uint8", 3, 40, 41), photometric="rgb", planarconfig="separate")),
    Case("B10", "min is white.tif", tiff(noise("uint8", 40, 41), photometric="miniswhite"), "white as 0"),
    Case("B11", "7 channels.tif", tiff(noise("uint16", 40, 41, 7), planarconfig="contig")),
    Case("B12", "stack.tif", tiff(noise("uint16", 5, 40, 41))),
    Case("B12", "mixed sizes.tif", pages),
    Case("B15", "1 x 100,000.tif", tiff(noise("uint8", 1, 100_000))),
    Case("B15", "65,536 x 4.png", lambda path: Pillow.fromarray(noise("uint8", 4, 65_536)).save(path)),
    Case("B16", "no pixel size.tif", tiff(noise("uint8", 9, 8), resolution=(0, 0), resolutionunit="INCH"), "is 0 x 0"),
    Case(
        "B16", "a metre.tif", tiff(noise("uint8", 9, 8), resolution=(0.01, 0.01), resolutionunit="CENTIMETER"), "absurd"
    ),
    Case(
        "B16",
        "not square.tif",
        tiff(noise("uint8", 9, 8), resolution=(1e4, 9e3), resolutionunit="CENTIMETER"),
        "not square",
    ),
    Case("B20", "hot pixel.tif", tiff(with_value(65535, "uint16"))),
    Case("B21", "subnormals.tif", tiff(noise("float32", 9, 8) * np.float32(1e-42))),
    Case("B21", "-0.0.tif", tiff(np.full((9, 8), -0.0, np.float32))),
    Case("B21", "3e38.tif", tiff(with_value(3e38))),
    Case("B21", "1e300.tif", tiff(with_value(1e300, "float64")), code="E-IN-RANGE"),
]


@pytest.fixture(autouse=True)
def without_sync(monkeypatch):
    """Waiting for the disk takes most of the time of small files; test_outputs.py tests that it is done."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def through_the_identity(image: Image, affine) -> Image:
    """What a restorer makes of an image that changes nothing."""
    planes = []
    for plane, opacity in zip(image.planes(), image.opacities(), strict=True):
        normalisation = affine(image)
        given = to_tensor(plane, normalisation, opacity=opacity)
        assert given.isfinite().all()
        arguments = {"affine": normalisation, "ends": image.ends, "opacity": opacity}
        planes.append(restored_plane(plane, given, given.clone(), **arguments)[0])
    return image.with_planes(planes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.id} {case.name}")
@pytest.mark.parametrize("affine", [range_affine, percentile_affine], ids=lambda f: f.__name__)
def test_unusual_images_go_through_unharmed(tmp_path, case, affine):
    path = tmp_path / case.name
    case.make(path)
    images = read_images(path)
    assert any(case.note in note for image in images for note in image.notes) or not case.note
    try:
        for image in images:
            check_restorable(image, allow_labels=case.code == UNSUPPORTED)
        if case.code == UNSUPPORTED:
            with pytest.raises(UnsupportedInput):
                check_restorable(images[0])
    except DgnoError as error:
        assert error.code == case.code
        return
    assert case.code in ("", UNSUPPORTED)
    write_images(tmp_path / f"out{path.suffix}", [through_the_identity(image, affine) for image in images])
    found = read_images(tmp_path / f"out{path.suffix}")
    assert len(found) == len(images)
    for one, image in zip(found, images, strict=True):
        assert (one.axes, one.pixels.dtype, one.alpha_kind) == (image.axes, image.pixels.dtype, image.alpha_kind)
        assert one.pixels.tobytes() == image.pixels.tobytes()
        assert one.value_range == image.value_range
        np.testing.assert_array_equal(one.alpha, image.alpha)


def test_b14_100_000_squared_is_refused_in_memory_and_the_flag_is_named(tmp_path):
    """A sparse file of one tile row; streaming such files is the slide reader's work."""
    path = tmp_path / "huge.tif"
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(
            iter([b"\0" * 10] * 25), shape=(100_000, 100_000), dtype="uint8", tile=(20_000, 20_000), compression="zlib"
        )
    with pytest.raises(InputTooLarge, match=r"100000 x 100000 is 10,000,000,000 px.*--max-pixels"):
        read_image(path)


def test_limits_are_the_caller_s_to_set(tmp_path):
    tiff(noise("uint8", 64, 64))(tmp_path / "x.tif")
    with pytest.raises(InputTooLarge, match="4,096 px; the limit is 4,095 px"):
        read_image(tmp_path / "x.tif", limits=Limits(pixels=4095))
    assert read_image(tmp_path / "x.tif", limits=Limits(pixels=4096)).pixels.shape == (64, 64)


def test_b09_profiles_are_copied_unchanged(tmp_path):
    profile = bytes(range(256)) * 3
    Pillow.fromarray(noise("uint8", 9, 8, 3)).save(tmp_path / "x.png", icc_profile=profile)
    image = read_image(tmp_path / "x.png")
    for suffix in (".png", ".jpg", ".tif", ".ome.tif"):
        write_images(tmp_path / f"out{suffix}", [image])
        with Pillow.open(tmp_path / f"out{suffix}") as opened:
            assert opened.info["icc_profile"] == profile


def test_b06_real_labels_are_refused_and_real_images_are_not(shared_data):
    folders = [shared_data / "test" / name for name in ("dsb_fluorescence", "dsb_he")]
    for file in (file for folder in folders for file in sorted((folder / "labels").iterdir())):
        with pytest.raises(UnsupportedInput, match="labels"):
            check_restorable(read_image(file))
        check_restorable(read_image(file), allow_labels=True)
    files = [file for folder in folders for file in sorted((folder / "images").iterdir())]
    for kind in ("fluorescence", "he", "ihc", "cytology"):
        files += sorted((shared_data / "train" / kind).iterdir())[::12]
    for file in files:
        check_restorable(read_image(file))
