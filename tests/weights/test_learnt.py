"""What weights learnt is what their configurations and cards say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from dgno.data.scenes import Source
from dgno.optics.moving import MotionRange
from dgno.optics.simulate import BlurRange
from dgno.training.config import TrainConfig
from dgno.weights.learnt import Learnt, learnt_by
from dgno.weights.store import EMBEDDED, embedded_names, restores

CONFIGURATIONS = Path(__file__).parents[2] / "docs" / "training"
RESTORING = [name for name in embedded_names() if restores(name)]


@pytest.mark.parametrize("name", RESTORING)
def test_weights_of_the_package_learnt_what_their_cards_say(name: str) -> None:
    """The longest motion; and the largest sigma, of the card or, where it names none, of the configuration."""
    card = (EMBEDDED / f"{name}.md").read_text()
    (blur,) = re.findall(r"\*\*Blur\*\* simulated: (.*)", card)
    lengths = re.findall(r"motion of \d+ to (\d+) px", blur)
    sigmas = re.findall(r"sigma [\d.]+ to ([\d.]+) px", blur)
    if "defocus" in blur:
        sigmas = [tomllib.loads((CONFIGURATIONS / f"{name}.toml").read_text())["blur"]["sigma"][1]]
    wanted = Learnt(float(sigmas[0]) if sigmas else 0.0, float(lengths[0]) if lengths else 1.0)
    assert learnt_by([name]) == wanted
    assert wanted.strength > 4


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (("defocus",), Learnt(sigma=5.0)),
        (("motion",), Learnt(length=30.0)),
        (("mixed",), Learnt(5.0, 30.0)),
        (("in focus", "motion", "defocus"), Learnt(5.0, 30.0)),
    ],
)
def test_a_run_says_what_its_weights_learn(types: tuple[str, ...], wanted: Learnt) -> None:
    motion = {"motion": MotionRange((2.0, 30.0))} if {"motion", "mixed"} & set(types) else {}
    sources = (Source("*.tif"),)
    config = TrainConfig(
        data=Path(), out=Path(), sources=sources, blur=BlurRange(sigma=(0.3, 5.0)), blur_types=types, **motion
    )
    assert config.learnt == wanted


def test_strength_is_that_of_both_together() -> None:
    assert Learnt(sigma=4.5).strength == 4.5
    assert Learnt(sigma=3, length=7).strength == pytest.approx((9 + 48 / 12) ** 0.5)
    assert learnt_by(["dl-motion", "dl-defocus"]) == Learnt(sigma=4.5, length=40)


def test_of_other_weights_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "other.safetensors").write_bytes(b"x")
    assert learnt_by([tmp_path / "other.safetensors"]) is None
    assert learnt_by(["no-such-weights"]) is None
    assert learnt_by(["dl-motion", "no-such-weights"]) is None
