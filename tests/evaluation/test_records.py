"""Evaluation takes pairs as data sets have them: planes of stacks, shifts, masks, channels, splits."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pair_maker import MakePairs
from scipy.ndimage import gaussian_filter

from dgno.arrays import Image
from dgno.data.reading import Reading
from dgno.data.records import Record
from dgno.data.registration import inside, shifted
from dgno.errors import ConfigError, UnsupportedInput
from dgno.evaluation.compare import compare, unchanged
from dgno.evaluation.external import run_external
from dgno.evaluation.pairs import read_pair
from dgno.evaluation.protocols import PROTOCOLS


def field(seed: int, shape: tuple[int, int] = (60, 70)) -> np.ndarray:
    """Smooth 12-bit blobs."""
    values = gaussian_filter(np.random.default_rng(seed).random(shape), 1.5)
    return ((values - values.min()) / np.ptp(values) * 4000).astype(np.uint16)


@pytest.fixture
def stack(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A file of five planes, blurred more and more."""
    planes = np.stack([gaussian_filter(field(0).astype(float), 0.3 + i).astype(np.uint16) for i in range(5)])
    tifffile.imwrite(tmp_path / "stack.tif", planes, photometric="minisblack", metadata={"axes": "ZYX"})
    return tmp_path / "stack.tif", planes


def test_planes_of_a_stack_are_compared_by_their_numbers(stack: tuple[Path, np.ndarray]) -> None:
    """One of the file against another one of it."""
    path, planes = stack
    for number in (1, 4):
        pair = read_pair(Record("a", path, path, "a", input_plane=number, target_plane=0))
        np.testing.assert_array_equal(pair.blurred.pixels, planes[number])
        np.testing.assert_array_equal(pair.sharp.pixels, planes[0])
    near, far = compare(
        [Record(str(n), path, path, "a", input_plane=n, target_plane=0) for n in (1, 4)], {"blurred": unchanged}
    )
    assert near.psnr > far.psnr + 3


def test_a_stack_against_a_stack_is_compared_plane_by_plane(stack: tuple[Path, np.ndarray]) -> None:
    path, planes = stack
    assert read_pair(Record("a", path, path, "a")).blurred.pixels.shape == planes.shape
    with pytest.raises(ConfigError, match=r"\(60, 70\) against \(5, 60, 70\)"):
        read_pair(Record("a", path, path, "a", input_plane=2))


@pytest.mark.parametrize("shift", [(0.0, 3.0), (-2.0, 1.5)])
def test_a_shift_moves_the_blurred_image_onto_the_sharp_one(tmp_path: Path, shift: tuple[float, float]) -> None:
    """Before it is restored; what both share is compared."""
    sharp = field(1)
    moved = shifted(sharp[..., None], (-shift[0], -shift[1]))[..., 0]
    for name, pixels in (("b", moved), ("s", sharp)):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels)
    record = Record("a", tmp_path / "b.tif", tmp_path / "s.tif", "a", shift=shift)
    rows, columns = inside((60, 70), shift)
    pair = read_pair(record)
    np.testing.assert_array_equal(pair.sharp.pixels, sharp[rows, columns])
    assert pair.blurred.pixels.dtype == np.uint16
    known, unknown = compare([record, replace(record, shift=(0.0, 0.0))], {"blurred": unchanged})
    assert known.psnr > unknown.psnr + 5


def test_a_mask_of_another_size_and_an_empty_one(make_pairs: MakePairs) -> None:
    (record,) = make_pairs(1, (48, 60))
    mask = record.target.with_name("mask.tif")
    for shape, error, said in (((48, 61), ConfigError, r"\(48, 61\) against \(48, 60\)"),
                               ((48, 60), UnsupportedInput, "counts no pixel")):  # fmt: skip
        tifffile.imwrite(mask, np.zeros(shape, np.uint8) + (shape[1] == 61))
        with pytest.raises(error, match=said):
            read_pair(replace(record, mask=mask))


def test_a_shift_crops_the_mask_too(make_pairs: MakePairs) -> None:
    (record,) = make_pairs(1, (48, 60))
    counted = np.random.default_rng(0).random((48, 60)) > 0.5
    mask = record.target.with_name("mask.tif")
    tifffile.imwrite(mask, counted.astype(np.uint8))
    pair = read_pair(replace(record, mask=mask, shift=(2.0, -4.0)))
    assert pair.counted is not None
    rows, columns = inside((48, 60), (2.0, -4.0))
    np.testing.assert_array_equal(pair.counted.numpy(), counted[rows, columns])


def test_a_sharp_image_alone_is_no_pair(make_pairs: MakePairs) -> None:
    (record,) = make_pairs(1)
    with pytest.raises(ConfigError, match="sharp image without a blurred one"):
        compare([replace(record, input=None)], {"blurred": unchanged})


@pytest.fixture
def bbbc006(tmp_path: Path) -> Path:
    """Two wells, one site, both channels; planes 2, 6, 10 and 16, named as released."""
    for z in (2, 6, 10, 16):
        folder = tmp_path / "bbbc" / f"BBBC006_v1_images_z_{z:02d}"
        folder.mkdir(parents=True)
        for seed, well in enumerate(("a01", "b02")):
            for channel in ("w1", "w2"):
                blurred = gaussian_filter(field(seed).astype(float), (16 - z) / 5 + 0.01).astype(np.uint16)
                tifffile.imwrite(folder / f"mcf-z-stacks-03212011_{well}_s1_{channel}abc{z}.tif", blurred)
    return tmp_path / "bbbc"


def test_bbbc006_by_its_protocol(bbbc006: Path) -> None:
    """Three planes of every field against the one in focus; farther planes score worse."""
    records = Reading(channel="w1").records(bbbc006)
    assert [record.z for record in records] == [2, 6, 10] * 2
    for protocol in ("bbbc-pairminmax", "bbbc-pairminmax-gaussian", "mpt-eval"):
        scores = compare(records, {"blurred": unchanged}, protocol=PROTOCOLS[protocol])
        assert [s.image for s in scores] == [record.key for record in records]
        assert scores[0].ssim < scores[1].ssim < scores[2].ssim


def test_a_manifest_with_masks(make_pairs: MakePairs, tmp_path: Path) -> None:
    """Paths relative to it; the mask counts."""
    records = make_pairs(2, (48, 60))
    tifffile.imwrite(tmp_path / "m.tif", np.pad(np.ones((20, 20), np.uint8), ((0, 28), (0, 40))))
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["input", "target", "mask", "split"], ["blurred/0.tif", "sharp/0.tif", "m.tif", "test"]]
        )
    (listed,) = Reading().records(tmp_path / "list.csv")
    (score,) = compare([listed], {"blurred": unchanged})
    a, b = (tifffile.imread(path)[:20, :20].astype(np.float64) for path in (records[0].input, records[0].target))
    assert score.psnr == pytest.approx(-10 * np.log10(np.square(a - b).mean()), abs=1e-4)
    assert listed.split == "test"


def test_commands_of_others_are_given_what_is_compared(stack: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    """Planes and shifted images as files of their own; files of one stem get numbers."""
    path, _ = stack
    planes = [Record(f"p{n}", path, path, "a", input_plane=n, target_plane=0, shift=(0.0, n / 2)) for n in (1, 3)]
    folders = []
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        for kind, seed in (("b", 1), ("s", 2)):
            tifffile.imwrite(tmp_path / name / f"{kind}.tif", field(seed))
        folders.append(Record(name, tmp_path / name / "b.tif", tmp_path / name / "s.tif", name))
    script = tmp_path / "copy.py"
    script.write_text("import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)")
    records = [*planes, *folders]
    method = run_external(f"{sys.executable} -S {script} {{in}} {{out}}", records)
    scores = compare(records, {"blurred": unchanged, "external": method})
    assert [s.psnr for s in scores[::2]] == [s.psnr for s in scores[1::2]]
    assert isinstance(method(read_pair(planes[1]).blurred, planes[1]), Image)
