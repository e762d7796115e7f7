"""Sets of simulated pairs on the disk: reproducible, truthful, and never on top of something else."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from dgno.arrays import Image
from dgno.data.layouts.folder_pair import read_folder_pair
from dgno.data.simulated import write_pairs
from dgno.errors import (
    ConfigError,
    MissingInput,
    NonFiniteInput,
    OutputExists,
)
from dgno.io.image import read_image, write_image
from dgno.metrics import psnr
from dgno.optics.exposure import Camera, Exposure, PairRange
from dgno.optics.simulate import BlurRange, SigmaOptics

RANGES = BlurRange(sigma=(1.0, 3.0), photons=(2000.0, 2000.0), read_noise=(0.005, 0.005))
FOLDERS = ("sharp", "blurred", "sigma", "psf")


def sharp_file(path: Path, dtype: type = np.uint8, shape: tuple[int, ...] = (40, 50), seed: int = 0) -> Path:
    """Random squares; gray (h, w), colour (h, w, 3), or a stack (n, h, w)."""
    rng = np.random.default_rng(seed)
    unit = np.zeros(shape)
    for _ in range(30):
        y, x = rng.integers(0, 45, 2)
        unit[..., y : y + 7, x : x + 9] = rng.random() if shape[-1] != 3 else 0
        if shape[-1] == 3:
            unit[y : y + 7, x : x + 9] = rng.random(3)
    axes = "YXS" if shape[-1] == 3 else "ZYX"[-len(shape) :]
    full = float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0
    write_image(path, Image((unit * full).astype(dtype), axes, (0.0, full)))
    return path


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    (tmp_path / "in").mkdir()
    gray, colour = sharp_file(tmp_path / "in" / "gray.png"), sharp_file(tmp_path / "in" / "he.png", shape=(44, 52, 3))
    return [gray, colour, sharp_file(tmp_path / "in" / "deep.tif", np.uint16, seed=3)]


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pixels(folder: Path, part: str, name: str) -> np.ndarray:
    return np.asarray(tifffile.imread(folder / part / f"{name}.tif"))


def test_the_same_seed_writes_the_same_bytes(sources: Sequence[Path], tmp_path: Path) -> None:
    """Wherever torch's own generator stands; another seed changes blurs and noise, and never the sharp side."""
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(ord(out))
        write_pairs(sources, tmp_path / out, RANGES, seed=seed)
    a, b, c = (digests(tmp_path / out) for out in "abc")
    assert a == b
    assert len(a) == len(FOLDERS) * len(sources) + 1
    same = {name for name in a if a[name] == c[name]}
    assert same == {f"sharp/{source.stem}.tif" for source in sources}


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_number_of_threads_changes_no_byte(threads: Callable[[int], None], tmp_path: Path) -> None:
    source = sharp_file(tmp_path / "he.png", shape=(230, 225, 3))  # large enough for torch to share the work
    ranges = PairRange(BlurRange(sigma=(3.0, 3.5)), linear_light=True)
    for count in (1, 2, 3):
        threads(count)
        write_pairs([source], tmp_path / str(count), ranges, seed=9)
        assert torch.get_num_threads() == count
    assert digests(tmp_path / "1") == digests(tmp_path / "2") == digests(tmp_path / "3")


def test_a_pair_depends_on_its_number_and_not_on_the_others(sources: Sequence[Path], tmp_path: Path) -> None:
    """The first pairs of a longer list are those of a shorter one."""
    write_pairs(sources, tmp_path / "all", RANGES, seed=1)
    write_pairs(sources[:1], tmp_path / "one", RANGES, seed=1)
    short, long = digests(tmp_path / "one"), digests(tmp_path / "all")
    assert all(long[name] == short[name] for name in short if name != "manifest.csv")
    assert manifest(tmp_path / "all")[:1] == manifest(tmp_path / "one")


def test_the_manifest_tells_what_is_in_the_files(sources: Sequence[Path], tmp_path: Path) -> None:
    lines = write_pairs(sources, tmp_path / "out", RANGES, seed=4)
    assert [(line.name, line.source, line.seed) for line in lines] == [(s.stem, s.name, 4) for s in sources]
    for line, row in zip(lines, manifest(tmp_path / "out"), strict=True):
        assert row == {key: str(value) for key, value in {**vars(line), **line.facts}.items() if key != "facts"}
        sigma = pixels(tmp_path / "out", "sigma", line.name)
        found = [float(row[f"sigma_{which}"]) for which in ("min", "mean", "max")]
        assert found == pytest.approx([sigma.min(), sigma.mean(dtype=np.float64), sigma.max()], abs=1e-4)
        assert RANGES.sigma[0] - 1e-4 <= found[0] <= found[2] <= RANGES.sigma[1] + 1e-4
        assert (row["photons"], row["read_noise"], row["softness"]) == ("2000.0", "0.005", "0.25")
        assert (row["psf"], row["reading"], row["boundary"]) == ("disk", "gather", "reflect")
        assert (row["bits"], row["quality"], row["light"]) == ("", "", "as stored")
        assert row["field"] in RANGES.fields
        blurred, sharp = (torch.from_numpy(pixels(tmp_path / "out", part, line.name)) for part in ("blurred", "sharp"))
        assert line.blurred_psnr == pytest.approx(psnr(blurred.clamp(0, 1), sharp), abs=1e-3)
        assert 0 <= line.bank_error < 1 / 256


def test_pairs_can_be_made_again_from_manifest_and_maps(sources: Sequence[Path], tmp_path: Path) -> None:
    """sharp, sigma and the line say everything: the blurred image and the PSF follow from them."""
    write_pairs(sources, tmp_path / "out", RANGES, seed=4)
    for line in manifest(tmp_path / "out"):
        sigma, sharp = (torch.from_numpy(pixels(tmp_path / "out", part, line["name"])) for part in ("sigma", "sharp"))
        how = {name: line[name] for name in ("psf", "reading", "boundary")}
        optics = SigmaOptics(sigma, softness=float(line["softness"]), **how)
        camera = Camera(float(line["photons"]), float(line["read_noise"]))
        exposure = Exposure(optics, camera, int(line["noise_seed"]))
        scene = sharp.permute(2, 0, 1).contiguous() if sharp.ndim == 3 else sharp[None]  # as it was drawn for
        blurred = exposure.of(scene).permute(1, 2, 0).squeeze(-1).numpy()
        np.testing.assert_allclose(pixels(tmp_path / "out", "blurred", line["name"]), blurred, atol=1e-5)
        psf = pixels(tmp_path / "out", "psf", line["name"])
        np.testing.assert_allclose(psf, optics.mean_psf(), atol=1e-7)
        assert psf.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)


def test_pair_i_is_drawn_from_the_seed_and_i(sources: Sequence[Path], tmp_path: Path) -> None:
    lines = write_pairs(sources, tmp_path / "out", RANGES, seed=9)
    for i, line in enumerate(lines):
        sharp = pixels(tmp_path / "out", "sharp", line.name)
        drawn = RANGES.draw(sharp.shape[:2], np.random.default_rng([9, i]))
        np.testing.assert_array_equal(pixels(tmp_path / "out", "sigma", line.name), drawn.optics.maps()["sigma"][0])
        assert line.facts["noise_seed"] == drawn.noise_seed


def test_what_is_written_is_a_set_of_pairs(sources: Sequence[Path], tmp_path: Path) -> None:
    """Blurred is less contrasted than sharp and close to it; every pair has its PSF; all is float32 in [0, 1]."""
    write_pairs(sources, tmp_path / "out", RANGES)
    pairs = read_folder_pair(tmp_path / "out")
    assert sorted(pair.key for pair in pairs) == sorted(source.stem for source in sources)
    for pair in pairs:
        blurred, sharp = read_image(pair.input), read_image(pair.target)
        assert blurred.axes == sharp.axes == ("YXS" if pair.key == "he" else "YX")
        assert blurred.pixels.shape == sharp.pixels.shape
        assert blurred.pixels.dtype == sharp.pixels.dtype == np.float32
        assert 0 <= sharp.pixels.min() < sharp.pixels.max() <= 1
        assert blurred.pixels.std() < sharp.pixels.std()
        assert psnr(torch.from_numpy(blurred.pixels[None]), torch.from_numpy(sharp.pixels[None])) > 10
        assert pair.psf is not None
        assert pair.psf.is_file()


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3)], ids=["gray", "colour"])
def test_the_sharp_side_is_the_source_in_unit_values(
    tmp_path: Path, dtype: type, full: int, shape: tuple[int, ...]
) -> None:
    """By its range; the bit depth leaves no other trace."""
    source = sharp_file(tmp_path / "a.tif", dtype, shape)
    values = tifffile.imread(source)
    values.flat[0] = full  # else the range of a 16-bit file is a guess
    write_image(source, Image(values, "YXS" if len(shape) == 3 else "YX", (0.0, full)), overwrite=True)
    write_pairs([source], tmp_path / "out", RANGES, scale="range")
    np.testing.assert_allclose(pixels(tmp_path / "out", "sharp", "a"), values / float(full), atol=1e-6)


def test_by_percentiles_gain_and_offset_of_a_camera_leave_no_trace(tmp_path: Path) -> None:
    """ "auto" means this for gray, and the range for colour."""
    values = np.random.default_rng(0).integers(20, 100, (40, 50)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values)
    tifffile.imwrite(tmp_path / "b.tif", (values * 10 + 300).astype(np.uint16))
    write_pairs([tmp_path / "a.tif", tmp_path / "b.tif"], tmp_path / "out", RANGES)
    a, b = (pixels(tmp_path / "out", "sharp", name) for name in "ab")
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert (a.min(), a.max()) == (0, 1)
    colour = np.full((40, 50, 3), 51, np.uint8)
    colour[:20] = 102
    tifffile.imwrite(tmp_path / "c.tif", colour, photometric="rgb")
    write_pairs([tmp_path / "c.tif"], tmp_path / "colour", RANGES)
    assert np.unique(pixels(tmp_path / "colour", "sharp", "c")).tolist() == pytest.approx([0.2, 0.4])


def test_every_plane_of_a_stack_becomes_a_pair(tmp_path: Path) -> None:
    """With a field and a noise of its own."""
    source = sharp_file(tmp_path / "stack.tif", shape=(3, 40, 50))
    lines = write_pairs([source, sharp_file(tmp_path / "z.tif")], tmp_path / "out", RANGES)
    assert [line.name for line in lines] == ["stack_p0000", "stack_p0001", "stack_p0002", "z"]
    assert len({line.facts["noise_seed"] for line in lines}) == 4
    for i, line in enumerate(lines[:3]):
        assert line.source == "stack.tif"
        sharp = pixels(tmp_path / "out", "sharp", line.name)
        plane = tifffile.imread(source)[i].astype(float)
        assert np.corrcoef(sharp.flat, plane.flat)[0, 1] > 0.999


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_there_is_not_overwritten(tmp_path: Path, folder: str) -> None:
    """Unless told so."""
    source, out = sharp_file(tmp_path / "a.png"), tmp_path / "out"
    (out / folder).mkdir(parents=True)
    (out / folder / "a.tif").write_bytes(b"mine")
    with pytest.raises(OutputExists):
        write_pairs([source], out, RANGES)
    assert (out / folder / "a.tif").read_bytes() == b"mine"
    write_pairs([source], out, RANGES, overwrite=True)
    write_pairs([source], tmp_path / "fresh", RANGES)
    assert digests(out) == digests(tmp_path / "fresh")


def test_the_manifest_of_another_set_is_not_overwritten(tmp_path: Path) -> None:
    """Pairs of another name would fit into the folder; the manifest would then tell of half of them."""
    a, b = (sharp_file(tmp_path / name) for name in ("a.png", "b.png"))
    write_pairs([a], tmp_path / "out", RANGES)
    before = digests(tmp_path / "out")
    with pytest.raises(OutputExists, match="holds pairs already"):
        write_pairs([b], tmp_path / "out", RANGES)
    assert digests(tmp_path / "out") == before


def test_an_unknown_scale_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scale is 'rnage', "):
        write_pairs([sharp_file(tmp_path / "a.png")], tmp_path / "out", RANGES, scale="rnage")
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInput):
        write_pairs([tmp_path / "none.tif"], tmp_path / "out", RANGES)


def test_progress_rises_to_one(sources: Sequence[Path], tmp_path: Path) -> None:
    shares: list[float] = []
    write_pairs(sources, tmp_path / "out", RANGES, progress=shares.append)
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])


def test_nothing_to_blur_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no sharp images"):
        write_pairs([], tmp_path / "out", RANGES)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused_by_name(tmp_path: Path, bad: float) -> None:
    pixels = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    pixels[3, 4] = bad
    write_image(tmp_path / "hot.tif", Image(pixels, "YX"))
    for scale in ("range", "percentile"):
        with pytest.raises(NonFiniteInput, match=r"hot\.tif"):
            write_pairs([tmp_path / "hot.tif"], tmp_path / "out", RANGES, scale=scale)
    assert not (tmp_path / "out").exists()
