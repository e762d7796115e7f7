"""From a folder of sharp images to a network and a restored image, in two commands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread, imsave

from dgno.errors import ConfigError, DgnoError, NotAFile, OutputExists
from dgno.networks.presets import NETWORKS
from dgno.training.batches import find_data
from dgno.training.config import load_config
from dgno.training.starting import starting_config, write_starting_config
from dgno.weights.store import find_weights, read_weights


def images(folder: Path, *names: str, channels: int = 1) -> Path:
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (70, 60, channels), np.uint8)
        imsave(folder / name, pixels.squeeze(), check_contrast=False)
    return folder


@pytest.mark.parametrize(("channels", "weights", "normalization"), [
    (1, "fluorescence-nano", "percentile"), (3, "brightfield-nano", "range"),
])  # fmt: skip
def test_a_configuration_fits_the_images(tmp_path: Path, channels: int, weights: str, normalization: str) -> None:
    """And the weights that it goes on from."""
    images(tmp_path / "sharp", "a.png", "b.png", channels=channels)
    path = write_starting_config(tmp_path / "sharp", tmp_path / "mine")
    config = load_config(path)
    assert (config.network.channels, str(config.init), config.normalization) == (channels, weights, normalization)
    assert {source.range for source in config.sources} == {"percentile" if channels == 1 else "dtype"}
    card, _ = read_weights(find_weights(weights))
    assert config.network == card.network
    assert (card.image, card.normalization) == (config.image, config.normalization)
    assert config.network.blocks == NETWORKS["nano-cell"].blocks
    assert config.out.resolve() == tmp_path / "mine"


def test_every_image_is_shown_alike(tmp_path: Path) -> None:
    """Of all endings and subfolders; hidden files, as other systems leave them, are passed over."""
    names = ["a.png", "b.PNG", "c.tif", "day 1/d.png", "day 1/deeper/e.png"]
    folder = images(tmp_path / 'a "quoted" folder', *names)
    (folder / "._a.png").write_bytes(b"left by another system")
    (folder / "notes.txt").write_text("x")
    config = load_config(write_starting_config(folder, tmp_path / "x" / "y"))
    listed = find_data(config).listed
    assert sorted(name for part in listed for name, _ in part) == sorted(names)
    assert [source.weight for source in config.sources] == [len(part) for part in listed]


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda folder: folder.mkdir(), ConfigError, "holds no images"),
    (lambda folder: folder.write_text(""), NotAFile, "a file and not a folder"),
    (lambda folder: (images(folder, "a.png") / "b.png").write_bytes(b"?"), DgnoError, "b.png"),
])  # fmt: skip
def test_what_cannot_be_trained_on_is_told_at_once(
    tmp_path: Path, make: Callable[[Path], object], error: type[DgnoError], message: str
) -> None:
    make(tmp_path / "sharp")
    with pytest.raises(error, match=message):
        starting_config(tmp_path / "sharp", tmp_path / "out", place=tmp_path / "train.toml")
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_begun_is_not_replaced(tmp_path: Path) -> None:
    """Before its first checkpoint the configuration is taken as it is, changed or not."""
    images(tmp_path / "sharp", "a.png")
    path = write_starting_config(tmp_path / "sharp", tmp_path / "mine")
    path.write_text("changed")
    assert write_starting_config(tmp_path / "sharp", tmp_path / "mine") == path
    (tmp_path / "mine" / "checkpoints" / "step-00000100").mkdir(parents=True)
    with pytest.raises(OutputExists, match=r"a run was begun there.*add --resume"):
        write_starting_config(tmp_path / "sharp", tmp_path / "mine")
    assert path.read_text() == "changed"


@pytest.mark.parametrize("out", ["sharp", "sharp/mine", "sharp/../sharp/mine"])
def test_a_network_does_not_lie_among_its_images(tmp_path: Path, out: str) -> None:
    """Its pictures would be trained on when the run goes on."""
    images(tmp_path / "sharp", "a.png")
    with pytest.raises(ConfigError, match="among the images"):
        write_starting_config(tmp_path / "sharp", tmp_path / out)
    assert [path.name for path in (tmp_path / "sharp").iterdir()] == ["a.png"]


def dgno(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as a user gives it in a folder of hers."""
    command = [sys.executable, "-m", "dgno", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_from_nothing_to_a_restored_image(tmp_path: Path) -> None:
    """The first command tells the next ones."""
    images(tmp_path / "sharp", "a.png", "b.png", "c.png")
    begun = dgno(tmp_path, "train", "sharp", "-o", "mine", "--max-minutes", "0", "--threads", "1")
    assert begun.returncode == 0, begun.stderr
    assert "dgno train mine/train.toml --resume goes on" in begun.stderr
    told = begun.stderr.strip().rsplit("; ", 1)[1]
    arguments = told.removesuffix(" uses them").replace("IMAGE", "sharp/a.png").replace("RESTORED", "r.png").split()
    restored = dgno(tmp_path, *arguments[1:])
    assert restored.returncode == 0, restored.stderr
    assert imread(tmp_path / "r.png").shape == (70, 60)
