"""`dgno export --onnx`: checked files, their facts, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import tifffile

from command_line import Cli
from dgno.api import restore
from dgno.cli.export import _tell
from dgno.export import agreement
from dgno.export.onnx_file import Exported
from dgno.weights.store import embedded_names, restores

DOCUMENTED = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.mark.parametrize("name", [name for name in embedded_names() if restores(name)])
def test_weights_of_the_package(cli: Cli, tmp_path: Path, name: str) -> None:
    """All that restore."""
    path = tmp_path / "network.onnx"
    result = cli("export", name, "--onnx", path, "--size", "40x64", "--skip-timing", "--json")
    assert result.status == 0, result.err
    assert result.json["agreement"]["shapes"] == [[1, 40, 64]]
    assert result.json["agreement"]["middle"] <= 1e-6
    assert result.json["agreement"]["most"] <= 1e-3
    assert result.json["bytes"] == path.stat().st_size
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_says_what_it_is(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    result = cli("export", "fluorescence-nano", "--onnx", path, "--skip-timing")
    assert result.status == 0, result.err
    assert "at 64x64, 96x160, 65x97" in result.err
    model = onnx.load(path)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["dgno.weights"] == "fluorescence-nano"
    shown = cli("models", "show", "fluorescence-nano", "--json").json
    for which in ("file sha256", "card and tensors sha256"):
        assert facts[f"dgno.weights.{which.replace(' ', '_')}"] == shown[which]
    assert json.loads(facts["dgno.card"])["network"]["width"] == 16
    assert facts["dgno.licence"] == "Apache-2.0"
    assert "[0, 1]" in facts["dgno.input"]
    assert "percentile" in facts["dgno.normalization"]
    assert "Not for clinical diagnosis" in facts["dgno.use"]
    sides = [side.dim_param or side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim]
    assert sides == ["batch", 1, "height", "width"]


def test_a_fixed_size_and_its_time(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    arguments = ("export", weights[3], "--onnx", tmp_path / "network.onnx", "--size", "40x64")
    result = cli(*arguments)
    assert result.status == 0, result.err
    assert "40x64 px" in result.err
    assert re.search(r"[0-9.]+ times PyTorch with the kernels of this machine", result.err)
    assert cli(*arguments, "--quiet", "--overwrite").err == ""


def test_outputs_are_kept(cli: Cli, tmp_path: Path, weights: dict[int, Path]) -> None:
    """What exists is only replaced when that is asked for, and then by a file that was found right."""
    path = tmp_path / "network.onnx"
    path.write_bytes(b"mine")
    refused = cli("export", weights[1], "--onnx", path, "--skip-timing")
    assert (refused.status, "E-OUT-EXISTS" in refused.err, path.read_bytes()) == (4, True, b"mine")
    assert cli("export", weights[1], "--onnx", path, "--skip-timing", "--overwrite").status == 0
    onnx.checker.check_model(onnx.load(path))
    itself = cli("export", weights[1], "--onnx", weights[1], "--skip-timing", "--overwrite")
    assert (itself.status, "E-OUT-INPUT" in itself.err) == (4, True)


def test_nothing_is_left_of_what_does_not_agree(
    cli: Cli, tmp_path: Path, weights: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "TOLERANCE", -1.0)  # nothing is that close
    path = tmp_path / "out" / "network.onnx"
    result = cli("export", weights[1], "--onnx", path, "--skip-timing", "--json")
    assert result.status == 5
    assert result.json["code"] == "E-CK-EXPORT"
    assert result.json["path"] == str(path)
    assert list(tmp_path.rglob("*.onnx")) == []
    assert list(tmp_path.rglob("*part")) == []


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["blur-types"], 5, "E-CK-EXPORT"),
        (["flourescence-nano"], 5, "E-CK-UNKNOWN"),
        (["fluorescence-nano", "--size", "64"], 2, "E-CONFIG"),
        (["fluorescence-nano", "--size", "0x64"], 2, "E-CONFIG"),
        (["fluorescence-nano", "--opset", "9"], 2, "E-CONFIG"),
    ],
)
def test_refusals(cli: Cli, tmp_path: Path, arguments: list[str], status: int, code: str) -> None:
    result = cli("export", *arguments, "--onnx", tmp_path / "network.onnx")
    assert (result.status, code in result.err) == (status, True), result.err
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra(tmp_path: Path) -> None:
    """Where onnx is not installed, the error says what to install."""
    code = (
        "import sys; sys.modules['onnx'] = None; from dgno.cli.main import run; "
        "run(['export', 'fluorescence-nano', '--onnx', 'network.onnx'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("dgno: error[E-CONFIG]")
    assert "pip install 'dgno[onnx]'" in done.stderr


def test_the_documented_example(cli: Cli, tmp_path: Path) -> None:
    """The lines of docs/export.md run as they stand, and give what `dgno.restore` gives."""
    [example] = re.findall(r"```python\n(.*?)```", DOCUMENTED.read_text(), flags=re.DOTALL)
    blurred = (4000 * agreement.drawn_image((1, 90, 110), 1, seed=1)[0, 0].numpy() + 100).astype(np.uint16)
    tifffile.imwrite(tmp_path / "blurred.tif", blurred)
    assert (
        cli("export", "fluorescence-nano", "--onnx", tmp_path / "fluorescence-nano.onnx", "--skip-timing").status == 0
    )
    subprocess.run([sys.executable, "-c", example], check=True, cwd=tmp_path)
    by_onnx = tifffile.imread(tmp_path / "restored.tif")
    ours = restore(blurred, weights="fluorescence-nano", tile_size=0)
    assert by_onnx.dtype == ours.dtype == np.uint16
    assert np.abs(by_onnx.astype(int) - ours.astype(int)).max() <= 1


@pytest.mark.parametrize("times, slow", [(2.9, False), (3.1, True)])
def test_a_slow_file_is_called_so(capsys: pytest.CaptureFixture[str], times: float, slow: bool) -> None:
    """More than three times PyTorch; the small size is, but no timing is repeated here."""
    found = agreement.Agreement(((1, 64, 64),), 1e-7, 1e-7, 1e-7)
    seconds = {"pytorch": 0.5, "pytorch references": 2.0, "onnxruntime": 0.5 * times}
    _tell(Exported(Path("network.onnx"), 4_000_000, 20, None, found, seconds), quiet=False)
    told = capsys.readouterr().err
    assert f"{times:.2f} times PyTorch with the kernels" in told
    assert ("more than 3 times PyTorch: see docs/export.md" in told) == slow
