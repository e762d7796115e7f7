"""Networks never wait for the device: nothing that is launched in them depends on values of tensors.

A CUDA graph can be recorded of nothing else. There need not be a GPU to see it: tensors without values will do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedOperatorException,
)

from dgno.kernels import backends
from dgno.networks import NETWORKS, build
from dgno.networks.attentive_scan import scan_order

PLAIN = {  # what is compiled for the CPU reads memory
    "DGNO_SCAN": "chunked",
    "DGNO_OPERATOR": "reference",
    "DGNO_GATE": "reference",
    "DGNO_CONVOLUTION": "reference",
    "DGNO_POINTWISE": "linear",
}
NEEDS_VALUES = (DataDependentOutputException, DynamicOutputShapeException, UnsupportedOperatorException)


@pytest.mark.parametrize("name", ["dgno-face", "nano-cell", "nano-nafnet", "nano-restormer"])
def test_networks_do_not_wait(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of every kind run on tensors that have no values: none is asked for."""
    for variable, plain in PLAIN.items():
        monkeypatch.setenv(variable, plain)
    monkeypatch.setitem(backends.SCANS, "chunked", lambda u, *others: u)  # its loop waits for nothing, but takes long
    config = replace(NETWORKS[name], blocks=(1, 1, 1, 1), iterations=1)  # more is more of the same
    with FakeTensorMode(), torch.no_grad():
        x = torch.rand(1, config.channels, 20, 30)
        assert build(config).eval()(x).shape == x.shape


@pytest.mark.parametrize(
    "wait",
    [lambda x: x[x > 0], torch.nonzero, lambda x: x * x.sum().item(), lambda x: x if x.sum() > 0 else -x],
    ids=["boolean index", "nonzero", "item", "if"],
)
def test_waiting_is_seen(wait: Callable[[Tensor], Tensor]) -> None:
    """What the test above excludes cannot be done there."""
    with FakeTensorMode(), pytest.raises(NEEDS_VALUES):
        wait(torch.rand(3))


def test_what_is_made_in_a_network_is_made_on_its_device() -> None:
    """A tensor made on the CPU and copied would wait too: the routing's sequences follow their classes' device."""
    classes = torch.zeros(2, 64, dtype=torch.int64, device="meta")
    for block in (None, 4):
        order = scan_order(classes, 8, 8, block)
        made = [t for t in order if isinstance(t, Tensor)]
        assert {t.device.type for t in made} == {"meta"}
