"""The attentive scan whose kernel finds the sorted pixels itself, which Triton's does, gives what gathering gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dgno.kernels import backends
from dgno.networks.attentive_scan import PROMPT_RANK, STATES, AttentiveScan


@pytest.mark.parametrize("block, prompt_sorted", [(None, False), (4, False), (4, True)], ids=str)
def test_a_scan_in_place_is_a_scan_of_gathered_pixels(
    block: int | None, prompt_sorted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values, and gradients at the input and at every parameter; with and without blocks, prompts sorted and not."""
    pytest.importorskip("triton")
    torch.manual_seed(0)
    module = AttentiveScan(4, block=block, prompt_sorted=prompt_sorted).eval()
    torch.nn.init.normal_(module.prompt_codes)  # so that prompts tell
    x, basis = torch.randn(1, 4, 4, 8), torch.randn(PROMPT_RANK, STATES)

    def values_and_gradients(scan: str) -> list[Tensor]:
        monkeypatch.setenv("DGNO_SCAN", scan)
        assert backends.scan_takes_order(x.device, STATES) == (scan == "triton")
        leaves = [x.clone().requires_grad_(), basis.clone().requires_grad_()]
        y = module(*leaves)
        probe = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
        trained = [p for name, p in module.named_parameters() if "routing" not in name]  # arg-max: no gradient
        return [y.detach(), *torch.autograd.grad(y, [*leaves, *trained], probe)]

    for ours, reference in zip(values_and_gradients("triton"), values_and_gradients("loop"), strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-5 * float(reference.abs().max()))
