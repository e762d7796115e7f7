"""The paper's controlled sets: made anew bit by bit, blurred as they say, from scenes as they say."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import label

from dgno.data.controlled import SETS, SIDE, write_set
from dgno.data.reading import Reading
from dgno.data.shapes import draw_shapes
from dgno.errors import ConfigError, OutputExists
from dgno.metrics import psnr
from dgno.optics.psf import gaussian

DRAWN = [name for name, chosen in SETS.items() if not chosen.from_files]
PARTS = ("sharp", "blurred", "sigma", "psf")


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def pixels(folder: Path, part: str, name: str) -> np.ndarray:
    return np.asarray(tifffile.imread(folder / part / f"{name}.tif"))


def at_one_pixel(scene: np.ndarray, sigma: float, y: int, x: int) -> float:
    """The integral itself: the scene around (y, x), mirrored at the border, weighted by the PSF of that pixel."""
    psf = gaussian(sigma, integrated=True)
    r = len(psf) // 2
    around = np.pad(scene.astype(float), r, mode="symmetric")[y : y + len(psf), x : x + len(psf)]
    return float((around * psf[::-1, ::-1]).sum())


@pytest.fixture(scope="module", params=DRAWN)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp("set")
    write_set(request.param, out, count=2, seed=7)
    return request.param, out


def test_every_pixel_is_blurred_by_its_own_gaussian(written: tuple[str, Path]) -> None:
    """Better than 70 dB, and within 1/1024, at pixels integrated one by one; without noise."""
    name, out = written
    low, high = {"8": (8, 10), "0.6": (0.6, 13)}[name.split("-")[1]]
    for pair in ("0000", "0001"):
        sharp, blurred, sigma = (pixels(out, part, pair) for part in ("sharp", "blurred", "sigma"))
        assert sharp.shape == blurred.shape == sigma.shape == (SIDE, SIDE)
        assert low - 1e-5 <= sigma.min() < sigma.max() <= high + 1e-5
        if "voronoi" not in name:
            assert (sigma.min(), sigma.max()) == (pytest.approx(low), pytest.approx(high))
        places = np.random.default_rng(0).integers(0, SIDE, (24, 2))
        exact = np.array([at_one_pixel(sharp, float(sigma[y, x]), y, x) for y, x in places])
        errors = exact - blurred[places[:, 0], places[:, 1]]
        assert np.abs(errors).max() < 1 / 1024
        assert -10 * np.log10(np.mean(errors**2) + 1e-20) > 70


def test_the_manifest_tells_psf_and_difficulty(written: tuple[str, Path]) -> None:
    _, out = written
    with (out / "manifest.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert (
        [line["name"] for line in lines]
        == [record.key for record in Reading(layout="folder-pair").records(out)]
        == ["0000", "0001"]
    )
    for line in lines:
        assert (line["psf"], line["reading"], line["boundary"]) == ("gaussian", "gather", "reflect")
        assert (line["photons"], line["read_noise"]) == ("inf", "0.0")
        sharp, blurred = (torch.from_numpy(pixels(out, part, line["name"])) for part in ("sharp", "blurred"))
        assert float(line["blurred_psnr"]) == pytest.approx(psnr(blurred, sharp), abs=2e-3)


def test_a_set_is_made_again_bit_by_bit(tmp_path: Path) -> None:
    """By another process, whatever happened in it before; more pairs begin with the same, another seed gives others."""
    write_set("s1-0.6-13", tmp_path / "a", count=2, seed=3)
    code = "import sys, torch; torch.rand(9); from pathlib import Path; from dgno.data.controlled import write_set\n"
    code += "write_set('s1-0.6-13', Path(sys.argv[1]), count=3, seed=3)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "b")], check=True)
    write_set("s1-0.6-13", tmp_path / "c", count=1, seed=4)
    a, b, c = (digests(tmp_path / folder) for folder in "abc")
    assert {name: digest for name, digest in b.items() if name in a and name != "manifest.csv"} == {
        name: digest for name, digest in a.items() if name != "manifest.csv"
    }
    assert len(b) == 3 * len(PARTS) + 1
    assert not {a[f"{part}/0000.tif"] for part in PARTS} & set(c.values())


def test_both_ranges_blur_the_same_scenes(tmp_path: Path) -> None:
    """The wider range is the easier one, as the paper's numbers have it."""
    lines = {}
    for name in ("s1-8-10", "s1-0.6-13"):
        lines[name] = write_set(name, tmp_path / name, count=4, seed=1)
    for i in range(4):
        np.testing.assert_array_equal(*(pixels(tmp_path / name, "sharp", f"{i:04d}") for name in lines))
    narrow, wide = (np.mean([line.blurred_psnr for line in lines[name]]) for name in lines)
    assert narrow < wide


@pytest.mark.parametrize("seed", range(10))
def test_scenes_are_shapes_on_darkness(seed: int) -> None:
    """Up to 16 bright pieces, most of the scene dark, no pixel outside [0, 1], the brightest at 0.3 to 1."""
    scene = draw_shapes((SIDE, SIDE), np.random.default_rng(seed))[0].numpy()
    assert scene.min() == 0
    assert 0.3 <= scene.max() <= 1
    assert 0.005 < (scene > 0).mean() < 0.4
    assert label(scene > 0.05, np.ones((3, 3)))[1] <= 16


def test_shapes_along_the_grid_have_hard_edges() -> None:
    """Half of them lie along it; so most bright pixels are wholly bright, whatever shape lies over another."""
    values = [draw_shapes((SIDE, SIDE), np.random.default_rng(seed)).unique(return_counts=True) for seed in range(20)]
    large = sum(int(counts[counts >= 6].sum()) - int(counts[0]) for _, counts in values)
    assert large > 0.7 * sum(int(counts.sum()) - int(counts[0]) for _, counts in values)


def test_sets_from_files(tmp_path: Path) -> None:
    """The first of them, if fewer are wanted."""
    for i in range(3):
        image = np.random.default_rng(i).integers(100, 4000, (60, 70)).astype(np.uint16)
        tifffile.imwrite(tmp_path / f"{i}.tif", image)
    sources = sorted(tmp_path.glob("*.tif"))
    lines = write_set("s2", tmp_path / "out", sources=sources, count=2)
    assert [line.source for line in lines] == ["0.tif", "1.tif"]
    assert [(line.facts["sigma_min"], line.facts["sigma_max"]) for line in lines] == [(0.6, 13.0)] * 2
    with pytest.raises(ConfigError, match="4 pairs of s2 from 3 images"):
        write_set("s2", tmp_path / "more", sources=sources, count=4)


def test_the_lens_of_s3_takes_the_middle_square(tmp_path: Path) -> None:
    """Of even side; sharper in its middle than towards the corners; the manifest tells the coefficients."""
    image = np.zeros((35, 46), np.uint16)
    image[1::2, ::2] = image[::2, 1::2] = 4000
    tifffile.imwrite(tmp_path / "a.tif", image)
    (line,) = write_set("s3", tmp_path / "out", sources=[tmp_path / "a.tif"])
    sharp, blurred = (pixels(tmp_path / "out", part, "a") for part in ("sharp", "blurred"))
    assert sharp.shape == blurred.shape == (34, 34)
    np.testing.assert_allclose(sharp, image[0:34, 6:40] / 4000, atol=1e-6)
    assert blurred[13:21, 13:21].std() > 2 * blurred[:5, :5].std()
    assert line.facts["psf"] == "seidel"
    assert "coma=1.5" in str(line.facts["aberrations"])
    assert not (tmp_path / "out" / "sigma").exists()


@pytest.mark.parametrize(("name", "arguments", "message"), [
    ("s1-8-11", {}, "did you mean 's1-8-10'"),
    ("s1-8-10", {"count": 0}, "count is 0"),
    ("s1-8-10", {"sources": [Path("a.tif")]}, "scenes of s1-8-10 are drawn"),
    ("s2", {}, "no pairs of s2 from 0 images"),
])  # fmt: skip
def test_impossible_sets_are_refused(tmp_path: Path, name: str, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        write_set(name, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_pairs_are_not_written_over(tmp_path: Path) -> None:
    write_set("s1-8-10", tmp_path, count=1)
    with pytest.raises(OutputExists):
        write_set("s1-8-10", tmp_path, count=1)
    write_set("s1-8-10", tmp_path, count=1, overwrite=True)
