"""What dgno warns of is one line on stderr, and none with --quiet."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Cli
from dgno.kernels import compiled
from dgno.weights.store import read_weights, save_weights


@pytest.fixture
def zeros(tmp_path: Path, weights: dict[int, Path]) -> Path:
    """Weights that are all zero, in double precision."""
    card, tensors = read_weights(weights[1])
    none = {name: tensor.double() * 0 for name, tensor in tensors.items()}
    return save_weights(tmp_path / "zeros.safetensors", none, card)


def test_suspicious_weights_are_told_on_stderr(cli: Cli, blurred: Path, tmp_path: Path, zeros: Path) -> None:
    arguments = ("restore", blurred, "-o", tmp_path / "out.png", "--weights", zeros, "--overwrite")
    result = cli(*arguments)
    assert result.status == 0
    told = [line for line in result.err.splitlines() if line.startswith("dgno: warning: ")]
    assert [line.split(": ")[-1] for line in told] == [
        "the weights are float64; they are rounded to float32",
        "all weights are zero; this is no trained network",
    ]
    assert cli(*arguments, "--json").json["results"][0]["status"] == "restored"
    assert cli(*arguments, "--quiet").err == ""
    assert "all weights are zero" in cli("models", "show", zeros).err


@pytest.mark.parametrize("method, slow", [("dgno", True), ("wiener", False)])
def test_what_runs_slowly_says_so(
    cli: Cli,
    blurred: Path,
    tmp_path: Path,
    weights: dict[int, Path],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    slow: bool,
) -> None:
    """Without compiled kernels networks take several times as long; classical methods do not use them."""

    def fail(name: str) -> None:
        raise OSError("not compiled: no C compiler")

    monkeypatch.setattr(compiled, "load_library", fail)
    told = ("--weights", weights[1]) if method == "dgno" else ("--psf", "gaussian:1")
    result = cli("restore", blurred, "-o", tmp_path / "out.png", "--method", method, *told)
    assert result.status == 0
    warning = "dgno: warning: kernels are not compiled: no C compiler; networks take three to four times as long"
    assert (warning in result.err) == slow


def test_one_missing_kernel_is_named(
    cli: Cli, blurred: Path, tmp_path: Path, weights: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is optional on its own, and those of training are no matter when restoring."""
    load, absent = compiled.load_library, {"uniform"}

    def fail(name: str) -> object:
        if name in absent:
            raise OSError("not compiled: no C compiler")
        return load(name)

    monkeypatch.setattr(compiled, "load_library", fail)
    arguments = ("restore", blurred, "-o", tmp_path / "out.png", "--weights", weights[1], "--overwrite")
    assert "kernels" not in cli(*arguments).err
    absent.add("dg_operator")
    assert "warning: kernels (dg_operator) are not compiled: no C compiler; networks take longer" in cli(*arguments).err
