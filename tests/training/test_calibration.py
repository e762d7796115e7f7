"""Temperatures are fitted on held-out crops: softer where the network was too sure, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.io import imsave

from dgno.data.recorded import PairSource
from dgno.evaluation.calibration import store_temperature, told_and_actual
from dgno.evaluation.classification import negative_log_likelihood
from dgno.networks.blur_reader import ReaderConfig
from dgno.networks.presets import NetworkConfig, build
from dgno.networks.vgg import VGGConfig
from dgno.optics.blur_types import BLUR_TYPES
from dgno.training.batches import find_data
from dgno.training.config import Stage, TrainConfig, load_config
from dgno.training.loop import train
from dgno.weights.store import Card, load_classifier, read_weights, save_weights

NETWORKS: dict[str, NetworkConfig] = {"reader": ReaderConfig(width=4), "vgg": VGGConfig(width=2, hidden=8)}


@pytest.fixture(params=NETWORKS)
def config(request: pytest.FixtureRequest, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    monkeypatch.setattr("dgno.evaluation.calibration.BATCHES", 3)
    base = load_config(run_folder / "config.toml")
    return replace(base, network=NETWORKS[request.param], blur_types=BLUR_TYPES, stages=(Stage(1, 64, 4),))


def too_sure(config: TrainConfig, path: Path) -> Path:
    """Weights of a network that knows nothing and is very sure of it."""
    torch.manual_seed(0)
    tensors = build(config.network).state_dict()
    for name in ("squares.weight", "whole.weight", "head.6.weight"):
        if name in tensors:
            tensors[name] *= 300
    return save_weights(path, tensors, Card(config.network))


def test_what_was_too_sure_becomes_softer(config: TrainConfig, tmp_path: Path) -> None:
    path = too_sure(config, tmp_path / "w.safetensors")
    before, _ = load_classifier(path)
    temperatures = store_temperature(path, config)
    after, _ = load_classifier(path)
    assert after.temperature.flatten().tolist() == pytest.approx(temperatures)
    assert all(t > 3 for t in temperatures)
    held_out = find_data(config)[1](True)
    for (logits, labels), t in zip(told_and_actual(before, held_out, config), temperatures, strict=True):  # type: ignore[arg-type]
        assert negative_log_likelihood(logits / t, labels) < negative_log_likelihood(logits, labels)


def test_all_other_tensors_stay(config: TrainConfig, tmp_path: Path) -> None:
    path = too_sure(config, tmp_path / "w.safetensors")
    before = read_weights(path)[1]
    store_temperature(path, config)
    after = read_weights(path)[1]
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before if name != "temperature")
    first = store_temperature(path, config)
    assert store_temperature(path, config) == first  # the fit begins from 1 each time


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_recorded_images_train_and_calibrate_too(network: NetworkConfig, tmp_path: Path) -> None:
    """Of a data set whose folders tell the types; of its two fields one is held out."""
    rng = np.random.default_rng(0)
    for field in ("a", "b"):
        for folder, name in (("in-focus", field), ("defocus", f"{field}_z1"), ("motion", f"{field}_L5")):
            path = tmp_path / "set" / "train" / "TCT" / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            imsave(path, rng.integers(0, 255, (64, 64, 3), np.uint8), check_contrast=False)
    pairs, stages = PairSource(layout="dbmid"), (Stage(2, 64, 4),)
    config = TrainConfig(tmp_path / "set", tmp_path / "run", pairs=pairs, network=network, stages=stages)
    weights, steps = train(config)
    assert steps == 2
    temperatures = store_temperature(weights, config)
    assert load_classifier(weights)[0].temperature.flatten().tolist() == pytest.approx(temperatures)
    assert temperatures != [1.0] * len(temperatures)
    kept = weights.read_bytes()
    assert train(config, resume=True) == (weights, 2)  # complete: what was fitted stays
    assert weights.read_bytes() == kept
