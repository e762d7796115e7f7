"""`dgno restore` as a user calls it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pictures import photograph
from skimage.io import imread, imsave

from command_line import Cli


@pytest.mark.parametrize("suffix", ["png", "tif", "ome.tif", "bmp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_becomes_another_image(
    cli: Cli, tmp_path: Path, weights: dict[int, Path], suffix: str, channels: int
) -> None:
    """Same shape and dtype, other pixels; the input is as it was; one line says what happened."""
    source, out = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    pixels = photograph((70, 90) if channels == 1 else (70, 90, 3))
    if suffix.endswith("tif"):
        tifffile.imwrite(source, pixels, photometric="rgb" if channels == 3 else "minisblack")
    else:
        imsave(source, pixels, check_contrast=False)
    before = source.read_bytes()
    result = cli("restore", source, "-o", out, "--weights", weights[channels])
    assert result.status == 0, result.err
    assert result.out == ""
    assert "out" in result.err
    assert "not for clinical" in result.err.lower()
    restored = imread(out)
    assert (restored.shape, restored.dtype) == (pixels.shape, pixels.dtype)
    assert (restored != pixels).any()
    assert source.read_bytes() == before


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (7, 9), (31, 33), (32, 64), (300, 20)])
def test_any_size(cli: Cli, tmp_path: Path, weights: dict[int, Path], shape: tuple[int, int]) -> None:
    source, out = tmp_path / "in.tif", tmp_path / "out.tif"
    tifffile.imwrite(source, photograph(shape, np.uint16))
    assert cli("restore", source, "-o", out, "--weights", weights[1]).status == 0
    assert tifffile.imread(out).shape == shape


def test_what_is_newly_cut_is_counted(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    """In words and as a fact, as anyone can count it in the two files; nothing is said of nothing."""
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80), dtype=np.uint8)
    for image in (pixels, pixels // 4 + 96):
        imsave(source, image, check_contrast=False)
        result = cli("restore", source, "-o", out, "--weights", weights[1], "--overwrite", "--json")
        (outcome,) = json.loads(result.out)["results"]
        now = imread(out)
        count = int((((now == 0) | (now == 255)) & (image != 0) & (image != 255)).sum())
        assert outcome["facts"].get("saturated", 0) == count
        notes = [note for note in outcome["notes"] if "cut" in note]
        assert len(notes) == bool(count) and all(note.startswith(f"{count:,} value") for note in notes)
        assert (count > 0) == (image is pixels)


def test_two_runs_write_the_same_bytes(cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    digests = []
    for name in ("a.tif", "b.tif"):
        assert cli("restore", blurred, "-o", tmp_path / name, "--weights", weights[1], "--tile", 128).status == 0
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_values_pass_as_they_are(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    """`--normalize none`: float in, float32 out, what the network makes of the values, nothing clipped."""
    import torch

    import dgno

    pixels = (np.random.default_rng(0).random((64, 96)) * 3 - 1).astype(np.float64)
    tifffile.imwrite(tmp_path / "in.tif", pixels)
    result = cli(
        "restore", tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--weights", weights[1], "--normalize", "none"
    )
    assert result.status == 0, result.err
    restored = tifffile.imread(tmp_path / "out.tif")
    with torch.no_grad():
        expected = dgno.load(weights[1])(torch.from_numpy(pixels).float()[None, None])[0, 0].numpy()
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, expected, atol=1e-6)


def test_json_is_one_object(cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    result = cli("restore", blurred, "-o", tmp_path / "out.png", "--weights", weights[1], "--json")
    (outcome,) = result.json["results"]
    assert (outcome["status"], outcome["megapixels"]) == ("restored", 0.0063)
    failed = cli("restore", blurred, "-o", tmp_path / "out.png", "--weights", weights[1], "--json")
    assert failed.status == 4
    assert failed.json["code"] == "E-OUT-EXISTS"
    assert failed.json.keys() == {"code", "path", "message", "hint"}


def test_the_input_is_never_replaced(cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    """Neither by name, nor through links, nor with --overwrite."""
    os.link(blurred, tmp_path / "hard.png")
    (tmp_path / "soft.png").symlink_to(blurred)
    before = blurred.read_bytes()
    for target in (blurred, blurred.parent / "." / blurred.name, tmp_path / "hard.png", tmp_path / "soft.png"):
        result = cli("restore", blurred, "-o", target, "--weights", weights[1], "--overwrite")
        assert (result.status, "E-OUT-INPUT" in result.err) == (4, True)
    assert blurred.read_bytes() == before


@pytest.mark.parametrize(("arguments", "status", "code"), [
    (["--weights", "fluorescense-nano"], 5, "E-CK-UNKNOWN"),
    (["--weights", "WRONG"], 5, "E-CK-CORRUPT"),
    (["--method", "magic"], 2, "E-CONFIG"),
    (["--normalize", "magic"], 2, "E-CONFIG"),
    (["--tile", "70"], 2, "E-CONFIG"),
    (["--tile", "-1"], 2, "E-USAGE"),
    (["--nonsense"], 2, "E-USAGE"),
    (["--device", "cuda:7"], 6, "E-RS-DEVICE"),
    (["--precision", "fp8"], 2, "E-CONFIG"),
    (["--format", "gif"], 2, "E-CONFIG"),
    (["--channels", "red"], 2, "E-CONFIG"),
])  # fmt: skip
def test_wrong_requests_end_with_their_status(
    cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path], arguments: list[str], status: int, code: str
) -> None:
    """One line on stderr, nothing on stdout, no output."""
    (tmp_path / "WRONG").write_bytes(b"no weights")
    given = [str(tmp_path / "WRONG") if a == "WRONG" else a for a in arguments]
    chosen = given if "--weights" in given else [*given, "--weights", str(weights[1])]
    result = cli("restore", blurred, "-o", tmp_path / "out.png", *chosen)
    assert result.status == status
    assert result.err.startswith(f"dgno: error[{code}]: ")
    assert len(result.err.splitlines()) == 1
    assert result.out == ""
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("content", [b"", b"GIF89a....", bytes(range(256)) * 20, b"II*\0\xff\xff\xff\xff"])
@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.jpg", "x.bmp"])
def test_unreadable_inputs_end_with_3(
    cli: Cli, tmp_path: Path, weights: dict[int, Path], content: bytes, name: str
) -> None:
    (tmp_path / name).write_bytes(content)
    result = cli("restore", tmp_path / name, "-o", tmp_path / "out.tif", "--weights", weights[1])
    assert result.status == 3
    assert str(tmp_path / name) in result.err
    assert not (tmp_path / "out.tif").exists()


def test_what_fits_into_memory(cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    """Small tiles give nearly what large ones give."""
    tifffile.imwrite(tmp_path / "in.tif", photograph((400, 300), np.uint16))
    images = []
    for i, memory in enumerate(("0.1", "8")):
        out = tmp_path / f"{i}.tif"
        assert (
            cli("restore", tmp_path / "in.tif", "-o", out, "--weights", weights[1], "--max-memory", memory).status == 0
        )
        images.append(tifffile.imread(out).astype(int))
    assert abs(images[0] - images[1]).max() <= 65535 * 0.02


def test_pixel_size_and_format(cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    result = cli(
        "restore",
        blurred,
        "-o",
        tmp_path / "out",
        "--weights",
        weights[1],
        "--pixel-size",
        0.25,
        "--format",
        "ome-tiff",
    )
    assert result.status == 0, result.err
    with tifffile.TiffFile(tmp_path / "out" / "blurred.ome.tif") as tiff:
        assert 'PhysicalSizeX="0.25"' in (tiff.ome_metadata or "")
        assert "not for clinical diagnosis" in (tiff.ome_metadata or "")


@pytest.mark.parametrize("name", ["out.tif", "out.ome.zarr"])
def test_who_gives_the_pixel_size_is_not_told_to(cli: Cli, tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 65), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", noise, resolution=(300, 300), resolutionunit="INCH")
    given = ("restore", tmp_path / "x.tif", "-o", tmp_path / name, "--method", "wiener", "--psf", "gaussian:1")
    result = cli(*given, "--route", "off", "--pixel-size", 0.25)
    assert (result.status, "unlikely" in result.err) == (0, False)
    result = cli(*given, "--route", "off", "--overwrite")
    assert (result.status, "unlikely" in result.err) == (0, True)


def test_debug_shows_the_traceback(cli: Cli, tmp_path: Path) -> None:
    result = cli("restore", tmp_path / "no.tif", "-o", tmp_path / "out.tif", "--debug")
    assert "Traceback" in result.err
    assert "Traceback" not in cli("restore", tmp_path / "no.tif", "-o", tmp_path / "out.tif").err


def test_max_pixels(
    cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound that the user sets, by option or by environment."""
    out = tmp_path / "o.png"
    refused = cli("restore", blurred, "-o", out, "--weights", weights[1], "--max-pixels", 100)
    assert (refused.status, out.exists()) == (3, False)
    assert "E-IN-TOOLARGE" in refused.err
    assert "--max-pixels" in refused.err
    monkeypatch.setenv("DGNO_MAX_PIXELS", "100")
    assert cli("restore", blurred, "-o", out, "--weights", weights[1]).status == 3
    assert cli("restore", blurred, "-o", out, "--weights", weights[1], "--max-pixels", 10**6).status == 0


def test_channels_that_are_not_there(cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    result = cli("restore", blurred, "-o", tmp_path / "o.png", "--weights", weights[1], "--channels", 7)
    assert (result.status, "channel 7 of an image with 1" in result.err) == (2, True)
    assert not (tmp_path / "o.png").exists()


def test_labels_are_refused_whatever_happens_to_nan(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    labels = np.zeros((96, 96), np.uint16)
    for i in range(1, 9):
        labels[(i % 3) * 30 : (i % 3) * 30 + 20, (i // 3) * 30 : (i // 3) * 30 + 25] = i
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    for mode in ("refuse", "mask"):
        arguments = ("--weights", weights[1], "--nonfinite", mode)
        result = cli("restore", tmp_path / "labels.tif", "-o", tmp_path / "o.tif", *arguments)
        assert (result.status, "labels" in result.err) == (3, True), result.err


@pytest.mark.parametrize("fault", ["NaN", "labels", "gray for colour weights", "beyond float32", "no such page"])
def test_every_error_of_an_image_names_its_file(cli: Cli, tmp_path: Path, weights: dict[int, Path], fault: str) -> None:
    """Also those that are found in its pixels."""
    pixels, more = photograph((40, 50)).astype(np.float64), ["--weights", weights[1]]
    if fault == "labels":
        pixels = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((10, 12))).astype(np.uint8)
    elif fault == "gray for colour weights":
        more[1] = weights[3]
    elif fault == "no such page":
        more += ["--pages", 1]
    else:
        pixels[3, 4] = np.nan if fault == "NaN" else 1e300
    tifffile.imwrite(tmp_path / "in.tif", pixels)
    result = cli("restore", tmp_path / "in.tif", "-o", tmp_path / "out.tif", *more, "--json")
    assert result.status in (2, 3, 5)
    assert f"({tmp_path / 'in.tif'})" in result.err
    assert result.json["path"] == str(tmp_path / "in.tif")
