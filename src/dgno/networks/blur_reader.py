"""A small network that reads how an image is blurred: what type, how much, and along which line, place by place.

Two branches look at the image, made gray and brought to zero mean and unit variance around every pixel: convolutions,
and the log power spectrum of windows of 64 px. DBMID (Jiang et al. 2020, arXiv:2011.11879) suggests the spectrum: that
of a motion of L px has zeros every 1/L cycles per pixel along its direction. The networks of both are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dgno.checks import refuse_count
from dgno.errors import ConfigError
from dgno.networks.blocks import ChannelNorm, pad_to_multiple
from dgno.optics.blur_types import BLUR_TYPES, CELL, BlurReading

WINDOW, STRIDE = 64, 32  # px, of the spectra
AROUND = 9  # squares of CELL px whose mean and variance a pixel is measured by
FLOOR = 0.01  # standard deviation below which contrast is not raised: noise stays small
NEAR, FAR = 3, 7  # windows across, whose spectra are averaged: an average is far less noisy
RINGS, HARMONICS = 16, (2, 4, 6)
VALUES = RINGS * (1 + 2 * len(HARMONICS))  # of a spectrum: of every harmonic but the first a cosine and a sine
DARKEST = 1e-4  # of a power spectrum, so that its logarithm stays finite
TYPES = len(BLUR_TYPES)
Squares = Float[Tensor, "b _ rows columns"]
REACH = 224  # px: half a window, three windows, what normalising and the convolutions reach, up to a whole STRIDE
LARGEST_LOG = 6.0  # of a width in px


@dataclass(frozen=True)
class ReaderConfig:
    """Everything that decides the network.

    width : channels of the first convolutions; later ones have twice as many
    spectrum : look at the power spectra too
    """

    width: int = 32
    spectrum: bool = True

    family = "reader"
    tells_types = True
    schema = 3
    channels = 1
    multiple = STRIDE

    def __post_init__(self) -> None:
        if problems := refuse_count("width", self.width, 4):
            raise ConfigError("the network cannot be built", why="; ".join(problems))


class SpectrumBranch(nn.Module):
    """Log power spectra of windows, each beside means over its neighbours, as features on a grid of STRIDE px.

    A spectrum is told by its angular harmonics in rings of frequency, sum over a ring of log P cos(n phi) and of
    log P sin(n phi): n = 0 is how it falls, n = 2, 4, 6 in which directions it falls sooner, as where something moved.
    """

    hann: Tensor
    harmonics: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("hann", torch.empty(WINDOW, WINDOW), persistent=False)
        self.register_buffer("harmonics", torch.empty(VALUES, WINDOW * (WINDOW // 2 + 1)), persistent=False)
        if not self.hann.is_meta:  # where there are no numbers to compute; trying takes seconds, for imports of torch
            window = torch.hann_window(WINDOW)
            self.hann.copy_(window[:, None] * window)
            self.harmonics.copy_(angular_harmonics())
        self.look = nn.Sequential(
            nn.Linear(3 * len(self.harmonics), 4 * width), nn.GELU(), nn.Linear(4 * width, 2 * width), nn.GELU()
        )

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h//32 w//32"]:
        rings = self.rings(x)
        near, contrast = _mean(rings, NEAR), F.avg_pool2d(x**2, STRIDE).clamp(FLOOR, 1)
        far = _mean(rings * contrast, FAR) / _mean(contrast, FAR)  # flat windows tell noise alone
        features: Tensor = self.look(torch.cat([rings, near, far], 1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return features

    def rings(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b values h//32 w//32"]:
        """The harmonics of the windows around every square of STRIDE px."""
        b, _, h, w = x.shape
        edge = (WINDOW - STRIDE) // 2
        padded = F.pad(x, (edge,) * 4, mode="reflect")
        windows = F.unfold(padded, WINDOW, stride=STRIDE).transpose(1, 2).reshape(-1, WINDOW, WINDOW)
        power = torch.fft.rfft2(windows * self.hann, norm="ortho").abs() ** 2
        values = (power + DARKEST).log().flatten(1) @ self.harmonics.T
        return values.view(b, h // STRIDE, w // STRIDE, -1).permute(0, 3, 1, 2)


def _mean(values: Float[Tensor, "b c rows columns"], across: int) -> Float[Tensor, "b c rows columns"]:
    """The mean over so many windows across and down; fewer at the border."""
    return F.avg_pool2d(values, across, stride=1, padding=across // 2, count_include_pad=False)


def angular_harmonics() -> Float[Tensor, "values frequencies"]:
    """Weights of the frequencies of a real WINDOW x WINDOW spectrum, so that each value is a mean over a ring."""
    down, right = torch.fft.fftfreq(WINDOW)[:, None], torch.fft.rfftfreq(WINDOW)[None]
    radius, angle = torch.hypot(down, right), torch.atan2(down, right.expand(WINDOW, -1))
    twice = torch.where((right > 0) & (right < 0.5), 2.0, 1.0)  # columns that stand for their mirror image too
    weights = []
    for ring in range(RINGS):
        place = (radius * 2 * RINGS).sub(ring + 0.5).abs()
        inside = (1 - place).clamp_min(0) * twice  # hat functions, so that fringes move smoothly from ring to ring
        inside = inside / inside.sum()
        weights += [inside] + [2 * inside * f(n * angle) for n in HARMONICS for f in (torch.cos, torch.sin)]
    return torch.stack(weights).flatten(1)


class BlurReader(nn.Module):
    """Images in [0, 1] -> `BlurReading`; gray, or colours whose mean is taken.

    temperature : of the calibrated probabilities, for whole crops and for squares; 1 until it is fitted
    halo : px of context that a square's reading depends on
    """

    temperature: Tensor

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.multiple, self.halo, self.is_local = config.multiple, REACH, True
        self.channels, self.bytes_per_pixel = None, 5 * config.width  # any; measured with tiles of 256 to 1024 px
        c, wide = config.width, 2 * config.width
        self.local = nn.Sequential(
            nn.PixelUnshuffle(2), *_conv(4, c), *_conv(c, c),
            *_conv(c, 3 * c // 2, stride=2), *_conv(3 * c // 2, 3 * c // 2),
            *_conv(3 * c // 2, wide, stride=2), *_conv(wide, wide),
        )  # fmt: skip
        self.spectrum = SpectrumBranch(c) if config.spectrum else None
        seen = 2 * wide if config.spectrum else wide
        self.merge = nn.Sequential(*_conv(seen, wide), *_conv(wide, wide, dilation=2))
        self.squares = nn.Conv2d(wide, TYPES + 4, 1)  # logits, log sigma, log length, cos and sin of twice the angle
        self.attend = nn.Conv2d(wide, 1, 1)
        self.whole = nn.Linear(wide, TYPES)
        self.register_buffer("temperature", torch.ones(2))

    def forward(self, x: Float[Tensor, "b c h w"]) -> BlurReading:
        """Types, widths and angles in every square of CELL px; those at the border may be cut."""
        logits, widths, turn = self.raw_squares(self.features(x))
        rows, columns = (-(-n // CELL) for n in x.shape[2:])
        here = (..., slice(rows), slice(columns))
        sigma, length = widths.clamp(-LARGEST_LOG, LARGEST_LOG).exp()[here].unbind(1)
        angle = torch.rad2deg(torch.atan2(turn[:, 1], turn[:, 0]) / 2)[here] % 180
        return BlurReading((logits / self.temperature[1]).softmax(1)[here], sigma, length, angle)

    def classify(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 4"]:
        """Logits of BLUR_TYPES for whole images."""
        return self.raw_whole(self.features(x))

    def features(self, x: Float[Tensor, "b c h w"]) -> Squares:
        """What is seen around every square of CELL px."""
        y = normalised(pad_to_multiple(x.mean(1, keepdim=True), self.multiple))
        z = self.local(y)
        if self.spectrum is not None:
            wide = F.interpolate(self.spectrum(y), scale_factor=STRIDE // CELL, mode="bilinear", align_corners=False)
            z = torch.cat([z, wide], 1)
        return self.merge(z)

    def raw_squares(self, z: Squares) -> tuple[Squares, Squares, Squares]:
        """Logits; log sigma and log length; cos and sin of twice the angle."""
        logits, widths, turn = self.squares(z).split([TYPES, 2, 2], 1)
        return logits, widths, turn

    def raw_whole(self, z: Squares) -> Float[Tensor, "b 4"]:
        """Logits of the features, each square weighted by how much it tells."""
        weights = self.attend(z).flatten(2).softmax(-1)
        return self.whole((z.flatten(2) * weights).sum(-1))


def normalised(gray: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Zero mean and unit variance around every pixel, but for what is flat within FLOOR."""

    def around(values: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 rows columns"]:
        means = F.avg_pool2d(values, CELL)
        return F.avg_pool2d(means, AROUND, stride=1, padding=AROUND // 2, count_include_pad=False)

    def everywhere(values: Float[Tensor, "b 1 rows columns"]) -> Float[Tensor, "b 1 h w"]:
        return F.interpolate(values, scale_factor=CELL, mode="bilinear", align_corners=False)

    mean = around(gray)
    deviation = ((around(gray**2) - mean**2).clamp_min(0) + FLOOR**2).sqrt()
    return (gray - everywhere(mean)) / everywhere(deviation)


def _conv(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation)
    return [convolution, ChannelNorm(outputs), nn.GELU()]


READER_NETWORKS = {"blur-reader": ReaderConfig(), "blur-reader-local": ReaderConfig(spectrum=False)}
