"""VGG16 of DBMID, and the reader of blur: sizes, shapes, and what must not change an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dgno.errors import ConfigError
from dgno.networks.blur_reader import READER_NETWORKS, BlurReader, ReaderConfig, angular_harmonics, normalised
from dgno.networks.vgg import VGG, VGG_NETWORKS, VGGConfig

SMALL = ReaderConfig(width=8)


def reader(config: ReaderConfig = SMALL) -> BlurReader:
    torch.manual_seed(0)
    return BlurReader(config).eval()


def texture(*shape: int, seed: int = 0) -> Tensor:
    noise = torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 3, 1, 1)


def test_vgg16_has_its_published_size() -> None:
    """138.36 M parameters with 1000 outputs; four instead take 996 x 4097 of them away."""
    with torch.device("meta"):
        network = VGG(VGG_NETWORKS["blur-vgg16"])
    assert sum(p.numel() for p in network.parameters()) == 138_357_544 - 996 * 4097


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("given", [1, 3])
def test_vgg_takes_gray_and_colour(channels: int, given: int) -> None:
    network = VGG(replace(VGG_NETWORKS["blur-vgg16-nano"], channels=channels)).eval()
    x = texture(2, 1, 64, 70).expand(-1, given, -1, -1)
    assert network.classify(x).shape == (2, 4)
    assert torch.allclose(network.classify(x), network.classify(x[:, :1]), atol=1e-5)


@pytest.mark.parametrize("name", READER_NETWORKS)
@pytest.mark.parametrize("size", [(64, 96), (33, 40), (8, 9)])
def test_a_reading_has_a_square_for_every_eight_pixels(name: str, size: tuple[int, int]) -> None:
    network, (h, w) = BlurReader(READER_NETWORKS[name]).eval(), size
    reading, grid = network(texture(2, 3, h, w)), (-(-h // 8), -(-w // 8))
    assert reading.types.shape == (2, 4, *grid)
    assert reading.sigma.shape == reading.length.shape == reading.angle.shape == (2, *grid)
    assert torch.allclose(reading.types.sum(1), torch.ones(2, *grid))
    assert bool((reading.sigma > 0).all()) and bool((reading.angle >= 0).all()) and bool((reading.angle <= 180).all())
    assert network.classify(texture(2, 3, h, w)).shape == (2, 4)


def test_brightness_and_contrast_do_not_change_a_reading() -> None:
    """As long as the contrast is well above what is taken for noise."""
    x = texture(1, 1, 96, 96)
    assert torch.allclose(normalised(0.5 * x + 0.2), normalised(x), rtol=0.03, atol=0.01)
    dimmer = reader()(0.5 * x + 0.2).types
    assert torch.allclose(dimmer, reader()(x).types, atol=0.01)


def test_a_constant_image_has_a_reading() -> None:
    for value in (0.0, 0.5, 1.0):
        types = reader()(torch.full((1, 1, 64, 64), value)).types
        assert bool(types.isfinite().all())


def test_tiles_read_what_the_whole_reads() -> None:
    """Within the halo that it says."""
    network, side = reader(), 640
    x = texture(1, 1, side, side)
    whole = network(x).types
    start = 256
    inside = slice(start // 8, (start + 64) // 8)
    window = slice(start - network.halo, start + 64 + network.halo)
    tile = network(x[:, :, window, window]).types
    kept = slice(network.halo // 8, network.halo // 8 + 8)
    assert torch.allclose(tile[:, :, kept, kept], whole[:, :, inside, inside], atol=1e-5)


@pytest.mark.parametrize("place", range(4))
def test_no_square_sees_farther_than_the_halo(place: int) -> None:
    """Wherever it lies within a window's stride."""
    network, cell = reader().double(), 32 + place
    x = texture(1, 1, 576, 576).double().requires_grad_()
    network(x).types[0, 0, cell, cell].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].abs().amax(1).nonzero()
    assert 100 < 8 * cell - int(seen.min()) <= network.halo
    assert 100 < int(seen.max()) - (8 * cell + 7) <= network.halo


def test_harmonics_tell_the_direction_of_stripes() -> None:
    """cos 2 phi of the ring of their frequency is positive for stripes across the columns, negative across the rows."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    branch = reader().spectrum
    assert branch is not None
    ring = round(2 * 16 * 0.25 - 0.5)  # of 0.25 cycles per pixel
    values = [branch.rings((torch.pi / 2 * along).cos()[None, None])[0, :, 0, 0] for along in (x, y)]
    across_columns, across_rows = (v[7 * ring + 1] for v in values)
    assert across_columns > 0.5 and across_rows < -0.5


def test_harmonics_of_an_isotropic_spectrum_are_its_means() -> None:
    """Whole rings have sums 1 and 0; the first has too few frequencies to be even."""
    sums = angular_harmonics().sum(1).view(16, 7)
    assert torch.allclose(sums[:, 0], torch.ones(16), atol=1e-5)
    assert float(sums[3:15, 1:].abs().max()) < 0.03


def test_temperature_softens_probabilities_and_keeps_their_order() -> None:
    network, x = reader(), texture(1, 1, 64, 64)
    sharp = network(x).types
    network.temperature[1] = 3.0
    soft = network(x).types
    assert bool((soft.amax(1) < sharp.amax(1)).all())
    assert torch.equal(soft.argmax(1), sharp.argmax(1))


@pytest.mark.parametrize("make", [
    lambda: ReaderConfig(width=2), lambda: VGGConfig(channels=2), lambda: VGGConfig(width=0),
    lambda: VGGConfig(hidden=0),
])  # fmt: skip
def test_what_cannot_be_built_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ConfigError, match="wanted"):
        make()
