"""Pixels that nothing can be learnt from, and stacks whose sharp plane nobody has told: refused, the file named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from set_maker import save, texture

from dgno.data.layouts import read_folder_pair
from dgno.data.recorded import RecordedPairs
from dgno.data.scaling import SCALES
from dgno.data.scenes import RANGES, Augmentation, SimulatedPairs, Source
from dgno.data.simulated import file_scenes
from dgno.errors import InputError, InputOutOfRange, NonFiniteInput, UnsupportedInput
from dgno.optics.simulate import BlurRange

SHAPE = (40, 50)


def spoilt(value: float, dtype: type = np.float32) -> np.ndarray:
    image = (np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) / 2000).astype(dtype)
    image[3, 4] = value
    return image


def sharp_images(root: Path, *, channels: int = 1, scale: str = "dtype") -> SimulatedPairs:
    return SimulatedPairs(
        root, [Source("*.tif", range=scale)], channels=channels, blur=BlurRange(), augmentation=Augmentation()
    )


@pytest.mark.parametrize("scale", RANGES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_sharp_images_that_are_not_finite(tmp_path: Path, value: float, scale: str) -> None:
    save(tmp_path / "a.tif", spoilt(value))
    with pytest.raises(NonFiniteInput, match=r"the first at Y 3, X 4 \(.*a\.tif\); correct the image"):
        sharp_images(tmp_path, scale=scale)
    with pytest.raises(NonFiniteInput, match=r"a\.tif"):
        list(file_scenes(tmp_path / "a.tif", "a", "auto"))


def test_every_image_of_a_file_is_simulated(tmp_path: Path) -> None:
    """Pages of several sizes are images of their own."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for shape in ((40, 50), (40, 50, 3), (30, 20)):
            file.write(np.random.default_rng(0).integers(0, 255, shape, np.uint8))
    drawn = [(named.name, tuple(named.scene.shape)) for named in file_scenes(tmp_path / "a.tif", "a", "auto")]
    assert drawn == [("a_p0000", (1, 40, 50)), ("a_p0001", (3, 40, 50)), ("a_p0002", (1, 30, 20))]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("side", ["blur", "sharp"])
@pytest.mark.parametrize(
    ("image", "error"),
    [(spoilt(np.nan), NonFiniteInput), (spoilt(1e39, np.float64), InputOutOfRange)],
    ids=["nan", "1e39"],
)
def test_pairs_that_are_not_finite(
    tmp_path: Path, image: np.ndarray, error: type[InputError], side: str, scale: str
) -> None:
    for folder in ("blur", "sharp"):
        save(tmp_path / folder / "1.tif", image if folder == side else spoilt(0.5, image.dtype.type))
    pairs = RecordedPairs(read_folder_pair(tmp_path), channels=1, scale=scale)
    with pytest.raises(error, match=rf"{side}/1\.tif\).*; correct the image"):
        pairs.batch(8, 1, seed=0, step=0)


@pytest.mark.parametrize("axes", ["CYX", "TYX"])
def test_every_channel_and_frame_is_a_scene(tmp_path: Path, axes: str) -> None:
    planes = (
        np.stack([texture(i, SHAPE) for i in range(3)]).astype(np.uint16) + np.arange(3, dtype=np.uint16)[:, None, None]
    )
    tifffile.imwrite(tmp_path / "a.tif", planes, imagej=True, metadata={"axes": axes})
    (scenes,) = sharp_images(tmp_path, scale="percentile").scenes
    assert len(scenes) == 3
    for scene, plane in zip(scenes, planes.astype(float), strict=True):
        low, high = np.percentile(plane, [0.1, 99.9])
        np.testing.assert_allclose(scene[..., 0], ((plane - low) / (high - low)).clip(0, 1.5), atol=1e-5)


def test_a_stack_through_focus_is_no_sharp_image(tmp_path: Path) -> None:
    """Its first plane would be its least sharp one."""
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.stack([texture(i, SHAPE) for i in range(3)]).astype(np.uint16),
        imagej=True,
        metadata={"axes": "ZYX"},
    )
    with pytest.raises(UnsupportedInput, match=r"a stack through focus.*a\.tif.*ZYX; save its sharp plane"):
        sharp_images(tmp_path)
