"""The restoration network of DBMID, DL_defocus and DL_motion: an encoder and a decoder of 21 convolutions each.

Jiang et al. 2020, arXiv:2011.11879. Published: widths 32, 64, 128, factors of 2 by strided convolutions, kernel "3 or
5", skips by sum, mean squared error. Three stages of seven convolutions a side satisfy all of it. Ours, where nothing
is said: ReLU, zeros around the image, no normalisation, the input added to the output.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from dgno.checks import refuse_choice, refuse_count
from dgno.errors import ConfigError
from dgno.networks.blocks import Map, pad_to_multiple

ImageBatch = Float[Tensor, "b channels h w"]
KERNELS, INNER = (3, 5), ("residual", "plain")
PAIRS = 3  # of inner convolutions a stage
BYTES = 2200  # a pixel that restoring takes at most, at the published widths; measured with tiles of 256 to 1024 px


@dataclass(frozen=True)
class DBMIDConfig:
    """Everything that decides the network.

    channels : of the image, 1 or 3
    widths : channels of the three stages
    kernel : side of all kernels, 3 or 5
    inner : the six inner convolutions of a stage as three residual blocks ("residual"), or one after the other, with
        the sums of mirrored pairs of Mao et al. 2016, arXiv:1606.08921 ("plain")
    global_residual : add the input to the output
    """

    channels: int = 3
    widths: tuple[int, int, int] = (32, 64, 128)
    kernel: int = 5
    inner: str = "residual"
    global_residual: bool = True

    family = "dbmid"
    tells_types = False
    schema = 3  # of the oldest header of weights that can name this network
    multiple = 4

    def __post_init__(self) -> None:
        problems = refuse_choice("inner", self.inner, INNER)
        for name, known in (("channels", (1, 3)), ("kernel", KERNELS)):
            if getattr(self, name) not in known:
                problems.append(f"{name} is {getattr(self, name)!r}, wanted one of {', '.join(map(repr, known))}")
        problems += [p for i, width in enumerate(self.widths) for p in refuse_count(f"widths[{i}]", width, 1)]
        if problems:
            raise ConfigError("the network cannot be built", why="; ".join(problems))


class Inner(nn.Module):
    """Six convolutions of one width, as three pairs. Gives what leaves each pair, the last one last.

    mirrored : what left the pairs of the encoder's stage, from the last to the first; added after each pair
    """

    def __init__(self, width: int, kernel: int, *, is_residual: bool) -> None:
        super().__init__()
        self.is_residual = is_residual
        self.pairs = nn.ModuleList(
            nn.Sequential(_conv(width, width, kernel), nn.ReLU(), _conv(width, width, kernel)) for _ in range(PAIRS)
        )

    def forward(self, x: Map, mirrored: list[Map] | None = None) -> list[Map]:
        left = []
        for i, pair in enumerate(self.pairs):
            y = pair(x) if mirrored is None else pair(x) + mirrored[i]
            x = x + y if self.is_residual else y.relu()
            left.append(x)
        return left


class DBMIDNet(nn.Module):
    """Restores images in [0, 1] of any size.

    No pixel sees farther than the kernels reach, so tiles give what the whole image gives; `halo` is that reach, or
    what was measured to matter.
    """

    def __init__(self, config: DBMIDConfig) -> None:
        super().__init__()
        self.channels, self.multiple, self.is_local = config.channels, config.multiple, True
        self.halo, self.bytes_per_pixel = reach(config.kernel), BYTES * sum(config.widths) // 224
        self.global_residual = config.global_residual
        k, (full, half, quarter) = config.kernel, config.widths
        is_residual = config.inner == "residual"

        def inner(width: int) -> Inner:
            return Inner(width, k, is_residual=is_residual)

        self.enter = nn.ModuleList(
            [_conv(config.channels, full, k), _conv(full, half, k, stride=2), _conv(half, quarter, k, stride=2)]
        )
        self.encode = nn.ModuleList([inner(full), inner(half), inner(quarter)])
        self.decode = nn.ModuleList([inner(full), inner(half), inner(quarter)])
        self.leave = nn.ModuleList([_conv(full, config.channels, k), _deconv(half, full, k), _deconv(quarter, half, k)])

    def forward(self, x: ImageBatch) -> ImageBatch:
        """The restored image, of the size of `x`."""
        padded = pad_to_multiple(x, self.multiple)
        z, encoded = padded, []
        for enter, encode in zip(self.enter, self.encode, strict=True):
            encoded.append(encode(enter(z).relu()))
            z = encoded[-1][-1]
        for scale in (2, 1, 0):
            if scale < 2:
                z = (z + encoded[scale][-1]).relu()
            mirrored = None if self.encode[scale].is_residual or scale == 2 else encoded[scale][::-1]
            z = self.leave[scale](self.decode[scale](z, mirrored)[-1])
        y = z + padded if self.global_residual else z
        return y[:, :, : x.shape[2], : x.shape[3]]

    @property
    def outputs(self) -> list[nn.Module]:
        """The last convolution, which is zero in the identity; none where the input is not added."""
        return [self.leave[0]] if self.global_residual else []


def _conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)


def _deconv(inputs: int, outputs: int, kernel: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, output_padding=1)


def reach(kernel: int) -> int:
    """How far a pixel sees, px, rounded up to whole fours: 14 kernels at full, 14 at half, 14 at quarter resolution."""
    half = kernel // 2
    return -(-(14 * half + 2 * 14 * half + 4 * 14 * half) // 4) * 4


DBMID_NETWORKS = {
    "dbmid-5": DBMIDConfig(),
    "dbmid-3": DBMIDConfig(kernel=3),
    "dbmid-plain-5": DBMIDConfig(inner="plain"),
    "dbmid-nano": DBMIDConfig(widths=(8, 16, 32), kernel=3),
}
