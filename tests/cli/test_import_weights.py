"""Published checkpoints through the command line: their numbers come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from command_line import Cli

SMALL = ["small_cell_jump_neumann_gray", "small_face_avgjump_dirichlet_rgb"]


@pytest.mark.parametrize("name", SMALL)
def test_golden_numbers_through_import_and_restore(cli: Cli, tmp_path: Path, shared_data: Path, name: str) -> None:
    """`import-weights`, then `restore --normalize none` on a float32 TIFF, give the stored output."""
    folder = shared_data.parent / "golden"
    with safe_open(folder / f"{name}.io.safetensors", "pt") as file:
        facts = file.metadata()
    torch.save({"params": load_file(folder / f"{name}.params.safetensors")}, tmp_path / "published.pth")
    imported = cli(
        "import-weights", tmp_path / "published.pth", tmp_path / "ours.safetensors",
        "--flux", facts["flux"], "--boundary", facts["boundary"], "--json",
    )  # fmt: skip
    assert imported.status == 0, imported.err
    assert imported.json["network"]["traces"] == facts["variant"]
    numbers = load_file(folder / f"{name}.io.safetensors")
    pixels = numbers["input"][0].permute(1, 2, 0).squeeze(-1).contiguous().numpy()
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    restored = cli(
        "restore", tmp_path / "in.tif", "-o", tmp_path / "out.tif",
        "--weights", tmp_path / "ours.safetensors", "--normalize", "none",
    )  # fmt: skip
    assert restored.status == 0, restored.err
    result = tifffile.imread(tmp_path / "out.tif")
    expected = numbers["output_full"][0].permute(1, 2, 0).squeeze(-1).numpy()
    assert result.dtype == np.float32
    difference = np.abs(result - expected)
    assert difference.mean() <= 1e-5
    assert np.quantile(difference, 0.999) <= 1e-3


def test_refusals(cli: Cli, tmp_path: Path) -> None:
    missing = cli(
        "import-weights", tmp_path / "no.pth", tmp_path / "o.safetensors", "--flux", "jump", "--boundary", "neumann"
    )
    assert (missing.status, "E-IN-MISSING" in missing.err) == (3, True)
    (tmp_path / "bad.pth").write_bytes(b"PK no zip")
    broken = cli(
        "import-weights", tmp_path / "bad.pth", tmp_path / "o.safetensors", "--flux", "jump", "--boundary", "neumann"
    )
    assert (broken.status, "E-CK-CORRUPT" in broken.err) == (5, True)
    assert not (tmp_path / "o.safetensors").exists()


def test_a_missing_checkpoint_is_told_before_missing_options(cli: Cli, tmp_path: Path) -> None:
    missing = cli("import-weights", tmp_path / "no.pth", tmp_path / "o.safetensors")
    assert (missing.status, "E-IN-MISSING" in missing.err) == (3, True)
    (tmp_path / "c.pth").write_bytes(b"x")
    for given, told in (((), "--flux and --boundary"), (("--flux", "jump"), "--boundary")):
        result = cli("import-weights", tmp_path / "c.pth", tmp_path / "o.safetensors", *given)
        assert (result.status, f"without {told}:" in result.err) == (2, True)


def test_the_checkpoint_is_never_replaced(cli: Cli, tmp_path: Path) -> None:
    checkpoint = tmp_path / "c.pth"
    checkpoint.write_bytes(b"all there is")
    (tmp_path / "link.safetensors").symlink_to(checkpoint)
    for out in (checkpoint, tmp_path / "link.safetensors"):
        result = cli("import-weights", checkpoint, out, "--flux", "jump", "--boundary", "neumann", "--overwrite")
        assert (result.status, "E-OUT-INPUT" in result.err) == (4, True)
    assert checkpoint.read_bytes() == b"all there is"


def test_a_misspelt_choice_is_not_blamed_on_the_checkpoint(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.pth").write_bytes(b"x")
    result = cli(
        "import-weights", tmp_path / "c.pth", tmp_path / "o.safetensors", "--flux", "jmp", "--boundary", "neumann"
    )
    assert result.status == 2
    assert "flux is 'jmp', wanted one of" in result.err
