"""Every fast version of every kernel that this machine can run, as fixtures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kernel_comparison import compiled_versions
from torch import Tensor

from dgno.kernels import depthwise_c, dg_operator_c, selective_scan_c
from dgno.kernels.selective_scan import selective_scan_chunked


@pytest.fixture(params=["chunked", *compiled_versions(selective_scan_c)])
def fast_scan(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tensor]:
    """The chunked scan, and the compiled one for every instruction set."""
    if request.param == "chunked":
        return selective_scan_chunked
    monkeypatch.setattr(selective_scan_c.load(), "version", request.param)
    return selective_scan_c.selective_scan_c


@pytest.fixture(params=compiled_versions(selective_scan_c))
def compiled_scan(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tensor]:
    """The compiled scan for every instruction set."""
    monkeypatch.setattr(selective_scan_c.load(), "version", request.param)
    return selective_scan_c.selective_scan_c


@pytest.fixture(params=compiled_versions(dg_operator_c))
def compiled_operator(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> dg_operator_c.CompiledOperator:
    """The compiled DG operator, set to every instruction set."""
    monkeypatch.setattr(dg_operator_c.load(), "version", request.param)
    return dg_operator_c.load()


@pytest.fixture(params=compiled_versions(depthwise_c))
def compiled_gate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> depthwise_c.CompiledGate:
    """The compiled gates, set to every instruction set."""
    monkeypatch.setattr(depthwise_c.load(), "version", request.param)
    return depthwise_c.load()
