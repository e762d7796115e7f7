"""Several processes train as one does: same losses, same weights but for rounding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dgno.errors import ConfigError
from dgno.training.config import load_config
from dgno.training.loop import train
from dgno.training.parallel import Ranks
from training_run import log_of

STAGES = "stages = [{until = 4, crop = 32, batch = 4}]"


def write_config(folder: Path, name: str) -> Path:
    """The small run with batches that two processes can share."""
    lines = (folder / "config.toml").read_text().replace('out = "run"', f'out = "{name}"').splitlines()
    path = folder / f"{name}.toml"
    path.write_text("\n".join(STAGES if line.startswith("stages") else line for line in lines))
    return path


def test_two_processes_train_like_one(run_folder: Path) -> None:
    """Real processes under torchrun, with gloo: losses within 1e-5 of one process with the joint batch."""
    alone, together = write_config(run_folder, "alone"), write_config(run_folder, "together")
    train(load_config(alone))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "dgno", "train", str(together), "--threads", "1", "--device", "cpu"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ}, check=False)
    assert run.returncode == 0, run.stderr
    one, two = log_of(run_folder / "alone"), log_of(run_folder / "together")
    assert [e["step"] for e in two] == [1, 2, 3, 4]
    for key in ("spatial", "frequency"):
        np.testing.assert_allclose([e[key] for e in two], [e[key] for e in one], rtol=1e-5)
    a, b = (load_file(run_folder / name / "weights.safetensors") for name in ("alone", "together"))
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 1e-4


def test_a_batch_that_cannot_be_shared_is_refused_before_the_first_step(run_folder: Path) -> None:
    """The second stage of the small run has batches of one."""
    with pytest.raises(ConfigError, match="a batch of 1 on 2 processes"):
        train(load_config(run_folder / "config.toml"), ranks=Ranks(0, 2))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_sample_of_a_batch_is_made_once(size: int) -> None:
    slots = [slot for rank in range(size) for slot in Ranks(rank, size).slots(12)]
    assert sorted(slots) == list(range(12))


def test_bf16_comes_close_to_fp32(run_folder: Path) -> None:
    """Products in bf16, parameters and loss in fp32: the first losses agree to a percent. The steps are small:
    with those of the small run what is rounded differently grows from step to step."""
    fp32 = write_config(run_folder, "fp32")
    fp32.write_text(fp32.read_text().replace("learning_rate = 2e-3", "learning_rate = 2e-4"))
    bf16 = run_folder / "bf16.toml"
    bf16.write_text('precision = "bf16"\n' + fp32.read_text().replace('out = "fp32"', 'out = "bf16"'))
    remarks: dict[Path, list[str]] = {fp32: [], bf16: []}
    for path in (fp32, bf16):
        train(load_config(path), remark=remarks[path].append)
    assert not remarks[fp32]
    assert [text.split(":")[0] for text in remarks[bf16]] == ["precision is bf16"]  # slower than fp32 here
    one, two = log_of(run_folder / "fp32"), log_of(run_folder / "bf16")
    np.testing.assert_allclose([e["spatial"] for e in two], [e["spatial"] for e in one], rtol=0.01)
    tensors = load_file(run_folder / "bf16" / "weights.safetensors")
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in tensors.values())
