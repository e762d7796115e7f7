"""`dgno restore --pages` and `--channels`: the planes that are not named stay bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pictures import photograph

from command_line import Cli
from dgno.arrays import Image
from dgno.io.image import read_image, write_image
from dgno.io.provenance import read_provenance

STACK = np.random.default_rng(0).integers(0, 4096, (5, 40, 50), dtype=np.uint16)


def changed_planes(before: np.ndarray, after: np.ndarray) -> set[int]:
    """Numbers of the planes whose bytes differ."""
    assert (before.shape, before.dtype) == (after.shape, after.dtype)
    return {i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a.tobytes() != b.tobytes()}


@pytest.mark.parametrize(("pages", "changed"), [("all", set(range(5))), ("3", {3}), ("0,2-3", {0, 2, 3})])
def test_only_the_named_pages_change(
    cli: Cli, tmp_path: Path, weights: dict[int, Path], pages: str, changed: set[int]
) -> None:
    """And they become what they become in the whole file; the output says which they were."""
    tifffile.imwrite(tmp_path / "in.tif", STACK, photometric="minisblack", metadata=None)
    for name, chosen in (("out.tif", pages), ("whole.tif", "all")):
        arguments = ("restore", tmp_path / "in.tif", "-o", tmp_path / name, "--weights", weights[1], "--pages", chosen)
        assert cli(*arguments).status == 0
    restored, whole = (tifffile.imread(tmp_path / name) for name in ("out.tif", "whole.tif"))
    assert changed_planes(STACK, restored) == changed
    assert changed_planes(whole, restored) == set(range(5)) - changed
    provenance = read_provenance(tmp_path / "out.tif")
    assert provenance and json.loads(provenance["options"])["pages"] == pages


def test_pages_of_several_sizes_are_counted_in_the_order_they_are_read(
    cli: Cli, tmp_path: Path, weights: dict[int, Path]
) -> None:
    """A file of three images; an image without a named page needs no weights that fit it."""
    pages = [STACK[0], np.dstack([STACK[1][:30]] * 3), STACK[2][:20]]
    with tifffile.TiffWriter(tmp_path / "in.tif") as writer:
        for page in pages:
            writer.write(page, photometric="rgb" if page.ndim == 3 else "minisblack", metadata=None)
    arguments = ("restore", tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--weights", weights[3], "--pages", 1)
    result = cli(*arguments, "--json")
    assert result.status == 0, result.err
    assert result.json["results"][0]["megapixels"] == 30 * 50 / 1e6
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        equal = [np.array_equal(page.asarray(), before) for page, before in zip(tiff.pages, pages, strict=True)]
    assert equal == [True, False, True]
    assert cli("restore", tmp_path / "in.tif", "-o", tmp_path / "o.tif", "--weights", weights[3]).status == 5


@pytest.mark.parametrize("option", [("--pages", "1,4"), ("--channels", "1,4")])
@pytest.mark.parametrize("mode", ["inpaint", "mask"])
def test_nan_in_other_planes_stays(
    cli: Cli, tmp_path: Path, weights: dict[int, Path], option: tuple[str, str], mode: str
) -> None:
    pixels = STACK.astype(np.float32)
    pixels[0, 3, 4], pixels[1, 5, 6] = np.nan, np.nan
    tifffile.imwrite(tmp_path / "in.tif", pixels, imagej=True, metadata={"axes": "CYX"})
    arguments = ("restore", tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--weights", weights[1])
    result = cli(*arguments, *option, "--nonfinite", mode)
    assert result.status == 0, result.err
    assert "in the output" in result.err and "NaN or infinite" in result.err and ": 1\n" in result.err
    restored = tifffile.imread(tmp_path / "out.tif")
    assert changed_planes(pixels, restored) == {1, 4}
    assert np.isnan(restored[1, 5, 6]) == (mode == "inpaint")


def test_a_label_page_may_stand_beside_the_image(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    labels = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((10, 12))).astype(np.uint16)
    labels[::10] = 0
    tifffile.imwrite(tmp_path / "in.tif", np.stack([STACK[0][:40, :48], labels]), photometric="minisblack")
    arguments = ("restore", tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--weights", weights[1])
    assert "look like labels" in cli(*arguments).err
    assert cli(*arguments, "--pages", 0).status == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif")[1], labels)


@pytest.mark.parametrize(("arguments", "said"), [
    (("--pages", "5"), "pages count from 0 to 4"),
    (("--pages", "0-5"), "page 5 of a file with 5"),
    (("--pages", "first"), "pages 'first'; say all, or numbers"),
    (("--channels", "7"), "channel 7 of an image with 1"),
])  # fmt: skip
def test_planes_that_are_not_there_are_refused(
    cli: Cli, tmp_path: Path, weights: dict[int, Path], arguments: tuple[str, str], said: str
) -> None:
    tifffile.imwrite(tmp_path / "in.tif", STACK, photometric="minisblack", metadata=None)
    result = cli("restore", tmp_path / "in.tif", "-o", tmp_path / "out.tif", "--weights", weights[1], *arguments)
    assert (result.status, said in result.err) == (2, True), result.err
    assert not (tmp_path / "out.tif").exists()


def test_the_line_tells_what_was_copied_and_info_how_pages_count(
    cli: Cli, tmp_path: Path, weights: dict[int, Path]
) -> None:
    stack = np.random.default_rng(0).integers(0, 4096, (3, 2, 40, 50), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    result = cli(
        "restore", tmp_path / "in.tif", "-o", tmp_path / "o.tif", "--weights", weights[1], "--pages", 3, "--json"
    )
    (outcome,) = result.json["results"]
    assert "1 of 6 planes restored (Z 1, C 1), the others are copies" in outcome["notes"]
    assert (outcome["facts"]["planes"], outcome["facts"]["restored_planes"]) == (6, [3])
    (line,) = [line for line in cli("info", tmp_path / "in.tif").out.splitlines() if line.startswith("pages")]
    assert line.split(maxsplit=1)[1] == "6 (0 to 5), order Z, C (C fastest)"


def test_the_colours_of_a_pixel_are_one_channel(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    tifffile.imwrite(tmp_path / "in.tif", np.stack([STACK[0]] * 3, -1), photometric="rgb")
    arguments = ("restore", tmp_path / "in.tif", "-o", tmp_path / "o.tif", "--weights", weights[3], "--channels")
    result = cli(*arguments, 2)
    assert (result.status, "the colours of a pixel are one channel" in result.err) == (2, True)
    result = cli(*arguments, 0)
    assert (result.status, "one channel: all of them were restored" in result.err) == (0, True)


def test_the_default_of_route_is_told(cli: Cli) -> None:
    assert "[default: off for images, auto for slides" in " ".join(
        cli("restore", "--help").out.replace("│", "").split()
    )


def test_a_mask_among_channels_is_named_and_can_be_left_out(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    """The channel by its name, and what to say so that it is copied."""
    light = photograph((40, 50)).astype(np.uint16)
    mask = np.zeros_like(light)
    mask[5:20, 8:30] = mask[25:35, 20:45] = 1
    pixels = np.stack([light, mask, light[::-1]])
    image = Image(pixels, "CYX", (0, 255), channel_names=("DAPI", "found", "FITC"))
    write_image(tmp_path / "in.ome.tif", image)
    arguments = ("restore", tmp_path / "in.ome.tif", "-o", tmp_path / "o.ome.tif", "--weights", weights[1])
    refused = cli(*arguments)
    assert refused.status == 3
    assert "channel 1 'found': the only values are 0 and 1" in refused.err
    assert "--channels 0,2 restores the others" in refused.err
    assert cli(*arguments, "--channels", "0,2").status == 0
    assert np.array_equal(read_image(tmp_path / "o.ome.tif").pixels[1], pixels[1])
