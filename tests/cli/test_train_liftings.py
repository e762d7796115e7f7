"""Other liftings are trained, resumed, saved and used like the published one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage.io import imread, imsave

from command_line import Cli
from dgno.training.config import load_config
from dgno.training.loop import train
from dgno.weights.store import load_weights

KINDS = pytest.mark.parametrize(("lifting", "scope"), [("nafnet", "elements"), ("restormer", "blocks")])


def configure(folder: Path, lifting: str, scope: str) -> Path:
    """The configuration of `run_folder` with another network, and one image, so that none is held out to validate."""
    for image in sorted((folder / "sharp").iterdir())[1:]:
        image.unlink()
    text = (folder / "config.toml").read_text()
    text = text.replace("[network]\n", f'[network]\nlifting = "{lifting}"\nscope = "{scope}"\n')
    text = text.replace("until = 5", "until = 3").replace("until = 9", "until = 5")
    (folder / "other.toml").write_text(text)
    return folder / "other.toml"


@KINDS
def test_an_interrupted_run_ends_like_an_unbroken_one(run_folder: Path, lifting: str, scope: str) -> None:
    """Bit for bit: weights, averages and the state of the optimiser."""
    config = load_config(configure(run_folder, lifting, scope))
    broken = replace(config, out=run_folder / "broken")
    train(config)
    assert train(broken, max_minutes=1e-4)[1] < config.steps
    train(broken, resume=True)
    files = sorted((config.out / "checkpoints" / "step-00000005").glob("*.safetensors"))
    assert len(files) == 3
    for file in (*files, config.out / "weights.safetensors"):
        ours, theirs = load_file(file), load_file(broken.out / file.relative_to(config.out))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), file


@KINDS
def test_train_and_restore(cli: Cli, run_folder: Path, lifting: str, scope: str) -> None:
    """Through the command line: the weights say what network they are for, and restore an image of any size."""
    result = cli("train", configure(run_folder, lifting, scope), "--max-minutes", "1e-4", "--json")
    assert result.status == 0, result.err
    weights = Path(result.json["weights"])
    network, card = load_weights(weights)
    assert (card.network.lifting, card.network.scope) == (lifting, scope)
    shown = cli("models", "show", weights, "--json").json
    assert (shown["network lifting"], shown["training steps"]) == (lifting, result.json["steps"])

    blurred = imread(run_folder / "sharp" / "00.png")[:61, :77]
    imsave(run_folder / "blurred.png", blurred, check_contrast=False)
    result = cli("restore", run_folder / "blurred.png", "-o", run_folder / "restored.png", "--weights", weights)
    assert result.status == 0, result.err
    with torch.no_grad():
        expected = network(torch.from_numpy(blurred / np.float32(255))[None, None])[0, 0].clamp(0, 1) * 255
    np.testing.assert_allclose(imread(run_folder / "restored.png"), expected.numpy(), atol=0.51)
