"""`dgno train` on a folder of sharp images."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import Cli


def test_train_on_a_folder_of_images(cli: Cli, run_folder: Path) -> None:
    """--show prints what would be trained; a place is wanted, and said in one way only; --resume goes on."""
    shown = cli("train", run_folder / "sharp", "--show")
    assert shown.status == 0 and 'init = "fluorescence-nano"' in shown.out
    assert not (run_folder / "sharp-run").exists()
    nowhere = cli("train", run_folder / "sharp")
    assert nowhere.status == 2 and "give --out FOLDER" in nowhere.err
    twice = cli("train", run_folder / "config.toml", "-o", run_folder / "x")
    assert twice.status == 2 and "the configuration says where the run goes" in twice.err
    folder = ("train", run_folder / "sharp", "-o", run_folder / "mine", "--max-minutes", "0", "--json")
    assert json.loads(cli(*folder).out)["steps"] == 0
    assert "E-OUT-EXISTS" in cli(*folder).err
    assert cli(*folder, "--resume").status == 0
