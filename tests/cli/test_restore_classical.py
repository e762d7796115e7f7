"""`dgno restore --method`: classical deconvolution as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from skimage import data

from command_line import Cli
from dgno.io.provenance import read_provenance
from dgno.metrics import psnr
from dgno.optics.blur import SpatiallyVaryingBlur
from dgno.optics.diffraction import Microscope
from dgno.optics.psf import gaussian, gaussian_disk
from dgno.optics.ring_blur import RingBlur
from dgno.optics.seidel import Seidel, seidel

SEIDEL = "seidel:na=0.5,wavelength=0.55,pixel=0.4,coma=0.5"
TOLD = {
    "wiener": ("--psf", "disk:2"),
    "richardson-lucy": ("--psf", "disk:2"),
    "blind": (),
    "ring": ("--psf", SEIDEL),
}


def sharp(side: int = 128) -> torch.Tensor:
    return torch.from_numpy(data.camera()[100 : 100 + side, 150 : 150 + side] / 255.0)[None].float()


def blurred_by(method: str) -> torch.Tensor:
    image = sharp()
    if method == "ring":
        lens = Microscope(0.5, 0.55, 0.4)
        blur = RingBlur(lambda place: seidel(lens, Seidel(coma=0.5), place), (128, 128))
        return blur.apply(image)
    return SpatiallyVaryingBlur(torch.zeros(128, 128), lambda _: gaussian_disk(2.0)).apply(image)


def write(path: Path, image: torch.Tensor) -> Path:
    noise = np.random.default_rng(0).normal(0, 0.003, image.shape[1:])
    tifffile.imwrite(path, ((image[0].numpy() + noise).clip(0, 1) * 65535).astype(np.uint16))
    return path


def distance(path: Path) -> float:
    return float(psnr(torch.from_numpy(tifffile.imread(path) / np.float32(65535))[None], sharp()))


@pytest.mark.parametrize("method", TOLD)
def test_every_method_sharpens(cli: Cli, tmp_path: Path, method: str) -> None:
    """By 1 dB and more, against the truth; dtype and size kept; the file says how it was made."""
    source, out = write(tmp_path / "in.tif", blurred_by(method)), tmp_path / "out.tif"
    result = cli("restore", source, "-o", out, "--method", method, *TOLD[method])
    assert result.status == 0, result.err
    assert distance(out) > distance(source) + 1
    facts = read_provenance(out)
    assert facts is not None
    assert json.loads(facts["options"])["method"] == method
    assert facts.get("psf") == (TOLD[method][1] if TOLD[method] else None)
    assert json.loads(facts["weights file sha256"]) == {}


def test_a_psf_file_does_what_its_name_does(cli: Cli, tmp_path: Path) -> None:
    """And what the output says of it is its hash, no path."""
    source = write(tmp_path / "in.tif", blurred_by("wiener"))
    tifffile.imwrite(tmp_path / "psf.tif", gaussian(2.0, integrated=True).astype(np.float64))
    outs = []
    for psf in ("gaussian:2", tmp_path / "psf.tif"):
        outs.append(tmp_path / f"out{len(outs)}.tif")
        result = cli("restore", source, "-o", outs[-1], "--method", "richardson-lucy", "--psf", psf, "--num-iter", 3)
        assert result.status == 0, result.err
    np.testing.assert_array_equal(*map(tifffile.imread, outs))
    facts = read_provenance(outs[1])
    assert facts is not None
    assert len(facts["psf"]) == 64


@pytest.mark.parametrize("method", ["wiener", "richardson-lucy"])
def test_tiles_come_near_the_whole(cli: Cli, tmp_path: Path, method: str) -> None:
    """Every tile chooses for itself when it has enough; what differs is far below what is won."""
    source = write(tmp_path / "in.tif", blurred_by(method))
    images = []
    for tile in (0, 96):
        out = tmp_path / f"{tile}.tif"
        assert cli("restore", source, "-o", out, "--method", method, *TOLD[method], "--tile", tile).status == 0
        images.append(tifffile.imread(out) / 65535)
    assert np.sqrt(((images[0] - images[1]) ** 2).mean()) < 0.01


@pytest.mark.parametrize("method", ["blind", "ring"])
def test_what_must_see_the_whole_image_is_not_tiled(cli: Cli, tmp_path: Path, method: str) -> None:
    """Whatever --tile says; with too little memory it is refused."""
    source, outs = write(tmp_path / "in.tif", blurred_by(method)), [tmp_path / "a.tif", tmp_path / "b.tif"]
    for out, tile in zip(outs, (0, 64), strict=True):
        command = ("restore", source, "-o", out, "--method", method, *TOLD[method], "--num-iter", 2)
        assert cli(*command, "--tile", tile).status == 0
    np.testing.assert_array_equal(*map(tifffile.imread, outs))
    large = tmp_path / "large.tif"
    tifffile.imwrite(large, np.random.default_rng(0).integers(0, 255, (700, 700), np.uint8))
    result = cli("restore", large, "-o", tmp_path / "c.tif", "--method", method, *TOLD[method], "--max-memory", 0.1)
    assert result.status == 6
    assert f"method {method} cannot be tiled" in result.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "wiener"], "method wiener without --psf; give gaussian:SIGMA"),
        (["--method", "weiner"], "method 'weiner'; known: dgno, dbmid, wiener, richardson-lucy, blind, ring"),
        (["--method", "blind", "--psf", "disk:2"], "--psf with method blind; it takes --num-iter"),
        (["--method", "ring", "--psf", "disk:2"], "'disk:2' is the same everywhere; give seidel:"),
        (["--method", "wiener", "--psf", SEIDEL], "changes over the field; say --method ring"),
        (["--method", "wiener", "--psf", "disk:2", "--num-iter", "3"], "--num-iter with method wiener"),
        (["--method", "wiener", "--psf", "disk:2", "--balance", "0"], "balance is 0.0, wanted a finite number above 0"),
        (["--method", "blind", "--num-iter", "0"], "num_iter is 0, wanted a whole number of at least 1"),
        (["--method", "blind", "--weights", "fluorescence-nano"], "--weights with method blind; leave it out"),
        (["--method", "blind", "--precision", "bf16"], "classical methods run on the CPU, in fp32"),
        (["--method", "blind", "--tta"], "--tta with method blind; leave it out"),
        (["--psf", "disk:2"], "--psf with method dgno; it takes none of these"),
    ],
)
def test_options_that_do_not_fit_are_refused(cli: Cli, tmp_path: Path, options: list[str], said: str) -> None:
    """Before an input is read: there is none."""
    result = cli("restore", write(tmp_path / "in.tif", sharp()), "-o", tmp_path / "out.tif", *options)
    assert result.status == 2
    assert said in result.err
    assert not (tmp_path / "out.tif").exists()


def test_nan_is_refused_or_inpainted(cli: Cli, tmp_path: Path) -> None:
    """As with networks: refused with its place, or filled and left as it was."""
    pixels = blurred_by("wiener")[0].numpy().copy()
    pixels[5, 7] = np.nan
    tifffile.imwrite(tmp_path / "in.tif", pixels)
    command = ("restore", tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--method", "wiener", "--psf", "disk:2")
    result = cli(*command)
    assert result.status == 3
    assert "E-IN-NONFINITE" in result.err
    inpainted = cli(*command, "--nonfinite", "inpaint", "--json")
    assert inpainted.status == 0
    assert "values that were NaN or infinite are so in the output too: 1" in inpainted.json["results"][0]["notes"]
    assert list(np.argwhere(~np.isfinite(tifffile.imread(tmp_path / "out.tif"))).ravel()) == [5, 7]
