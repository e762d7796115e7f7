"""Names of simulated pairs: of their sources, and no two alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from dgno.arrays import Image
from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.simulated import write_pairs
from dgno.errors import OutputCollision, WouldOverwriteInput
from dgno.io.image import write_image
from dgno.optics.simulate import BlurRange

RANGES = BlurRange(sigma=(1.0, 3.0), photons=(2000.0, 2000.0), read_noise=(0.005, 0.005))


def sharp_file(path: Path) -> Path:
    """A gray image."""
    write_image(path, Image(np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8), "YX", (0.0, 255.0)))
    return path


def test_a_source_is_never_overwritten(tmp_path: Path) -> None:
    """Also where overwriting was asked for: the folder of sharp images may not be that of the pairs."""
    (tmp_path / "sharp").mkdir()
    source = sharp_file(tmp_path / "sharp" / "a.tif")
    before = source.read_bytes()
    with pytest.raises(WouldOverwriteInput):
        write_pairs([source], tmp_path, RANGES, overwrite=True)
    assert source.read_bytes() == before


def test_sources_of_one_stem_make_pairs_of_their_whole_names(tmp_path: Path) -> None:
    sources = [sharp_file(tmp_path / name) for name in ("a.png", "A.tif", "b.tif")]
    lines = write_pairs(sources, tmp_path / "out", RANGES)
    assert [line.name for line in lines] == ["a.png", "A.tif", "b"]
    assert all((tmp_path / "out" / "blurred" / f"{line.name}.tif").is_file() for line in lines)
    assert sorted(record.key for record in read_folder_pair(tmp_path / "out")) == ["A.tif", "a.png", "b"]


@pytest.mark.parametrize("second", ["b/a.png", "b/A.png", "A.png"])
def test_two_sources_of_one_name_are_refused_before_anything_is_written(tmp_path: Path, second: str) -> None:
    """Upper and lower case are one name to some file systems."""
    (tmp_path / "b").mkdir()
    sources = [sharp_file(tmp_path / "a.png"), sharp_file(tmp_path / second)]
    with pytest.raises(OutputCollision, match="would share the name"):
        write_pairs(sources, tmp_path / "out", RANGES)
    assert not (tmp_path / "out").exists()


def test_a_plane_and_an_image_of_one_name_are_refused(tmp_path: Path) -> None:
    """The planes of m.tif are called m_p0000 and so on."""
    tifffile.imwrite(
        tmp_path / "m.tif",
        np.random.default_rng(0).integers(0, 255, (2, 40, 50), dtype=np.uint8),
        photometric="minisblack",
    )
    sharp_file(tmp_path / "m_p0000.tif")
    with pytest.raises(OutputCollision, match="would share the name"):
        write_pairs([tmp_path / "m.tif", tmp_path / "m_p0000.tif"], tmp_path / "out", RANGES, overwrite=True)
