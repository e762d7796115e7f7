"""`dgno restore --method dbmid`: the truth table of DBMID, with a reader and networks that need no training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from skimage.io import imread, imsave
from torch import Tensor

import dgno
from blur_readers import LevelReader, coded, types_in_blocks
from command_line import Cli
from dgno.errors import ConfigError
from dgno.io.provenance import read_provenance
from dgno.networks.dbmid import DBMIDConfig, DBMIDNet
from dgno.optics.blur_types import BLUR_TYPES, CELL, DEFOCUS, MIXED, MOTION, BlurReading
from dgno.restoration.blur_maps import Reader
from dgno.weights.store import Card, save_weights

CONFIG = DBMIDConfig(widths=(4, 4, 4), kernel=3)


class OneType:
    """Finds one type of blur everywhere."""

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __call__(self, x: Float[Tensor, "b c h w"]) -> BlurReading:
        ones = torch.ones(len(x), x.shape[2] // CELL, x.shape[3] // CELL)
        types = torch.stack([ones * (kind == self.kind) for kind in range(4)], 1)
        return BlurReading(types, 2 * ones, 9 * ones, 0 * ones)


def use(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("dgno.restoration.workbench.make_reader", "dgno.api.make_reader"):
        monkeypatch.setattr(place, lambda name, device: reader)


@pytest.fixture(autouse=True)
def nets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Drawn networks in the places of DL_defocus and DL_motion, by their names, and a reader."""
    names = {}
    for seed, name in enumerate(("dl-defocus", "dl-motion")):
        torch.manual_seed(seed)
        names[name] = str(save_weights(tmp_path / f"{name}.safetensors", DBMIDNet(CONFIG).state_dict(), Card(CONFIG)))
    chosen = {kind: names[name] for kind, name in ((DEFOCUS, "dl-defocus"), (MOTION, "dl-motion"))}
    table = {kind: (name,) for kind, name in chosen.items()} | {MIXED: (chosen[MOTION], chosen[DEFOCUS])}
    monkeypatch.setattr("dgno.restoration.from_weights.DBMID_NETS", table)
    use(LevelReader(), monkeypatch)
    (tmp_path / "reader.safetensors").write_bytes(b"levels")
    return names


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("kind", range(4))
def test_the_truth_table(
    cli: Cli, tmp_path: Path, nets: dict[str, str], kind: int, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In focus: unchanged. Defocus, motion: its network. Mixed: that of motion, then that of defocus. Gray as well."""
    use(OneType(kind), monkeypatch)
    before = coded(np.full((12, 12), 1), samples=samples).pixels
    imsave(tmp_path / "in.png", before, check_contrast=False)
    reader = tmp_path / "reader.safetensors"
    assert (
        cli("restore", tmp_path / "in.png", "-o", tmp_path / "out.png", "--method", "dbmid", "--reader", reader).status
        == 0
    )
    after = imread(tmp_path / "out.png")
    wanted = {"in focus": [], DEFOCUS: ["dl-defocus"], MOTION: ["dl-motion"], MIXED: ["dl-motion", "dl-defocus"]}
    x = torch.from_numpy(before.astype(np.float32))
    low, high = (0.0, 255.0) if samples == 3 else np.percentile(before, (0.1, 99.9))
    x = (x.movedim(-1, 0)[None] if samples == 3 else x.expand(3, *x.shape)[None]) - float(low)
    x = x / float(high - low)
    for name in wanted[BLUR_TYPES[kind]]:
        with torch.no_grad():
            x = dgno.load(nets[name])(x)
    expected = x[0].movedim(0, -1) if samples == 3 else x[0].mean(0)
    if not wanted[BLUR_TYPES[kind]]:
        np.testing.assert_array_equal(after, before)
        return
    rounded = (expected.numpy() * (high - low) + low).round().clip(0, 255)
    assert (after != before).any()
    assert (np.abs(after.astype(float) - rounded) <= 1).mean() > 0.995


def test_what_was_done_is_said(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(OneType(3), monkeypatch)
    imsave(tmp_path / "in.png", coded(np.full((12, 12), 1), samples=3).pixels, check_contrast=False)
    out = tmp_path / "out.png"
    result = cli(
        "restore", tmp_path / "in.png", "-o", out, "--method", "dbmid", "--reader", tmp_path / "reader.safetensors"
    )
    assert "100 % restored as mixed" in result.err
    made = read_provenance(out)
    assert made is not None
    assert set(json.loads(made["weights file sha256"])) == {"dl-defocus.safetensors", "dl-motion.safetensors"}
    options = json.loads(made["options"])
    assert (options["method"], options["route"]) == ("dbmid", "image")


def test_regions_may_be_routed_apart(cli: Cli, tmp_path: Path) -> None:
    picture = coded(types_in_blocks(24, 24), samples=3).pixels
    imsave(tmp_path / "in.png", picture, check_contrast=False)
    out, reader = tmp_path / "out.png", tmp_path / "reader.safetensors"
    arguments = ("restore", tmp_path / "in.png", "-o", out, "--method", "dbmid", "--reader", reader)
    assert cli(*arguments, "--route", "auto").status == 0
    after = imread(out)
    assert (after[:80, :80] == picture[:80, :80]).all() and (after[112:, 112:] != picture[112:, 112:]).any()


def test_the_function_does_what_the_command_does(cli: Cli, tmp_path: Path) -> None:
    picture = coded(np.full((12, 12), 2), samples=3).pixels
    imsave(tmp_path / "in.png", picture, check_contrast=False)
    reader = tmp_path / "reader.safetensors"
    cli("restore", tmp_path / "in.png", "-o", tmp_path / "out.png", "--method", "dbmid", "--reader", reader)
    np.testing.assert_array_equal(dgno.restore(picture, method="dbmid"), imread(tmp_path / "out.png"))


@pytest.mark.parametrize("arguments", [("--route", "off"), ("--weights", "brightfield-nano")])
def test_what_does_not_belong_to_it_is_refused(cli: Cli, tmp_path: Path, arguments: tuple[str, str]) -> None:
    imsave(tmp_path / "in.png", coded(np.zeros((4, 4), int), samples=3).pixels, check_contrast=False)
    result = cli("restore", tmp_path / "in.png", "-o", tmp_path / "out.png", "--method", "dbmid", *arguments)
    assert result.status == 2 and "with method dbmid" in result.err and "--weights dl-defocus" in result.err
    with pytest.raises(ConfigError, match="with method dbmid"):
        dgno.restore(np.zeros((8, 8)), method="dbmid", weights="brightfield-nano")
    with pytest.raises(ConfigError, match="known here: dgno, dbmid"):
        dgno.restore(np.zeros((8, 8)), method="wiener")
