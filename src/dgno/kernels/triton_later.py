"""The kernels in Triton, which is imported with the first call of one: it takes time, and may not be there."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from dgno.kernels.dg_operator import Operators, Sides


def selective_scan(*arguments: Any) -> Tensor:
    from dgno.kernels.selective_scan_triton import selective_scan_triton

    return selective_scan_triton(*arguments)


def integrate(*arguments: Any) -> tuple[Operators, Sides | None]:
    from dgno.kernels.dg_operator_triton import integrate_triton

    return integrate_triton(*arguments)


def apply(*arguments: Any) -> Tensor:
    from dgno.kernels.dg_operator_triton import apply_triton

    return apply_triton(*arguments)
