"""`benchmarks/gpu.py` runs to its end where there is no GPU, tiny, so that it does where there is one."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
SECTIONS = ["machine", "correct?", "peak", "kernels", "inference", "roofline", "training", "memory", "done"]


def test_all_sections_come(tmp_path: Path) -> None:
    """Kernels are right, every section has figures, and goals stand beside them."""
    pytest.importorskip("triton")
    command = [sys.executable, str(SCRIPT), str(tmp_path), "--dry"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    assert [s for s in SECTIONS if any(line["section"] == s for line in lines)] == SECTIONS
    assert not any("skipped" in line for line in lines)
    assert {line["verdict"] for line in lines if line["section"] == "correct?"} == {"ok"}
    ways = [line for line in lines if line["section"] == "inference" and line["name"].startswith("tiny")]
    assert [line["name"].split(", ")[-1] for line in ways] == ["eager reference", "triton", "triton + graph"]
    assert all(line["Mpx/s"] > 0 and line["roofline / it"] > 0 for line in ways)
    assert "the device is cpu" in ways[-1]["graph"]
    assert "goals:" in done.stdout


def test_what_does_not_fit_the_limit_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without time, a section is left out with a line that says so, also in the file."""
    pytest.importorskip("triton")
    monkeypatch.syspath_prepend(SCRIPT.parent)
    gpu = importlib.import_module("gpu")
    report = gpu.Report(tmp_path, limit=0)
    gpu.kernels(report, torch.device("cpu"), True, gpu.Peak(1.0, 1.0))
    assert "about 15 s needed" in capsys.readouterr().out
    assert all("skipped" in json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines())
