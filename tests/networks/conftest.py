"""The ways in which a network can be computed."""

from __future__ import annotations

import pytest

OTHERS = {"DGNO_OPERATOR": "reference", "DGNO_GATE": "reference", "DGNO_CONVOLUTION": "reference"}
BACKENDS = {
    "chosen": {},
    "plain": {"DGNO_SCAN": "chunked", **OTHERS},
    "loop": {"DGNO_SCAN": "loop", **OTHERS},
}


def use(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in ("DGNO_SCAN", *OTHERS):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in BACKENDS[name].items():
        monkeypatch.setenv(variable, value)


@pytest.fixture(params=["chosen", "plain"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kernels that this machine chooses, compiled where it can; and all of them in plain tensor code."""
    use(monkeypatch, request.param)
    return str(request.param)


@pytest.fixture(params=BACKENDS)
def every_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As `backend`, and with the scan token by token."""
    use(monkeypatch, request.param)
    return str(request.param)
