"""The selective scan of `mamba-ssm`, the authors' CUDA extension, behind the signature of `selective_scan_loop`.

Never required: it runs where it is installed and Triton's version does not. State-spaces/mamba, Gu and Dao 2023,
arXiv:2312.00752.
"""

from __future__ import annotations

import functools

from jaxtyping import Float
from torch import Tensor


@functools.cache
def why_not() -> str:
    """Why mamba-ssm cannot be used here; empty if it can be imported."""
    try:
        from mamba_ssm.ops import selective_scan_interface  # noqa: F401
    except Exception as error:  # not installed, or built for another torch or CUDA: whatever it is, another scan runs
        return f"mamba-ssm cannot be imported: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    return ""


def selective_scan_mamba(
    u: Float[Tensor, "b l d"],
    delta: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l n"],
    C: Float[Tensor, "b l n"],
    D: Float[Tensor, " d"],
) -> Float[Tensor, "b l d"]:
    """`selective_scan_loop` by mamba-ssm, which puts the channels before the length; A and D in float32."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u, delta, B, C = (t.mT.contiguous() for t in (u, delta, B, C))
    result: Tensor = selective_scan_fn(u, delta, A.float(), B, C, D.float())
    return result.mT
