"""The training loss (DGNO paper, Eq. 31): distances in space and in frequency, at three scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "b c h w"]
FFT_WEIGHT = 0.1


def spatial_l1(restored: Images, sharp: Images) -> Float[Tensor, ""]:
    """Mean absolute difference."""
    return (restored - sharp).abs().mean()


def frequency_l1(restored: Images, sharp: Images, norm: str = "ortho") -> Float[Tensor, ""]:
    """Mean absolute difference of the real and imaginary parts of the 2-D Fourier transforms.

    norm : "ortho", independent of the image size; "backward", un-normalised as in the paper's line of work
    """
    difference = torch.fft.rfft2(restored - sharp, norm=norm)
    columns = difference.shape[-1]
    twice = torch.full((columns,), 2.0, device=restored.device)  # columns that stand for their mirror image too
    twice[0] = 1.0
    if restored.shape[-1] % 2 == 0:
        twice[-1] = 1.0
    total = (torch.view_as_real(difference).abs().sum(-1) * twice).sum()
    return total / (2 * restored.numel())


def multi_scale_loss(
    outputs: Sequence[Float[Tensor, "_ _ _ _"]], sharp: Images, *, fft_norm: str = "ortho"
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The two terms of Eq. 31, each summed over the scales: spatial and frequency, to be added as a + 0.1 b.

    outputs : restored images at full, half and quarter resolution; the sharp image is averaged down to them
    """
    spatial, frequency = sharp.new_zeros(()), sharp.new_zeros(())
    for scale, restored in enumerate(outputs):
        target = F.avg_pool2d(sharp, 2**scale) if scale else sharp
        spatial = spatial + spatial_l1(restored, target)
        frequency = frequency + frequency_l1(restored, target, fft_norm)
    return spatial, frequency
