"""The demo that the README names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from skimage.io import imread

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"


def test_the_demo_leaves_its_figure_and_pictures(tmp_path: Path) -> None:
    """Run as a newcomer would, from a folder of their own; nothing else is written there."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, str(DEMO), "pictures"]
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count(" dB blurred, ") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
    folder = tmp_path / "pictures"
    names = ("cell", "HE", "smear")
    pictures = {f"{name}_{state}.png" for name in names for state in ("blurred", "restored")}
    assert {path.name for path in folder.iterdir()} == pictures | {"before_after.png"}
    for name in names:
        blurred, restored = (imread(folder / f"{name}_{state}.png").astype(int) for state in ("blurred", "restored"))
        assert blurred.shape == restored.shape
        assert restored.std() > 5
        assert np.abs(restored - blurred).mean() > 0.5
        assert np.abs(restored - blurred).mean() < 30
    figure = np.asarray(imread(folder / "before_after.png"))[..., :3]
    rows = np.array_split(figure, 3)
    panels = [panel for row in rows for panel in np.array_split(row, 3, axis=1)]
    assert all((panel.mean(-1) < 250).mean() > 0.2 for panel in panels)
