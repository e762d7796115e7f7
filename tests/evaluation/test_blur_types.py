"""Types of whole images: which crops are looked at, and how what they say is brought together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dgno.arrays import Image
from dgno.data.records import Record
from dgno.errors import ConfigError
from dgno.evaluation.blur_types import (
    TypedImage,
    crop_logits,
    crops_of,
    labels_of,
    mean_probabilities,
    typed_images,
)
from dgno.io.image import write_image
from dgno.networks import build
from dgno.networks.presets import PRESETS
from dgno.restoration.image import by_range


def numbered(shape: tuple[int, int]) -> Image:
    """No two pixels have one value."""
    return Image(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), "YX", (0.0, float(np.prod(shape))))


def test_crops_keep_the_scale_of_the_image() -> None:
    """The first lies in the middle, all are parts of the image pixel for pixel, and four lie elsewhere."""
    image = numbered((50, 61))
    crops = crops_of(image, 20, by_range, np.random.default_rng(0))
    assert crops.shape == (5, 1, 20, 20)
    values = np.rint(crops.numpy()[:, 0] * 50 * 61).astype(int)
    assert divmod(int(values[0, 0, 0]), 61) == (15, 20)
    for crop in values:
        np.testing.assert_array_equal(crop - crop[0, 0], np.add.outer(61 * np.arange(20), np.arange(20)))
    assert len({int(crop[0, 0]) for crop in values}) == 5


def test_a_small_image_is_taken_whole() -> None:
    crops = crops_of(numbered((40, 70)), 64, by_range, np.random.default_rng(0))
    assert crops.shape == (5, 1, 40, 64)


def test_probabilities_are_averaged_and_not_logits() -> None:
    logits = np.log(np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.2, 0.8], [0.2, 0.8]]]))
    assert mean_probabilities(logits) == pytest.approx(np.array([[0.7, 0.3], [0.2, 0.8]]))
    cold = mean_probabilities(logits, 0.5)  # squares, of sum 1 again: 0.81 / 0.82
    assert cold[0, 0] == pytest.approx((0.81 / 0.82 + 0.5) / 2)
    assert mean_probabilities(logits + 1000) == pytest.approx(mean_probabilities(logits))


def test_sharp_images_count_once(tmp_path: Path) -> None:
    pair = Record("a", tmp_path / "a_1", tmp_path / "a", "a", meta={"blur": "defocus"})
    moved = replace(pair, key="b", input=tmp_path / "a_2", meta={"blur": "mixed"})
    images = typed_images([pair, moved])
    assert [(image.path.name, image.label) for image in images] == [("a", 0), ("a_1", 1), ("a_2", 3)]
    assert labels_of(images).tolist() == [0, 1, 3]
    with pytest.raises(ConfigError, match="the type of blur is not told"):
        typed_images([replace(pair, meta={})])


@pytest.mark.parametrize("name", ["blur-vgg16-nano", "blur-reader"])
def test_what_is_said_of_an_image_is_said_again(name: str, tmp_path: Path) -> None:
    """By the classifier itself, of the crop in the middle; and with another seed other crops are drawn."""
    torch.manual_seed(0)
    network = build(PRESETS[name]).eval()
    pixels = np.random.default_rng(1).integers(0, 256, (80, 90, 3), np.uint8)
    write_image(tmp_path / "a.png", Image(pixels, "YXS"))
    images = [TypedImage(tmp_path / "a.png", 0)]
    logits, again, other = (crop_logits(network, images, crop=64, seed=seed) for seed in (0, 0, 1))  # type: ignore[arg-type]
    assert logits.shape == (1, 5, 4)
    np.testing.assert_array_equal(logits, again)
    np.testing.assert_array_equal(logits[:, 0], other[:, 0])
    assert not np.array_equal(logits[:, 1:], other[:, 1:])
    middle = torch.from_numpy(pixels[8:72, 13:77].transpose(2, 0, 1)[None] / np.float32(255))
    with torch.no_grad():
        expected = network.classify(middle)  # type: ignore[union-attr]
    np.testing.assert_allclose(logits[0, 0], expected[0].numpy(), atol=1e-4)
