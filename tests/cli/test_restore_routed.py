"""`dgno restore --route`, with a reader that needs no training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.io import imread, imsave

import dgno
from blur_readers import LevelReader, coded, types_in_blocks
from command_line import Cli
from dgno.errors import ConfigError, UnknownWeights
from dgno.io.provenance import read_provenance
from dgno.restoration.route import Routing

TYPES = types_in_blocks(24, 24)


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The weights of a reader, which stand for `LevelReader`."""
    path = tmp_path / "reader.safetensors"
    path.write_bytes(b"levels")
    for place in ("dgno.restoration.workbench.make_reader", "dgno.api.make_reader"):
        monkeypatch.setattr(place, lambda name, device: LevelReader())
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    imsave(tmp_path / "picture.png", coded(TYPES, samples=3).pixels, check_contrast=False)
    return tmp_path / "picture.png"


def test_only_what_is_blurred_is_restored(
    cli: Cli, picture: Path, reader: Path, tmp_path: Path, weights: dict[int, Path]
) -> None:
    """By the weights that are named, for every type of blur; the output says so."""
    out = tmp_path / "out.png"
    arguments = ("restore", picture, "-o", out, "--route", "auto", "--reader", reader, "--weights", weights[3])
    result = cli(*arguments, "--tile", 128)
    assert result.status == 0
    assert "restored as motion" in result.err
    before, after = imread(picture), imread(out)
    assert (before[:80, :80] == after[:80, :80]).all()
    for region in (np.s_[:80, 112:], np.s_[112:, :80], np.s_[112:, 112:]):
        assert (before[region] != after[region]).mean() > 0.5
    made = read_provenance(out)
    assert json.loads(made["options"])["route"] == "auto"
    assert len(made["reader file sha256"]) == 64
    assert json.loads(made["weights file sha256"]).keys() == {weights[3].name}
    facts = cli(*arguments, "--tile", 128, "--overwrite", "--json").json["results"][0]["facts"]
    assert (facts["route"], facts["weights"], facts["tissue"]) == ("auto", [weights[3].stem], 1.0)
    assert facts["blurred"].keys() == facts["learnt"].keys() == {"defocus", "motion", "mixed"}
    assert facts["strength"] == pytest.approx(((13**2 - 1) / 12) ** 0.5, abs=0.006)  # of the motion, the middle one
    again = cli(*arguments, "--tile", 128, "--resume", "--json")
    assert [one["status"] for one in again.json["results"]] == ["complete"]
    reader.write_bytes(b"others")
    assert "E-RES-MISMATCH" in cli(*arguments, "--tile", 128, "--resume").err


@pytest.mark.parametrize(("kind", "changes"), [(0, False), (1, True)])
def test_one_type_for_the_whole_image(
    cli: Cli, reader: Path, tmp_path: Path, weights: dict[int, Path], kind: int, changes: bool
) -> None:
    types = np.full((12, 12), kind)
    types[:2] = 1 - kind
    imsave(tmp_path / "in.png", coded(types, samples=3).pixels, check_contrast=False)
    out = tmp_path / "out.png"
    arguments = ("restore", tmp_path / "in.png", "-o", out, "--reader", reader, "--weights", weights[3])
    assert cli(*arguments, "--route", "image").status == 0
    assert (imread(out) != imread(tmp_path / "in.png")).any() == changes
    if changes:
        routed = imread(out)
        cli("restore", tmp_path / "in.png", "-o", out, "--weights", weights[3], "--overwrite")
        np.testing.assert_array_equal(routed, imread(out))


def test_b19_a_sharp_image_comes_back_bit_for_bit(
    cli: Cli, reader: Path, tmp_path: Path, weights: dict[int, Path]
) -> None:
    for dtype, top in (("uint8", 255.0), ("uint16", 65535.0)):
        image, out = tmp_path / f"{dtype}.tif", tmp_path / f"{dtype}_out.tif"
        imsave(image, coded(np.zeros((9, 9), int), samples=3, top=top, dtype=dtype).pixels, check_contrast=False)
        cli("restore", image, "-o", out, "--route", "auto", "--reader", reader, "--weights", weights[3])
        np.testing.assert_array_equal(imread(out), imread(image))


def test_classical_methods_can_be_routed(cli: Cli, picture: Path, reader: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    arguments = ("restore", picture, "-o", out, "--method", "wiener", "--psf", "disk:2", "--route", "auto")
    assert cli(*arguments, "--reader", reader).status == 0
    assert (imread(picture)[:80, :80] == imread(out)[:80, :80]).all()
    assert (imread(picture)[112:, 112:] != imread(out)[112:, 112:]).any()


def test_pages_and_memory_bounds_hold(cli: Cli, reader: Path, tmp_path: Path, weights: dict[int, Path]) -> None:
    pages = np.stack([coded(np.ones((9, 9), int), samples=3, seed=i).pixels for i in range(3)])
    source, out = tmp_path / "in.tif", tmp_path / "out.tif"
    tifffile.imwrite(source, pages, photometric="rgb")
    arguments = ("restore", source, "-o", out, "--route", "auto", "--reader", reader, "--weights", weights[3])
    result = cli(*arguments, "--pages", "1", "--max-memory", "0.5")
    assert result.status == 0, result.err
    changed = [bool((a != b).any()) for a, b in zip(imread(out), pages, strict=True)]
    assert changed == [False, True, False]


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--route", "sideways"), 2, "known: off, auto, image"),
        (("--min-confidence", "0.5"), 2, "--route auto"),
        (("--route", "auto", "--min-confidence", "7"), 2, "E-CONFIG"),
        (("--route", "auto", "--weights", "no-such"), 5, "E-CK-UNKNOWN"),
    ],
)
def test_wrong_options_are_refused(
    cli: Cli, picture: Path, tmp_path: Path, options: tuple[str, ...], status: int, said: str
) -> None:
    result = cli("restore", picture, "-o", tmp_path / "out.png", *options)
    assert (result.status, said in result.err) == (status, True)
    assert not (tmp_path / "out.png").exists()


def test_arrays_are_routed_and_assessed(weights: dict[int, Path]) -> None:
    """By a reader of one's own, or the one that `route` names."""
    image = coded(TYPES, samples=3).pixels
    found = dgno.assess(image, reader=LevelReader())
    assert found.strength.shape == (24, 24)
    assert found.type in ("in focus", "defocus", "motion", "mixed")
    for route in ("auto", Routing(LevelReader())):
        restored = dgno.restore(image, weights=weights[3], route=route)
        assert (restored[:80, :80] == image[:80, :80]).all()
        assert (restored[112:, 112:] != image[112:, 112:]).any()
    sharp = dgno.assess(coded(np.zeros((8, 8), int), samples=3).pixels, reader=LevelReader())
    assert sharp.in_focus
    with pytest.raises(ConfigError, match="sideways"):
        dgno.restore(image, route="sideways")


def test_without_a_reader_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(UnknownWeights, match="no-such-reader"):
        dgno.assess(coded(TYPES).pixels, reader="no-such-reader")
