"""What outputs say of how they were made comes back from every format that has a place for it."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import tifffile
from random_images import image_of

from dgno.arrays import Image
from dgno.io.image import read_image, write_image
from dgno.io.provenance import read_provenance

PROVENANCE = {"program": "dgno", "input": "a\nb.tif", "weights": "µ", "note": 'quotes " and <tags> & {braces}'}


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.png", "a.jpg", "a.bmp", "imagej.tif"])
def test_provenance_comes_back(tmp_path, name):
    axes = "ZYX" if name == "imagej.tif" else "YX"
    image = image_of("uint8", axes, (3, 9, 8)[-len(axes) :])
    path = tmp_path / name
    write_image(path, image, provenance=PROVENANCE)
    assert read_provenance(path) == PROVENANCE
    found = read_image(path)
    assert found.axes == axes
    if not name.endswith(".jpg"):
        np.testing.assert_array_equal(found.pixels, image.pixels)
    write_image(path, found, provenance={"second": "run"}, overwrite=True)
    assert read_provenance(path) == {"second": "run"}
    write_image(path, read_image(path), overwrite=True)
    assert read_provenance(path) in (None, {"second": "run"})  # formats that keep their own metadata keep it with them


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.png", "a.jpg", "a.bmp"])
def test_texts_of_all_characters_do_no_harm(tmp_path, name):
    text = "".join(map(chr, range(256))) + "\udcff\uffff😀]]>"
    image = image_of("uint8", "CYX", (2, 9, 8), channel_names=(text, "b"))
    if "tif" not in name:
        image = image_of("uint8", "YX", (9, 8))
    write_image(tmp_path / name, image, provenance={text: text})
    ((key, value),) = read_provenance(tmp_path / name).items()
    assert key and value
    assert read_image(tmp_path / name).axes == image.axes


def test_files_without_provenance_have_none(tmp_path):
    for suffix in (".tif", ".ome.tif", ".png", ".jpg", ".bmp"):
        write_image(tmp_path / f"a{suffix}", image_of("uint8", "YX", (9, 8)))
        assert read_provenance(tmp_path / f"a{suffix}") is None
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((5, 5), np.uint8), description="a text")
    assert read_provenance(tmp_path / "other.tif") is None


@pytest.mark.parametrize("axes, alpha", [("YX", False), ("YXS", False), ("YXS", True)])
def test_other_readers_see_the_same_bmp(tmp_path, axes, alpha):
    """What stands between palette and pixels is passed over."""
    values = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    image = Image(values[..., :3] if axes == "YXS" else values[..., 0], axes, alpha=values[..., 3] if alpha else None)
    write_image(tmp_path / "a.bmp", image, provenance=PROVENANCE)
    with PIL.Image.open(tmp_path / "a.bmp") as other:
        found = np.asarray(other)
    np.testing.assert_array_equal(found, values if alpha else image.pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.bmp").pixels, image.pixels)
