"""`dgno models`."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from command_line import Cli
from dgno.weights.store import embedded_names, find_weights


def test_models(cli: Cli, weights: dict[int, Path]) -> None:
    """The table counts as the paper does; a card can be shown, a file verified."""
    networks = {n["name"]: n for n in cli("models", "--json").json["networks"]}
    assert networks["dgno-cell"]["parameters"] == 12_794_888
    assert networks["dgno-cell"]["GMAC layers"] == pytest.approx(49.6, abs=0.05)
    assert networks["dgno-cell"]["blocks"] == [2, 4, 6, 2]
    assert "12,794,888" in cli("models").out
    assert cli("models", "show", weights[1], "--json").json["parameters"] > 1000
    assert "width" in cli("models", "show", weights[1]).out
    assert cli("models", "verify", weights[1], "--json").json == {str(weights[1]): "whole"}
    assert cli("models", "show").status == 2
    assert cli("models", "show", "nothing").status == 5


@pytest.mark.parametrize(("arguments", "said"), [
    (("foo",), "'foo' is no action; say list, show NAME, or verify [NAME]"),
    (("fluorescence-nano",), "did you mean models show fluorescence-nano?"),
    (("show",), "of which weights?"),
])  # fmt: skip
def test_a_wrong_action_of_models_is_told_with_the_known_names(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    result = cli("models", *arguments)
    assert result.status == 2
    assert said in result.err
    assert all(name in result.err for name in ("brightfield-nano", "fluorescence-nano"))


def test_embedded_weights_are_whole(cli: Cli) -> None:
    result = cli("models", "verify", "--json")
    assert result.status == 0
    assert {"blur-types", "fluorescence-nano", "dl-motion"} <= result.json.keys()
    assert set(result.json.values()) == {"whole"}


@pytest.mark.parametrize("name", embedded_names())
def test_weights_of_the_package_have_a_card(cli: Cli, name: str) -> None:
    """It names what they are for, their data, what fails, and what they must not be used for."""
    shown = cli("models", "show", name)
    assert shown.status == 0
    for said in (f"# {name}", "Trained on", "Blur", "Pixel size", "Fails", "not for clinical diagnosis", "file sha256"):
        assert said in shown.out
    told = cli("models", "show", name, "--json").json
    assert told["model card"].startswith(f"# {name}\n")
    assert len(told["card and tensors sha256"]) == 64


def test_the_hash_in_an_output_is_one_that_the_weights_show(cli: Cli, blurred: Path, tmp_path: Path) -> None:
    """By the same name, in `info` as well; it is that of the file as everybody computes it."""
    restored = tmp_path / "restored.tif"
    assert cli("restore", blurred, "-o", restored, "--weights", "fluorescence-nano").status == 0
    shown = cli("models", "show", "fluorescence-nano", "--json").json
    assert shown["file sha256"] == hashlib.sha256(find_weights("fluorescence-nano").read_bytes()).hexdigest()
    assert shown["file sha256"] != shown["card and tensors sha256"]
    told = " ".join(cli("info", restored).out.split())
    assert f'weights file sha256: {{"fluorescence-nano": "{shown["file sha256"]}"}}' in told


def test_pictures_that_cards_name_are_there() -> None:
    docs = Path(__file__).parents[2]
    cards = [find_weights(name).with_suffix(".md").read_text() for name in embedded_names()]
    named = [picture for card in cards for picture in re.findall(r"docs/models/[\w-]+\.jpg", card)]
    assert named
    assert [picture for picture in named if not (docs / picture).is_file()] == []


def test_weights_of_others_have_no_card(cli: Cli, weights: dict[int, Path]) -> None:
    assert "model card" not in cli("models", "show", weights[1], "--json").json
