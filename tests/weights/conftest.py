"""Reading checkpoints in this process, and weights to spoil."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path

import pytest
from checkpoints import tiny_network
from weight_files import CARD

from dgno.weights import pth
from dgno.weights.store import save_weights


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read here instead of in a child process, which takes seconds; without the bound on memory."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            status = pth._child(*command[-2:])
        return subprocess.CompletedProcess(command, status, stderr=said.getvalue())

    monkeypatch.setattr(pth.subprocess, "run", run)
    monkeypatch.setattr(pth, "_limit_memory", lambda extra: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Weights of a tiny network."""
    return save_weights(tmp_path / "tiny.safetensors", tiny_network().state_dict(), CARD)
