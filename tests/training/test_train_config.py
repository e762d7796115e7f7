"""Configurations: read, or refused with everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgno.errors import ConfigError
from dgno.training.config import Stage, load_config
from dgno.training.loop import learning_rate


def test_read(run_folder: Path) -> None:
    config = load_config(run_folder / "config.toml")
    assert config.network.blocks == (1, 1, 1, 1)
    assert config.blur.sigma == (0.6, 2.0)
    assert config.stages == (Stage(5, 32, 2), Stage(9, 64, 1))
    assert (config.steps, config.stage(4).crop, config.stage(5).crop) == (9, 32, 64)
    assert config.data == run_folder / "sharp"


@pytest.mark.parametrize(("line", "message"), [
    ("learning_rte = 1e-3", "unknown key 'learning_rte', did you mean 'learning_rate'"),
    ("zzz = 1", "unknown key 'zzz', known: data"),
    ("clip = 'much'", "clip is 'much', wanted float"),
    ("seed = 1.5", "seed is 1.5, wanted int"),
    ("seed = true", "seed is True, wanted int"),
])  # fmt: skip
def test_a_wrong_key_is_named(run_folder: Path, line: str, message: str) -> None:
    file = run_folder / "config.toml"
    kept = [old for old in file.read_text().splitlines() if old.split(" =")[0] != line.split(" =")[0]]
    file.write_text(line + "\n" + "\n".join(kept))
    with pytest.raises(ConfigError, match="configuration does not fit") as caught:
        load_config(file)
    assert message in str(caught.value)


def test_all_problems_come_at_once(run_folder: Path) -> None:
    file = run_folder / "config.toml"
    text = file.read_text().replace("heads = 2", "heads = 3").replace('out = "run"', "").replace("[0.6, 2.0]", "[0.6]")
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    for part in ("out is missing", "width 8 and heads 3", "blur.sigma is [0.6]"):
        assert part in str(caught.value)


@pytest.mark.parametrize("text", ["seed = ", "a = 1\na = 2", "\x00"])
def test_broken_toml(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_config(tmp_path / "c.toml")


def test_the_learning_rate_rises_and_falls(run_folder: Path) -> None:
    """Linear warm-up, then half a cosine down to the final rate."""
    config = load_config(run_folder / "config.toml")
    rates = [learning_rate(step, config) for step in range(config.steps + 1)]
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == pytest.approx(2e-3) == rates[2]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(1e-6)
