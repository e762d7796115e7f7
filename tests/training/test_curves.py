"""Pictures and TensorBoard files of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage.io import imread

from dgno.training.config import load_config
from dgno.training.curves import draw_curves, smoothed
from dgno.training.loop import train
from dgno.training.scalars import scalar_writer


def test_curves_of_a_run(run_folder: Path) -> None:
    config = load_config(run_folder / "config.toml")
    train(config)
    draw_curves(config.out / "log.jsonl", config.out / "curves.png")
    picture = imread(config.out / "curves.png")
    assert picture.shape[0] > 300
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 10


def test_one_wild_step_does_not_bend_the_curve() -> None:
    values = [1.0] * 300
    values[150] = 1e6
    _, curve = smoothed(range(300), values)
    assert max(curve) == 1.0


def test_tensorboard_gets_the_log(tmp_path: Path) -> None:
    """Read back with TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with scalar_writer(tmp_path, wanted=True) as write:
        for step in (1, 2, 3):
            write({"step": step, "spatial": 1 / step})
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(e.step, round(e.value, 3)) for e in read.Scalars("spatial")] == [(1, 1.0), (2, 0.5), (3, 0.333)]


def test_nothing_is_written_unless_wanted(tmp_path: Path) -> None:
    with scalar_writer(tmp_path, wanted=False) as write:
        write({"step": 1, "spatial": 0.5})
    assert not list(tmp_path.iterdir())
