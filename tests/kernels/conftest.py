"""Every fast version of every kernel that this machine can run, as fixtures; and how many threads run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from fused_part import Part
from kernel_comparison import compiled_versions
from torch import Tensor

from dgno.kernels import (
    attentive_lift_c,
    attentive_scan_c,
    convolution_c,
    depthwise_c,
    dg_operator_c,
    feed_forward_c,
    pointwise_c,
    selective_scan_c,
)
from dgno.kernels.selective_scan import selective_scan_chunked

PARTS = (
    attentive_lift_c,
    attentive_scan_c,
    convolution_c,
    feed_forward_c,
    pointwise_c,
)  # libraries that `version` sets


@pytest.fixture(params=max(map(compiled_versions, PARTS), key=len))
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Every instruction set of this machine, set for all of `PARTS`: what they compute may need several of them."""
    for module in filter(compiled_versions, PARTS):
        monkeypatch.setattr(module.load(), "version", request.param)
    return request.param


@pytest.fixture
def part() -> Part:
    """All parts that run fused, at inference."""
    torch.manual_seed(0)
    return Part().eval()


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """torch.set_num_threads, undone after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


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
