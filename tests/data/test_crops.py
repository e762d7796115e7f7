"""A part of an image of one split is found in another split, wherever it was cut and however it was saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from set_maker import save, texture
from skimage import data

from dgno.data.anchors import APART, MOST, REACH, find_anchors
from dgno.data.crops import MATRICES, MEMBERS, find_candidates, part_similarity, shared_parts
from dgno.data.fingerprints import turns
from dgno.data.leaks import find_leaks, look_at_all, refuse_leaks
from dgno.data.records import Record
from dgno.errors import DataLeak
from dgno.io.image import read_image

Change = Callable[[np.ndarray], np.ndarray]


def compressed(image: np.ndarray) -> np.ndarray:
    return imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(np.ascontiguousarray(image), level=60))


CHANGES: dict[str, Change] = {
    "as it is": lambda image: image,
    "turned": lambda image: np.rot90(image),
    "flipped": lambda image: image[:, ::-1],
    "turned and flipped": lambda image: np.rot90(image, 3)[::-1],
    "compressed": compressed,
    "relit": lambda image: (20 + 200 * (image / 255) ** 0.8).astype(np.uint8),
    "blurred a little": lambda image: gaussian_filter(image, (1, 1, 0)[: image.ndim]),
    "of 16 bits": lambda image: image.astype(np.uint16) * 200,
}


def plane(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image if image.ndim == 3 else image[..., None])


def found(images: list[np.ndarray], splits: list[int]) -> list[tuple[int, int]]:
    planes = [plane(image) for image in images]
    parts = shared_parts([find_anchors(p) for p in planes], splits, planes.__getitem__)
    return [(first, second) for first, second, _ in parts]


@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("corner", [(0, 0), (101, 57)])
def test_a_crop_is_found(change: str, corner: tuple[int, int]) -> None:
    """Of every picture, and in none of the others."""
    pictures = [data.camera(), data.coins()[:, :300], data.astronaut(), texture(5, (300, 320))]
    crops = [CHANGES[change](image[corner[0] :, corner[1] :][:190, :200]) for image in pictures]
    pairs = found(pictures + crops, [0] * len(pictures) + [1] * len(crops))
    assert sorted(pairs) == [(i, i + len(pictures)) for i in range(len(pictures))]


def test_parts_that_merely_overlap_are_found() -> None:
    image = data.camera()
    assert found([image[:300, :300], image[150:, 140:]], [0, 1]) == [(0, 1)]
    assert found([image[:250, :250], image[260:, 260:]], [0, 1]) == []


def test_crops_within_a_split_are_no_leak() -> None:
    image = data.camera()
    assert found([image, image[100:300, 100:300]], [0, 0]) == []


@pytest.mark.parametrize("turn", range(8))
def test_the_place_of_a_crop_is_known(turn: int) -> None:
    """Turn and offset carry every pixel of the crop to its place in the image."""
    image = plane(data.camera())
    cut = image[120:330, 50:300]
    crop = np.ascontiguousarray(list(turns(cut))[turn])
    (candidate,) = find_candidates([find_anchors(image), find_anchors(crop)], [0, 1])
    for p in ((0, 0), (5, 7), (200, 209)):
        row, column = MATRICES[candidate.turn] @ p + candidate.offset
        assert image[row, column] == crop[p]
    assert part_similarity(image, crop, candidate) > 0.99


def test_a_pattern_that_returns_everywhere_costs_no_more(tmp_path: Path) -> None:
    """Every token is looked up in a few images of each split; one leak of many equal ones is enough."""
    image = data.camera()
    anchors = [find_anchors(plane(image))] * 100 + [find_anchors(plane(image[100:300, 100:300]))]
    candidates = find_candidates(anchors, [0] * 100 + [1])
    assert [c.first for c in candidates] == list(range(MEMBERS)) and {c.second for c in candidates} == {100}


def test_anchors_are_few_apart_and_inside() -> None:
    at = find_anchors(plane(texture(3, (400, 500)))).at.astype(int)
    assert len(at) <= MOST
    assert (at >= REACH).all() and (at < np.array([400, 500]) - REACH).all()
    distances = np.abs(at[:, None] - at[None]).max(-1)
    assert distances[~np.eye(len(at), dtype=bool)].min() > APART


@pytest.mark.parametrize("image", [
    np.zeros((200, 200), np.uint8), np.full((90, 80), 0.3, np.float32), np.ones((1, 1), np.uint8),
    texture(1, (20, 500)),
], ids=["black", "flat", "a pixel", "narrow"])  # fmt: skip
def test_images_without_anchors(image: np.ndarray) -> None:
    assert len(find_anchors(plane(image)).tokens) == 0
    assert found([image, image], [0, 1]) == []


def test_a_leak_says_what_it_is(tmp_path: Path) -> None:
    """With a code of its own; other files and the group are told apart from it."""
    image = texture(9, (260, 280))
    files = [save(tmp_path / "whole.png", image), save(tmp_path / "part.jpg.png", compressed(image[60:230, 90:270]))]
    records = [Record(f.stem, None, f, f.stem, split) for f, split in zip(files, ("train", "test"), strict=True)]
    (leak,) = find_leaks(records, look_at_all(records))
    assert (leak.kind, leak.splits) == ("crop", ("train", "test")) and leak.similarity > 0.9
    with pytest.raises(DataLeak, match=r"crop in train and test: .*whole\.png and .*part\.jpg\.png \((0\.9|1\.0)"):
        refuse_leaks(records)


def test_crops_of_real_images(shared_data: Path) -> None:
    """No two images of the set share a part; their crops of 160 px are found, as they are and compressed."""
    folders = ("dsb_fluorescence", "dsb_he")
    files = [f for name in folders for f in sorted((shared_data / "test" / name / "images").iterdir())]
    images = [next(read_image(f).planes()) for f in files]
    assert len(images) > 30
    assert found(images, [i % 2 for i in range(len(images))]) == []
    rng = np.random.default_rng(0)
    for change, least in (("as it is", 0.9), ("turned", 0.9), ("compressed", 0.5)):
        large = [image for image in images if min(image.shape[:2]) > 200]
        corners = [[int(rng.integers(n - 160)) for n in image.shape[:2]] for image in large]
        cut = [image[y : y + 160, x : x + 160] for image, (y, x) in zip(large, corners, strict=True)]
        crops = [CHANGES[change](np.ascontiguousarray(part.squeeze())) for part in cut]
        pairs = found(large + crops, [0] * len(large) + [1] * len(crops))
        assert all(second - first == len(large) for first, second in pairs)
        assert len(pairs) >= least * len(large), (change, len(pairs), len(large))
