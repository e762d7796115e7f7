"""`dgno train` on a folder of sharp images."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import Cli


def test_a_configuration_that_is_not_there_is_told_once(cli: Cli, tmp_path: Path) -> None:
    said = cli("train", tmp_path / "nothere.toml")
    assert said.status == 2
    assert said.err.count("nothere.toml") == 1 and "Errno" not in said.err
    assert "check the name; a folder of sharp images may be given" in said.err
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    looped = cli("train", tmp_path / "loop.toml")
    assert (looped.status, looped.err.count("loop.toml"), "Errno" in looped.err) == (2, 1, False)


def test_skip_bad_is_written_into_the_configuration(cli: Cli, run_folder: Path) -> None:
    """So that going on with the file leaves out the same; 2 of 22 images are too many."""
    assert "skip_bad = true" not in cli("train", run_folder / "sharp", "--show").out
    assert "skip_bad = true" in cli("train", run_folder / "sharp", "--show", "--skip-bad").out
    (run_folder / "sharp" / "text.png").write_text("no image")
    (run_folder / "sharp" / "empty.png").touch()
    for arguments in (("--show", "--skip-bad"), ("-o", run_folder / "mine")):
        refused = cli("train", run_folder / "sharp", *arguments)
        assert (refused.status, "E-IN-SEVERAL" in refused.err, "2 of 22 files" in refused.err) == (3, True, True)
        assert "text.png: " in refused.err and "empty.png: " in refused.err
    assert not (run_folder / "mine").exists()


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
