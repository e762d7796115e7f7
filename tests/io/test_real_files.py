"""Real files of microscopes and slide scanners give what other readers give."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from dgno.errors import TruncatedInput
from dgno.io.image import read_image, read_images


def test_a_truncated_slide_is_refused(shared_data, tmp_path):
    for name in ("hamamatsu-dapi.ndpi", "CMU-1-Small-Region.svs"):
        whole = (shared_data / "slides" / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) * 9 // 10])
        with pytest.raises(TruncatedInput):
            read_image(tmp_path / name)


REAL = {
    "slides/CMU-1-Small-Region.svs": ("YXS", (0.499, 0.499)),
    "slides/tcga-cr-7395-ts1.svs": ("YXS", None),
    "slides/hamamatsu-dapi.ndpi": ("YXS", (1e4 / 43826, 1e4 / 43826)),
    "slides/kidney-48-5.tif": ("YXS", None),
    "slides/grey10kx5k.tif": ("YX", None),
    "slides/4D-series.ome.tiff": ("TZYX", None),
    "test/through_focus/dna_confocal_widefield_zstack.tif": ("ZCYX", (0.511878, 0.511878)),
    "test/bbbc006/z00/a01_s1_w1.tif": ("YX", None),
    "test/he_1024/example1.tif": ("YXS", None),
    "train/fluorescence/bian_embryos_grey.tif": ("YX", None),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_equal_what_tifffile_reads(shared_data, name):
    (found,) = read_images(shared_data / name)
    axes, pixel_size = REAL[name]
    wanted = tifffile.imread(shared_data / name)
    np.testing.assert_array_equal(found.pixels, wanted)
    assert found.pixels.dtype == wanted.dtype and found.axes == axes
    if pixel_size is None:
        assert found.pixel_size is None
    else:
        np.testing.assert_allclose(found.pixel_size, pixel_size, rtol=1e-5)


def test_a_real_stack_that_is_named_bmp_and_is_png(shared_data):
    files = sorted((shared_data / "test/through_focus/smear").glob("*.bmp"))
    assert len(files) == 19
    for file in files:
        found = read_image(file)
        assert found.notes[0] == "the name ends in .bmp, but the contents are PNG"
        with Pillow.open(file) as opened:
            np.testing.assert_array_equal(np.dstack([found.pixels] * 3), np.asarray(opened.convert("RGB")))
        assert found.axes == "YX"  # its palette has grays only


def test_real_png_and_jpeg_equal_what_pillow_reads(shared_data):
    for folder, pattern in (("train/he", "*.png"), ("train/cytology", "*.jpg"), ("test/bbbc006/sharp", "*.png")):
        for file in sorted((shared_data / folder).glob(pattern))[:3]:
            with Pillow.open(file) as opened:
                wanted = np.asarray(opened)
            np.testing.assert_array_equal(read_image(file).pixels, wanted[..., :3] if wanted.ndim == 3 else wanted)
