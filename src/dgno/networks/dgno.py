"""The Discontinuous Galerkin Neural Operator for defocus deblurring (ICML 2026).

lifting -> at quarter, half and full resolution: merge, T operator layers, projection to an image + the input itself.
With blocks of the lifting's kind instead of operator layers it is a plain U-Net, the baseline of the paper's Table 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from dgno.errors import ConfigError
from dgno.kernels import fusing
from dgno.kernels.merge_c import merge_c
from dgno.kernels.transforms import is_transformed
from dgno.networks.attentive_scan import Routing
from dgno.networks.blocks import Convolution, Map, Upsample, every_other_pixel, pad_to_multiple
from dgno.operators.pointwise import Pointwise

ImageBatch = Float[Tensor, "b channels h w"]
HalfBatch = Float[Tensor, "b channels (h+1)//2 (w+1)//2"]
QuarterBatch = Float[Tensor, "b channels (h+3)//4 (w+3)//4"]


MERGE = fusing.Written(frozenset({nn.PixelShuffle, Pointwise}), parameters=1)


class OperatorStage(nn.Module):
    """One resolution: coarser features come up, meet the encoder's, and go through the operator layers.

    up : double the resolution, halve the channels; merge : 1x1 convolution of both sources, 2 dim -> dim
    """

    def __init__(self, dim: int, layers: nn.Sequential) -> None:
        super().__init__()
        self.up = Upsample(2 * dim)
        self.merge = Pointwise(2 * dim, dim, bias=False)
        self.layers = layers

    def forward(self, coarser: Float[Tensor, "b c2 h2 w2"], encoded: Map) -> Map:
        return self.layers(self.merged(coarser, encoded))

    def merged(self, coarser: Float[Tensor, "b c2 h2 w2"], encoded: Map) -> Map:
        """Both sources as one map: in one pass, without the larger maps in between, where nothing asks for them."""
        if not fusing.is_plain(self.up, (Upsample,)):
            return self.merge(torch.cat([self.up(coarser), encoded], 1))
        convolution, shuffle = self.up
        coarse, fine = convolution(coarser), fusing.fusible(encoded)
        choice = fusing.choose_merge(fine.device, fine.dtype, fine.shape[1])
        needs_gradient = fusing.wants_gradient((), (coarse,)) or is_transformed(coarse)
        if needs_gradient or fusing.wants_layers(choice, MERGE, (shuffle, self.merge), (fine,)):
            return self.merge(torch.cat([shuffle(coarse), encoded], 1))
        return merge_c(coarse, fine, self.merge.weight, half=fusing.fuses_in_half(fine.device))


class DGNO(nn.Module):
    """Restores images in [0, 1] of any size.

    lifting : image -> features (e1, e2, e3, latent) of widths c, 2c, 4c, 8c
    operators : makes the operator layers of scale 0, 1 or 2
    multiple : pixels; the input is extended to a multiple of it and the output cropped
    is_local : whether far pixels are without (measurable) influence, so that tiles give what the whole image gives
    halo : pixels of context that a tile needs for that; measured with trained weights and stored beside them
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        lifting: nn.Module,
        operators: Callable[[int], nn.Sequential],
        multiple: int,
        is_local: bool,
    ) -> None:
        super().__init__()
        self.channels, self.multiple, self.is_local, self.halo = channels, multiple, is_local, 64
        self.width = width
        self._seeded: int | None = None  # images for which the routing has seeds
        self.lifting = lifting
        self.operator_quarter = OperatorStage(4 * width, operators(2))
        self.operator_half = OperatorStage(2 * width, operators(1))
        self.operator_full = OperatorStage(width, operators(0))
        self.output_quarter = Convolution(4 * width, channels)
        self.output_half = Convolution(2 * width, channels)
        self.output_full = Convolution(width, channels, bias=False)

    @property
    def bytes_per_pixel(self) -> int:
        """Of memory that restoring takes at most, above the network at rest: about a tenth above what
        `benchmarks/peers.py` measures with 16 and 48 channels, whole parts compiled or in plain PyTorch."""
        device = next(self.parameters()).device
        in_one_call = fusing.choose_attentive_scan(device, torch.float32, self.width).name == "c"
        routes = any(isinstance(module, Routing) for module in self.lifting.modules())
        return 64 + 43 * self.width if in_one_call and routes else 2560 + 112 * self.width

    def forward(self, x: ImageBatch) -> ImageBatch:
        """The restored image, of the size of `x`."""
        if not len(x):
            return self._of_no_images(x)
        padded = pad_to_multiple(x, self.multiple)
        _, _, z1 = self.features(padded)
        return (self.output_full(z1) + padded)[:, :, : x.shape[2], : x.shape[3]]

    def at_all_scales(self, x: ImageBatch) -> tuple[ImageBatch, HalfBatch, QuarterBatch]:
        """The restored image at full, half and quarter resolution: what training compares (Eq. 31)."""
        if not len(x):
            y = self._of_no_images(x)
            return y, every_other_pixel(y), y[:, :, ::4, ::4]
        padded = pad_to_multiple(x, self.multiple)
        x2 = every_other_pixel(padded)
        x4 = every_other_pixel(x2)
        z3, z2, z1 = self.features(padded)
        outputs = (self.output_full(z1) + padded, self.output_half(z2) + x2, self.output_quarter(z3) + x4)
        h, w = x.shape[2:]
        return tuple(y[:, :, : -(-h // 2**s), : -(-w // 2**s)] for s, y in enumerate(outputs))

    def _of_no_images(self, x: ImageBatch) -> ImageBatch:
        """Nothing, as layers of torch give it, with a gradient of 0 at every parameter: not all of ours can say how
        many pixels each of no images has."""
        return x + 0 * sum(p.sum() for p in self.parameters()) if torch.is_grad_enabled() else x.clone()

    def features(self, x: ImageBatch) -> tuple[Float[Tensor, "b c4 h//4 w//4"], Float[Tensor, "b c2 h//2 w//2"], Map]:
        """What the operator layers leave at quarter, half and full resolution."""
        if self.training and self._seeded not in (None, len(x)):
            hint = "call seed_routing with a seed for each image, or with None"
            raise ConfigError(f"{self._seeded} seeds of the routing for a batch of {len(x)} images", hint=hint)
        e1, e2, e3, latent = self.lifting(x)
        z3 = self.operator_quarter(latent, e3)
        z2 = self.operator_half(z3, e2)
        return z3, z2, self.operator_full(z2, e1)

    @property
    def outputs(self) -> list[nn.Conv2d]:
        """The last convolutions, whose kernels are zero in the identity."""
        return [self.output_full, self.output_half, self.output_quarter]

    def seed_routing(self, seeds: Sequence[Sequence[int]] | None) -> None:
        """While training, draw the routing noise of image i from a generator of its own, seeded with seeds[i].

        None goes back to torch's global generator. A batch of another length than `seeds` is then a ConfigError.
        """
        self._seeded = None if seeds is None else len(seeds)
        generators = None if seeds is None else [_generator(seed, self.output_full.weight.device) for seed in seeds]
        for module in self.modules():
            if isinstance(module, Routing):
                module.generators = generators


def _generator(seed: Sequence[int], device: torch.device) -> torch.Generator:
    state = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(state >> 1)
