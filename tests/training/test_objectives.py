"""Every family of networks trains by the same loop: its loss falls, it is validated, and a kill changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dgno.errors import CheckpointMismatch, ConfigError
from dgno.networks.blur_reader import BlurReader, ReaderConfig
from dgno.networks.dbmid import DBMIDConfig, DBMIDNet
from dgno.networks.presets import NetworkConfig
from dgno.networks.vgg import VGG, VGGConfig
from dgno.optics.blur_types import BLUR_TYPES
from dgno.training.ahead import batches_from
from dgno.training.batches import find_data
from dgno.training.config import Stage, TrainConfig, load_config
from dgno.training.loop import take_step, train
from dgno.training.parallel import Ranks
from dgno.training.state import CPU, TrainState
from dgno.weights.store import load_classifier, load_network, load_weights, restores
from training_run import log_of

FAMILIES: dict[str, NetworkConfig] = {
    "dbmid": DBMIDConfig(channels=1, widths=(4, 6, 8), kernel=3),
    "reader": ReaderConfig(width=4),
    "vgg": VGGConfig(width=2, hidden=8),
}
each = pytest.mark.parametrize("family", FAMILIES)


def configured(run_folder: Path, family: str, out: str = "run") -> TrainConfig:
    config, network = load_config(run_folder / "config.toml"), FAMILIES[family]
    types = BLUR_TYPES if network.tells_types else ("motion", "mixed")
    stages = (Stage(6, 32, 4),)
    return replace(
        config, network=network, blur_types=types, stages=stages, out=run_folder / out, checkpoint_every=3,
        validate_every=6,
    )  # fmt: skip


@each
def test_a_family_trains_validates_and_is_kept(run_folder: Path, family: str) -> None:
    config = configured(run_folder, family)
    weights, steps = train(config)
    log = log_of(config.out)
    assert steps == 6 and all(entry["loss"] > 0 for entry in log)
    score = "accuracy" if config.network.tells_types else "psnr_restored"
    assert [score in entry for entry in log] == [False] * 5 + [True]
    network, card = load_network(weights)
    assert isinstance(network, {"dbmid": DBMIDNet, "reader": BlurReader, "vgg": VGG}[family])
    assert card.network == config.network


@each
def test_the_loss_of_a_batch_falls(run_folder: Path, family: str) -> None:
    """Shown again and again."""
    config = configured(run_folder, family)
    pairs, state = find_data(config)[1](False), TrainState.start(config)
    batch = next(batches_from(0, pairs, config, Ranks(), workers=0, device=CPU))
    losses = [take_step(state, config, batch, ranks=Ranks(), device=CPU)["loss"] for _ in range(6)]
    assert losses[-1] < losses[0]


@each
def test_a_run_in_two_parts_is_the_run_in_one(run_folder: Path, family: str) -> None:
    """Dropout included, which is drawn from each step's own seed."""
    whole, parts = configured(run_folder, family, "whole"), configured(run_folder, family, "parts")
    train(whole)
    train(parts, max_minutes=0)
    torch.manual_seed(99)  # whatever was drawn between
    train(parts, resume=True)
    left, right = (load_file(config.out / "weights.safetensors") for config in (whole, parts))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    losses = [[entry["loss"] for entry in log_of(config.out)] for config in (whole, parts)]
    assert losses[0] == losses[1]


def test_weights_that_restore_and_those_that_tell_are_not_mixed_up(run_folder: Path) -> None:
    tells, _ = train(configured(run_folder, "reader", "tells"))
    heals, _ = train(configured(run_folder, "dbmid", "heals"))
    assert restores(heals) and not restores(tells)
    with pytest.raises(CheckpointMismatch, match=r"do not restore.*give weights that restore: .*brightfield-nano"):
        load_weights(tells)
    with pytest.raises(CheckpointMismatch, match="do not tell the blur"):
        load_classifier(heals)


def test_a_classifier_needs_sharp_images(run_folder: Path) -> None:
    file = run_folder / "config.toml"
    text = file.read_text().replace("[network]", '[pairs]\nlayout = "folder-pair"\n[network]').split("[[sources]]")[0]
    head, tail = text.split("[network]")
    file.write_text(head + '[network]\npreset = "blur-reader"\n[blur]' + tail.split("[blur]")[1])
    with pytest.raises(ConfigError, match="a classifier of blur is trained on sharp images"):
        load_config(file)


@pytest.mark.parametrize(("lines", "wanted"), [
    ('blur_types = ["moton"]', "did you mean 'motion'"),
    ("blur_types = []", "blur_types is empty"),
])  # fmt: skip
def test_types_of_blur_are_checked(run_folder: Path, lines: str, wanted: str) -> None:
    file = run_folder / "config.toml"
    file.write_text(lines + "\n" + file.read_text())
    with pytest.raises(ConfigError, match=wanted):
        load_config(file)


def test_a_table_of_motion_that_nothing_draws_is_refused(run_folder: Path) -> None:
    file = run_folder / "config.toml"
    file.write_text(file.read_text().replace("[augmentation]", "[motion]\nlength = [5, 20]\n[augmentation]"))
    with pytest.raises(ConfigError, match="blur_types draws none"):
        load_config(file)


def test_a_family_is_named_or_comes_with_its_preset(run_folder: Path) -> None:
    file = run_folder / "config.toml"
    head, tail = file.read_text().split("[network]")
    for network, wanted in (
        ('family = "dbmid"\nkernel = 3', DBMIDConfig(kernel=3)),
        ('preset = "dbmid-3"\nwidths = [4, 4, 4]', DBMIDConfig(kernel=3, widths=(4, 4, 4))),
        ('preset = "blur-vgg16-nano"', VGGConfig(width=8, hidden=64)),
    ):
        file.write_text(head + f"[network]\n{network}\n[blur]" + tail.split("[blur]")[1])
        assert load_config(file).network == wanted
    file.write_text(head + '[network]\nfamily = "dbmit"\n[blur]' + tail.split("[blur]")[1])
    with pytest.raises(ConfigError, match=r"network\.family is 'dbmit', did you mean 'dbmid'"):
        load_config(file)
