"""The precisions in which laws are tested."""

from __future__ import annotations

import pytest
import torch
from operator_layers import Precision

PRECISIONS = {"float64": Precision(torch.float64, 1e-10), "float32": Precision(torch.float32, 1e-4)}


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest) -> Precision:
    """float64 to 1e-10, and float32 to 1e-4."""
    return PRECISIONS[request.param]
