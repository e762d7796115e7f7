"""Z-stacks, manifests and folders of sharp images; and the two images of a pair on each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter, shift
from set_maker import save, texture, touch

from dgno.data.focus import MEASURES, gray, sharpest
from dgno.data.layouts import guess_layout, read_layout
from dgno.data.layouts.manifest import read_manifest
from dgno.data.layouts.self_blur import read_self_blur
from dgno.data.layouts.z_stack import read_z_stack
from dgno.data.loading import load_pair
from dgno.data.records import Record
from dgno.data.registration import find_shift, inside, shifted
from dgno.errors import ConfigError, MissingInput, UnreadableInput, UnsupportedInput
from dgno.io.image import read_image

SCENE = texture(1, (120, 150), "uint16").astype(np.float64)


def through_focus(sharp: int, count: int = 5, drift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Planes that blur and drift with the distance from the sharp one; borders are cut off."""
    planes = []
    for z in range(count):
        moved = shift(SCENE, [d * (z - sharp) for d in drift], order=5, mode="reflect")
        planes.append(gaussian_filter(moved, 1.2 * abs(z - sharp))[12:-12, 12:-12])
    return np.rint(planes).clip(0, 65535).astype(np.uint16)


# --- focus and registration ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", sorted(MEASURES))
@pytest.mark.parametrize("best", [0, 2, 4])
def test_every_measure_finds_the_sharp_plane(measure: str, best: int) -> None:
    """Also if the blurred planes are brighter."""
    planes = [plane * (1.0 if z == best else 3.0) for z, plane in enumerate(through_focus(best))]
    assert sharpest(planes, MEASURES[measure]) == best


@pytest.mark.parametrize("sigma", [0.0, 2.0, 4.0])
@pytest.mark.parametrize("by", [(0.0, 0.0), (1.3, -2.45), (-0.5, 0.25), (6.2, 4.7)])
def test_a_shift_is_found_through_blur_and_noise(by: tuple[float, float], sigma: float) -> None:
    rng = np.random.default_rng(0)
    moved = gaussian_filter(shift(SCENE, by, order=5, mode="reflect"), sigma)[12:-12, 12:-12]
    moved += 0.005 * 65535 * rng.standard_normal(moved.shape)
    found = find_shift(moved, SCENE[12:-12, 12:-12])
    np.testing.assert_allclose(found, [-d for d in by], atol=0.1 if sigma < 3 else 0.3)


def test_shifts_of_what_has_none() -> None:
    flat = np.ones((20, 30))
    assert find_shift(flat, np.zeros((20, 30))) == (0.0, 0.0)
    with pytest.raises(ConfigError, match="cannot be registered"):
        find_shift(flat, flat.T)


@pytest.mark.parametrize("by", [(0.0, 0.0), (2.0, -3.0), (-1.0, 4.0)])
def test_whole_shifts_move_pixels_and_nothing_else(by: tuple[float, float]) -> None:
    plane = texture(2, (20, 30, 3))
    rows, columns = inside((20, 30), by)
    wanted = np.roll(plane, (int(by[0]), int(by[1])), axis=(0, 1))
    np.testing.assert_array_equal(shifted(plane, by)[rows, columns], wanted[rows, columns])
    assert shifted(plane, by).dtype == plane.dtype
    assert plane[rows, columns].shape[:2] == (20 - abs(int(by[0])), 30 - abs(int(by[1])))


# --- z-stacks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sharp", [None, 3])
def test_a_stack_in_one_file(tmp_path: Path, sharp: int | None) -> None:
    """The sharp plane by measure or by number; every other plane lies on it after its shift."""
    tifffile.imwrite(tmp_path / "cell.tif", through_focus(3, drift=(0.7, -0.45)), metadata=None)
    records = read_z_stack(tmp_path, sharp_plane=sharp, step=0.5)
    assert [record.z for record in records] == [0, 1, 2, 4]
    assert [record.defocus for record in records] == [-1.5, -1.0, -0.5, 0.5]
    assert {record.target_plane for record in records} == {3}
    assert {record.group for record in records} == {"cell"}
    for record in records:
        assert record.z is not None
        np.testing.assert_allclose(record.shift, np.array([-0.7, 0.45]) * (record.z - 3), atol=0.15)
        blurred, target = load_pair(record)
        assert blurred.shape == target.shape and blurred.dtype == target.dtype == np.uint16
        np.testing.assert_allclose(find_shift(gray(blurred), gray(target)), 0, atol=0.15)


def test_a_stack_in_a_folder_of_planes(tmp_path: Path) -> None:
    for z, plane in zip(range(-2, 3), through_focus(2), strict=True):
        save(tmp_path / f"{z}.png", plane)
    records = read_z_stack(tmp_path)
    assert [record.z for record in records] == [-2, -1, 1, 2]
    assert {record.target.name for record in records} == {"0.png"}
    assert all(max(map(abs, record.shift)) <= 0.05 for record in records)
    assert {record.shift for record in read_z_stack(tmp_path, register=False)} == {(0.0, 0.0)}


def test_stacks_in_folders_are_groups(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for z, plane in enumerate(through_focus(1, 3)):
            save(tmp_path / split / "s1" / f"a_z{z:02d}.tif", plane)
    records = read_z_stack(tmp_path)
    assert {(record.split, record.group) for record in records} == {("train", "train/s1"), ("test", "test/s1")}


def test_channels_of_a_stack_are_stacks_of_their_own(tmp_path: Path) -> None:
    both = np.stack([through_focus(1, 4), through_focus(2, 4)], axis=1)
    tifffile.imwrite(tmp_path / "x.ome.tif", both, metadata={"axes": "ZCYX", "Channel": {"Name": ["dna", "actin"]}})
    records = read_z_stack(tmp_path)
    assert {(record.channel, record.meta["sharp z"]) for record in records} == {("dna", "1"), ("actin", "2")}
    for record in records:
        blurred, target = load_pair(record)
        c = ["dna", "actin"].index(record.channel)
        np.testing.assert_array_equal(target[..., 0], both[int(record.meta["sharp z"]), c])
        np.testing.assert_array_equal(blurred[..., 0], both[record.z, c])


def test_what_is_no_stack_is_told(tmp_path: Path) -> None:
    planes = through_focus(1, 3)
    save(tmp_path / "odd" / "a0.tif", planes[0])
    with pytest.raises(ConfigError, match="a stack of one plane"):
        read_z_stack(tmp_path / "odd")
    save(tmp_path / "odd" / "a1.tif", planes[1][:-1])
    with pytest.raises(ConfigError, match=r"differ in size \(.*a[01]\.tif\)"):
        read_z_stack(tmp_path / "odd")
    save(tmp_path / "odd" / "b1.tif", planes[1])
    with pytest.raises(ConfigError, match=r"two files are plane 1 \(.*b1\.tif\)"):
        read_z_stack(tmp_path / "odd")
    save(tmp_path / "named" / "sharp.tif", planes[1])
    with pytest.raises(ConfigError, match=r"no plane number at its end \(.*sharp\.tif\)"):
        read_z_stack(tmp_path / "named")
    tifffile.imwrite(tmp_path / "t.ome.tif", np.stack([planes, planes]), metadata={"axes": "TZYX"})
    with pytest.raises(UnsupportedInput, match=r"no stack through focus \(.*t\.ome\.tif\)"):
        read_z_stack(tmp_path)
    with pytest.raises(ConfigError, match="measure is 'sharpness'"):
        read_z_stack(tmp_path, measure="sharpness")


def test_a_number_that_no_plane_has(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cell.tif", through_focus(1, 3), photometric="minisblack", metadata=None)
    with pytest.raises(ConfigError, match="the stack has no plane 9"):
        read_z_stack(tmp_path, sharp_plane=9)


def test_real_stacks(shared_data: Path, tmp_path: Path) -> None:
    """Nuclei, confocal and wide field; and the planes of a smear, which were cut to sizes of their own."""
    (tmp_path / "dna.tif").symlink_to(shared_data / "test/through_focus/dna_confocal_widefield_zstack.tif")
    image = read_image(tmp_path / "dna.tif")
    records = read_z_stack(tmp_path, register=False)
    assert image.axes == "ZCYX"
    assert len(records) == image.channels * (len(image.pixels) - 1)
    assert all(1 <= int(record.meta["sharp z"]) < len(image.pixels) - 1 for record in records)
    with pytest.raises(ConfigError, match=r"the planes of a stack differ in size \(.*smear"):
        read_z_stack(shared_data / "test/through_focus/smear", register=False)


# --- manifests -----------------------------------------------------------------------------------------------------


def write(folder: Path, text: str) -> Path:
    touch(folder, "a.png", "b.png", "m.png", "c d.png")
    path = folder / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_manifest(tmp_path: Path) -> None:
    meta = json.dumps({"na": 0.5, "site": "x"}).replace('"', '""')
    path = write(
        tmp_path, f'input,target,mask,meta,group,split\na.png,b.png,m.png,"{meta}",slide 1,Val\n,c d.png,,,,\n'
    )
    for place in (path, tmp_path):
        assert guess_layout(place) == "manifest"
        first, second = read_manifest(place)
        assert first.files == (tmp_path / "a.png", tmp_path / "b.png", tmp_path / "m.png")
        assert (first.group, first.split, first.meta) == ("slide 1", "val", {"na": "0.5", "site": "x"})
        assert (second.input, second.target, second.group) == (None, tmp_path / "c d.png", "c d.png")


@pytest.mark.parametrize(("text", "kind", "message"), [
    ("input,target\n", ConfigError, "the manifest lists nothing"),
    ("", ConfigError, "the manifest has other columns"),
    ("input,output\na.png,b.png\n", ConfigError, "it has input, output; wanted input, target"),
    ("input,target,x\na.png,b.png,1\n", ConfigError, "it has input, target, x"),
    ("input,target,target\na.png,b.png,b.png\n", ConfigError, "the manifest has other columns"),
    ("input,target\na.png\n", ConfigError, "line 2"),
    ("input,target\na.png,b.png,m.png\n", ConfigError, "line 2"),
    ("input,target\na.png,\n", ConfigError, "a line names no target"),
    ("input,target\na.png,b.png\n\na.png,b.png\n", ConfigError, "line 4 says again what line 2 says"),
    ("input,target\na.png,none.png\n", MissingInput, "none.png"),
    ("input,target,split\na.png,b.png,exam\n", ConfigError, "split is 'exam'"),
    ("input,target,meta\na.png,b.png,{x\n", ConfigError, "meta is no JSON"),
    ("input,target,meta\na.png,b.png,3\n", ConfigError, "meta is no JSON object"),
])  # fmt: skip
def test_manifests_that_do_not_work(tmp_path: Path, text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        read_manifest(write(tmp_path, text))


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_manifest_with_other_separators_is_told_as_such(tmp_path: Path, mark: str) -> None:
    """As spreadsheets write it in some countries; also where the layout is to be guessed."""
    path = write(tmp_path, f"input{mark}target\na.png{mark}b.png\n")
    with pytest.raises(ConfigError, match=r"other columns.*separate the columns by commas"):
        read_layout(path)


def test_a_manifest_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UnreadableInput, match=r"x\.csv.*; save it as CSV in UTF-8"):
        read_manifest(tmp_path / "x.csv")
    with pytest.raises(MissingInput, match=r"y\.csv"):
        read_manifest(tmp_path / "y.csv")


# --- sharp images, and pixels --------------------------------------------------------------------------------------


def test_sharp_images_alone(tmp_path: Path) -> None:
    touch(tmp_path, "b/x.png", "a.tif", "notes.txt", ".hidden/y.png")
    records = read_self_blur(tmp_path)
    assert [(record.key, record.input, record.target) for record in records] == [
        ("a.tif", None, tmp_path / "a.tif"), ("b/x.png", None, tmp_path / "b" / "x.png"),
    ]  # fmt: skip


def test_pairs_that_do_not_fit_name_the_file(tmp_path: Path) -> None:
    target = save(tmp_path / "t.png", texture(1))
    for name, pixels, kind, message in (
        ("size", texture(2, (64, 81)), ConfigError, r"differ in size \(.*size\.png\): 81 x 64 px against 80 x 64"),
        ("rgb", texture(2, (64, 80, 3)), UnsupportedInput, r"differ in channels \(.*rgb\.png\): 3 against 1"),
    ):
        path = save(tmp_path / f"{name}.png", pixels)
        with pytest.raises(kind, match=message):
            load_pair(Record(name, path, target, name))
    stack = tmp_path / "s.tif"
    tifffile.imwrite(stack, through_focus(1, 3), photometric="minisblack", metadata=None)
    with pytest.raises(UnsupportedInput, match="a stack where one plane was wanted"):
        load_pair(Record("s", stack, target, "s"))
    with pytest.raises(UnsupportedInput, match="there is no plane 3"):
        load_pair(Record("s", stack, stack, "s", input_plane=3, target_plane=0))
    blurred, sharp = load_pair(Record("t", None, target, "t"))
    np.testing.assert_array_equal(blurred, sharp)
    np.testing.assert_array_equal(sharp[..., 0], read_image(target).pixels)
