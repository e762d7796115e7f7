"""What stands in two splits is found; what is merely similar is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from set_maker import save, texture
from skimage import data

from dgno.data.fingerprints import FINE, fingerprint, grid_means, similarity
from dgno.data.leaks import ALIKE, CANDIDATE, find_leaks, look_at_all, refuse_leaks
from dgno.data.records import Record
from dgno.errors import ConfigError, InputError
from dgno.io.image import read_image

PICTURES = {
    "camera": data.camera(), "coins": data.coins(), "moon": data.moon(), "astronaut": data.astronaut(),
    "page": data.page(), "text": data.text(), "chelsea": data.chelsea(), "coffee": data.coffee(),
    "texture": texture(5, (150, 201)), "colours": texture(6, (90, 64, 3)), "16 bit": texture(7, (77, 130), "uint16"),
}  # fmt: skip


def as_jpeg(image: np.ndarray, level: int = 60) -> np.ndarray:
    values = np.ascontiguousarray(image if image.dtype == np.uint8 else image >> 8)
    return imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(values, level=level))


def relit(image: np.ndarray) -> np.ndarray:
    """Another gain, gamma and offset."""
    unit = image / np.iinfo(image.dtype).max
    return (np.iinfo(image.dtype).max * (0.1 + 0.7 * unit**0.8)).astype(image.dtype)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "saved anew": lambda image: image.copy(),
    "compressed": as_jpeg,
    "relit": relit,
    "relit and compressed": lambda image: as_jpeg(relit(image)),
    "flipped": lambda image: image[::-1],
    "turned": lambda image: np.rot90(image),
    "turned and flipped": lambda image: np.rot90(image, 3)[:, ::-1],
    "half the size": lambda image: image[::2, ::2],
    "blurred a little": lambda image: gaussian_filter(image, (1.5, 1.5, 0)[: image.ndim]),
    "inside 1 px": lambda image: image[1:-1, 1:-1],
}


def plane(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else image[..., None]


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_changed_copy_is_recognised(change: str) -> None:
    """Of every picture, by the fine grid and by the coarse one that candidates are chosen by."""
    for name, image in PICTURES.items():
        one, other = (fingerprint(plane(x)) for x in (image, CHANGES[change](image)))
        assert similarity(one, other) > ALIKE + 0.05, name
        assert max(float((one.coarse * t).sum()) for t in _turns(other.coarse)) > CANDIDATE, name


def _turns(grid: np.ndarray) -> list[np.ndarray]:
    return [np.rot90(g, k) for g in (grid, grid[:, ::-1]) for k in range(4)]


def test_different_pictures_are_not_alike() -> None:
    prints = {name: fingerprint(plane(image)) for name, image in PICTURES.items()}
    for a in prints:
        for b in prints:
            assert (similarity(prints[a], prints[b]) > ALIKE) == (a == b), (a, b)


def test_a_background_in_common_is_no_likeness() -> None:
    """Vignetting down to a half in the corners, five times what the texture of each image varies by."""
    y, x = np.mgrid[:96, :128]
    vignette = 1 - 0.5 * (((y - 48) / 48) ** 2 + ((x - 64) / 64) ** 2)[..., None] / 2
    images = [vignette * (0.9 + 0.1 * plane(texture(seed, (96, 128))) / 255) for seed in range(6)]
    prints = [fingerprint(image) for image in images]
    assert all(similarity(a, b) < ALIKE for i, a in enumerate(prints) for b in prints[:i])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_flat_images_have_nothing_to_be_recognised_by(dtype: str) -> None:
    flat = fingerprint(np.full((40, 50, 1), 7, dtype))
    assert flat.is_flat and similarity(flat, flat) == 0
    assert not fingerprint(plane(texture(1)).astype(dtype)).is_flat


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 64), (65, 63), (640, 480)])
def test_means_over_a_grid(shape: tuple[int, int]) -> None:
    """Exact where cells are whole, and of a constant image that constant."""
    np.testing.assert_allclose(grid_means(np.full(shape, 0.3), FINE), 0.3)
    image = np.random.default_rng(0).random(shape)
    if shape == (640, 480):
        wanted = image.reshape(16, 40, 16, 30).mean((1, 3))
        np.testing.assert_allclose(grid_means(image, 16), wanted)
    if shape == (64, 64):
        np.testing.assert_array_equal(grid_means(image, 64), image)


# --- records -------------------------------------------------------------------------------------------------------


def data_set(folder: Path, count: int = 6) -> list[Record]:
    """Different images, the last third to test with."""
    return [
        Record(str(i), None, save(folder / f"{i}.png", texture(i)), f"g{i}", "test" if i >= count * 2 / 3 else "train")
        for i in range(count)
    ]


def kinds(records: list[Record]) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (leak.kind, tuple(Path(what).name for what in leak.what)) for leak in find_leaks(records, look_at_all(records))
    ]


def test_a_clean_set_has_no_leaks(tmp_path: Path) -> None:
    records = data_set(tmp_path)
    assert kinds(records) == []
    refuse_leaks(records)


def test_a_group_in_two_splits(tmp_path: Path) -> None:
    records = data_set(tmp_path)
    records[5] = replace(records[5], group="g0")
    assert kinds(records) == [("group", ("g0",))]
    with pytest.raises(ConfigError, match="1 leaks between splits: the first is a group in train and test: g0"):
        refuse_leaks(records, pixels=False)


def test_a_file_in_two_splits_by_whatever_name(tmp_path: Path) -> None:
    """Told once, though its bytes and pixels are the same too."""
    records = data_set(tmp_path)
    (tmp_path / "link.png").symlink_to(tmp_path / "0.png")
    again = Record("x", tmp_path / "link.png", tmp_path / "5.png", "x", "test")
    assert kinds([*records, again]) == [("file", ("0.png",))]


def test_a_copy_under_another_name(tmp_path: Path) -> None:
    records = data_set(tmp_path)
    shutil.copy(tmp_path / "1.png", tmp_path / "new name.png")
    again = Record("x", None, tmp_path / "new name.png", "x", "test")
    assert kinds([*records, again]) == [("copy", ("1.png", "new name.png"))]


@pytest.mark.parametrize("change", ["compressed", "relit", "turned and flipped", "blurred a little"])
def test_near_duplicates_between_splits(tmp_path: Path, change: str) -> None:
    """Not within one: flips of training images are no leak."""
    records = data_set(tmp_path)
    save(tmp_path / "x.png", CHANGES[change](texture(2)))
    again = Record("x", None, tmp_path / "x.png", "x", "test")
    assert kinds([*records, again]) == [("near duplicate", ("2.png", "x.png"))]
    assert kinds([*records, replace(again, split="train")]) == []
    with pytest.raises(ConfigError, match=r"near duplicate in train and test: .*2\.png and .*x\.png \((0\.|1\.00)"):
        refuse_leaks([*records, again])


def test_every_pair_of_many_duplicates_is_told(tmp_path: Path) -> None:
    """Across three splits."""
    paths = [save(tmp_path / f"{i}.png", relit(texture(1)) if i else texture(1)) for i in range(2)]
    paths.append(save(tmp_path / "2.png", np.rot90(texture(1))))
    records = [Record(p.stem, None, p, p.stem, split) for p, split in zip(paths, ("train", "val", "test"), strict=True)]
    assert len(kinds(records)) == 3


def test_black_images_are_compared_by_their_bytes(tmp_path: Path) -> None:
    black = [save(tmp_path / f"{i}.png", np.full((20 + i, 20), 0, np.uint8)) for i in range(2)]
    records = [Record(p.stem, None, p, p.stem, split) for p, split in zip(black, ("train", "test"), strict=True)]
    assert kinds(records) == []


def test_an_unreadable_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match=r"x\.png"):
        refuse_leaks([Record("x", None, tmp_path / "x.png", "x", "test")])


def test_real_images_are_told_apart(shared_data: Path) -> None:
    """Every second one in the other split; but for the field that is there in focus and 32 um out of it."""
    files = [
        *sorted((shared_data / "test/dsb_fluorescence/images").iterdir()),
        *sorted((shared_data / "test/dsb_he/images").iterdir()),
        *sorted((shared_data / "test/bbbc006/sharp").iterdir()),
    ]
    records = [Record(str(f), None, f, str(f), ("train", "test")[i % 2]) for i, f in enumerate(files)]
    assert len(records) == 65
    assert kinds(records) == []
    out_of_focus = shared_data / "test/bbbc006/z00/a01_s1_w1.tif"
    sharp = shared_data / "test/bbbc006/sharp/a01__s1__w1_10.png"
    both = [Record("a", None, sharp, "a", "train"), Record("b", None, out_of_focus, "b", "test")]
    assert kinds(both) == [("near duplicate", (sharp.name, out_of_focus.name))]
    assert read_image(sharp).pixels.shape == read_image(out_of_focus).pixels.shape
