"""Pictures and TensorBoard files of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

from dgno.training.curves import draw_curves, smoothed
from dgno.training.scalars import scalar_writer

COLOURS = {"loss": (31, 119, 180), "psnr_restored": (31, 119, 180), "psnr_blurred": (0, 0, 0)}


def pixels_of_curves(folder: Path, bent: str) -> dict[str, np.ndarray]:
    """Where each curve's colour is, on its half of the picture; in the middle of the run the curve `bent` sags."""
    rng = np.random.default_rng(0)
    entries: list[dict[str, float]] = []
    for step in range(1, 61):
        values = {"loss": rng.uniform(0.1, 0.2) if 1 < step < 60 else (1.0 if step == 1 else 0.01)}
        if step % 10 == 0:
            values |= {"psnr_restored": 20 + step / 10, "psnr_blurred": 20 + step / 20}
        if bent in values and 15 < step < 45:
            values[bent] *= 0.97 if bent.startswith("psnr") else 0.5
        entries.append({"step": step, **values})
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, entries)))
    draw_curves(folder / "log.jsonl", folder / "curves.png")
    picture = imread(folder / "curves.png")[..., :3].astype(int)
    middle = picture.shape[1] // 2
    halves = {key: picture[:, :middle] if key == "loss" else picture[:, middle:] for key in COLOURS}
    return {key: (np.abs(halves[key] - colour) < 40).all(-1) for key, colour in COLOURS.items()}


@pytest.mark.parametrize("bent", COLOURS)
def test_every_curve_is_drawn(tmp_path: Path, bent: str) -> None:
    """On its half of the picture, in its colour: where it bends, its pixels move, and those of no other half."""
    before, after = pixels_of_curves(tmp_path, ""), pixels_of_curves(tmp_path, bent)
    moved = {key: int((before[key] != after[key]).sum()) for key in COLOURS}
    assert moved[bent] > 20
    assert all(count == 0 for key, count in moved.items() if (key == "loss") != (bent == "loss"))


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
