"""Measures on real images: against scikit-image and torchmetrics, the published formula, and numbers once computed."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from skimage import filters, metrics, morphology

from dgno.errors import ConfigError
from dgno.metrics import (
    REPLICATED,
    UNIFORM,
    VOLUME,
    EdgeScore,
    edge_band,
    edge_psnr,
    gmsd,
    lpips,
    mae,
    ms_ssim,
    psnr,
    region_psnr,
    ssim,
    summarise_edges,
)
from real_pairs import COLOURED, SCENES, as_tensor, real_pair

GOLDENS: dict[str, tuple[float, ...]] = {  # PSNR, MAE, SSIM, MS-SSIM, GMSD; by scikit-image and as published
    "camera": (23.82280897, 0.0405500795, 0.666541200, 0.942177071, 0.094198513),
    "coins": (22.74990690, 0.0467428129, 0.566237663, 0.924118022, 0.110434737),
    "cell": (33.20368937, 0.0188476202, 0.693664529, 0.950387613, 0.025991596),
    "astronaut": (25.96532985, 0.0345018701, 0.672103192, 0.949024336, 0.079333791),
    "ihc": (27.40337257, 0.0335980529, 0.644570092, 0.923826769, 0.079896191),
}
MEASURES = (psnr, mae, ssim, ms_ssim, gmsd)


def tensors(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    blurred, sharp = (as_tensor(x) / 255 for x in real_pair(name))
    return blurred, sharp


@pytest.mark.parametrize("name", SCENES)
def test_numbers_stay(name: str) -> None:
    assert [measure(*tensors(name)) for measure in MEASURES] == pytest.approx(GOLDENS[name], abs=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_scale_channels_and_order_do_not_matter(measure) -> None:  # type: ignore[no-untyped-def]
    """The same in grey levels with that range (MAE: in grey levels); the mean of gray images where channels are
    averaged linearly; symmetric; best for equal images."""
    a, b = tensors("astronaut")
    value = measure(a, b)
    assert measure(b, a) == pytest.approx(value, rel=1e-9)
    levels = mae(255 * a, 255 * b) / 255 if measure is mae else measure(255 * a, 255 * b, 255.0)
    assert levels == pytest.approx(value, rel=1e-9)
    if measure in (mae, ssim, gmsd):
        assert np.mean([measure(x, y) for x, y in zip(a, b, strict=True)]) == pytest.approx(value, rel=1e-9)
    assert measure(a, a) == {psnr: math.inf, mae: 0.0, gmsd: 0.0}.get(measure, pytest.approx(1))


@pytest.mark.parametrize("name", SCENES)
def test_the_uniform_window_is_scikit_images_default(name: str) -> None:
    blurred, sharp = (x / 255 for x in real_pair(name))
    axis = -1 if name in COLOURED else None
    expected = metrics.structural_similarity(blurred, sharp, data_range=1.0, channel_axis=axis)
    assert ssim(*tensors(name), window=UNIFORM) == pytest.approx(expected, abs=1e-9)


def padded_by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM with Gaussian windows of 11 along every axis and repeated borders, once more with scipy's filters."""
    a_m, b_m, a2, b2, ab = (
        gaussian_filter(x, 1.5, truncate=5 / 1.5, mode="nearest") for x in (a, b, a * a, b * b, a * b)
    )
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * a_m * b_m + c1) * (2 * (ab - a_m * b_m) + c2)
    return float((top / ((a_m**2 + b_m**2 + c1) * (a2 - a_m**2 + b2 - b_m**2 + c2))).mean())


def test_padded_windows_and_those_over_channels() -> None:
    """In a volume of one gray plane the third axis changes nothing."""
    blurred, sharp = (x / 255 for x in real_pair("astronaut"))
    assert ssim(*tensors("astronaut"), window=VOLUME) == pytest.approx(padded_by_scipy(blurred, sharp), abs=1e-9)
    blurred, sharp = (x / 255 for x in real_pair("coins"))
    for window in (REPLICATED, VOLUME):
        assert ssim(*tensors("coins"), window=window) == pytest.approx(padded_by_scipy(blurred, sharp), abs=1e-9)
    a, b = tensors("coins")
    assert ssim(a[0], b[0], window=VOLUME) == ssim(a, b, window=VOLUME)


@pytest.mark.parametrize("name", SCENES)
def test_ms_ssim_is_nearly_torchmetrics(name: str) -> None:
    """Which takes windows beyond the mirrored image in its last scale."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        functional = pytest.importorskip("torchmetrics.functional.image")
    a, b = tensors(name)
    expected = functional.multiscale_structural_similarity_index_measure(a[None], b[None], data_range=1.0)
    assert ms_ssim(a, b) == pytest.approx(float(expected), abs=1e-4)


def smoothed(x: np.ndarray) -> np.ndarray:
    """The Gaussian window of 11 px by scipy, where it lies inside the image."""
    return gaussian_filter(x, 1.5, truncate=5 / 1.5, axes=(-2, -1))[..., 5:-5, 5:-5]


@pytest.mark.parametrize("name", SCENES)
def test_ms_ssim_is_the_published_formula(name: str) -> None:
    """Once more with scipy: contrast and structure of five scales, luminance of the last, 2 x 2 means between."""
    (a, b), product = (x.numpy() for x in tensors(name)), 1.0
    for i, exponent in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        m_a, m_b = smoothed(a), smoothed(b)
        factor = 2 * (smoothed(a * b) - m_a * m_b) + 0.03**2
        factor /= smoothed(a * a) - m_a**2 + smoothed(b * b) - m_b**2 + 0.03**2
        if i == 4:
            factor *= (2 * m_a * m_b + 0.01**2) / (m_a**2 + m_b**2 + 0.01**2)
        product *= factor.mean() ** exponent
        a, b = (
            (x[:, :-1:2, :-1:2] + x[:, 1::2, :-1:2] + x[:, :-1:2, 1::2] + x[:, 1::2, 1::2]) / 4
            for x in (y[:, : y.shape[1] // 2 * 2, : y.shape[2] // 2 * 2] for y in (a, b))
        )
    assert ms_ssim(*tensors(name)) == pytest.approx(product, abs=1e-9)


def test_ms_ssim_of_a_negative_is_nothing() -> None:
    a, _ = tensors("camera")
    assert ms_ssim(1 - a, a) == 0


@pytest.mark.parametrize("name", ["camera", "cell"])
@pytest.mark.parametrize("cut", [(0, 0), (1, 0), (1, 1)], ids=str)
def test_gmsd_is_the_published_program(name: str, cut: tuple[int, int]) -> None:
    """GMSD.m of the authors line by line: conv2 'same' with 2 x 2 means, every second pixel, Prewitt, std2."""
    a, b = (x[cut[0] :, cut[1] :].astype(np.float64) for x in real_pair(name))
    prewitt = np.array([[1, 0, -1]] * 3) / 3
    magnitudes = []
    for image in (a, b):
        full = convolve2d(image, np.full((2, 2), 0.25), "full")
        half = full[1:, 1:][::2, ::2]
        magnitudes.append(np.hypot(*(convolve2d(half, kernel, "same") for kernel in (prewitt, prewitt.T))))
    m1, m2 = magnitudes
    expected = ((2 * m1 * m2 + 170) / (m1**2 + m2**2 + 170)).std(ddof=1)
    assert gmsd(torch.from_numpy(a / 255), torch.from_numpy(b / 255)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("measure", "side"), [(ms_ssim, 176), (gmsd, 4)])
def test_the_smallest_image_has_a_value_smaller_ones_are_an_error(measure, side: int) -> None:  # type: ignore[no-untyped-def]
    a, b = torch.rand(2, side, side, generator=torch.Generator().manual_seed(0))
    assert 0 <= measure(a, b) < 1
    with pytest.raises(ConfigError, match=f"at least {side} x {side} px"):
        measure(a[1:], b[1:])


@pytest.mark.parametrize("measure", [mae, ms_ssim, gmsd])
def test_shapes_that_differ_are_an_error(measure) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="different shapes"):
        measure(torch.rand(200, 200), torch.rand(1, 200, 200))


def test_the_psnr_of_a_region_is_that_of_its_pixels() -> None:
    """The whole image as the region gives PSNR; two regions pool to the whole by their pixels."""
    a, b = tensors("ihc")
    half = torch.zeros(a.shape[-2:], dtype=torch.bool)
    half[:60] = True
    assert region_psnr(a, b, torch.ones_like(half)) == pytest.approx(psnr(a, b))
    assert region_psnr(a, b, half) == pytest.approx(psnr(a[:, :60], b[:, :60]))
    parts = (
        EdgeScore(region_psnr(a, b, half), None, int(half.sum()), 0),
        EdgeScore(region_psnr(a, b, ~half), None, int((~half).sum()), 0),
    )
    assert summarise_edges(parts)[0].pooled == pytest.approx(psnr(a, b))
    with pytest.raises(ConfigError, match="holds no pixel"):
        region_psnr(a, b, torch.zeros_like(half))
    with pytest.raises(ConfigError, match="region of shape"):
        region_psnr(a, b, half[1:])


@pytest.mark.parametrize("radius", [1, 3, 5])
def test_the_edge_band_is_made_as_it_is_defined(radius: int) -> None:
    """By scikit-image; its Sobel filter differs at the border of the image by how it pads, so that is left out."""
    _, sharp = real_pair("coins")
    magnitude = filters.sobel(filters.gaussian(sharp / 255, 1, mode="reflect", truncate=4))
    strong = magnitude > filters.threshold_otsu(magnitude[magnitude > 1e-6])
    labels = morphology.label(strong, connectivity=2)
    large = np.isin(labels, np.flatnonzero(np.bincount(labels.ravel()) >= 8)) & strong
    expected = morphology.dilation(large, morphology.disk(radius))
    found = edge_band(as_tensor(sharp), radius, data_range=255.0).numpy()
    assert (found == expected)[8:-8, 8:-8].mean() > 0.999
    assert 0.1 < found.mean() < 0.9


def test_a_step_has_a_band_of_its_width() -> None:
    """Around it, and 2 px wider for every px of the radius."""
    step = torch.zeros(40, 40, dtype=torch.float64)
    step[:, 20:] = 1
    bands = [edge_band(step, r) for r in (1, 3)]
    for band, radius in zip(bands, (1, 3), strict=True):
        columns = band[20].nonzero().flatten()
        assert band.all(dim=0).sum() == len(columns)
        assert columns.float().mean() == 19.5
        assert len(columns) == len(bands[0][20].nonzero()) + 2 * (radius - 1)


def test_bands_of_flat_images_are_empty_and_skipped() -> None:
    """Whatever the value: rounding is no edge. The rest is then the whole image."""
    a, b = tensors("camera")
    flat = torch.full_like(b, 0.3)
    score = edge_psnr(a, flat)
    assert (score.edge, score.edge_pixels, score.share) == (None, 0, 0.0)
    assert score.elsewhere == pytest.approx(psnr(a, flat))
    edges, rest = summarise_edges([score, edge_psnr(a, b), edge_psnr(b, b)])
    assert (edges.n, edges.skipped, rest.n, rest.skipped) == (2, 1, 3, 0)
    assert edges.mean == math.inf
    assert math.isfinite(edges.pooled)
    nothing, _ = summarise_edges([score])
    assert math.isnan(nothing.mean)
    assert (nothing.n, nothing.skipped) == (0, 1)


def test_edges_are_blurred_more_than_the_rest() -> None:
    for name in SCENES:
        score = edge_psnr(*tensors(name))
        assert score.edge is not None
        assert score.elsewhere is not None
        assert score.edge < score.elsewhere
        assert 0 < score.share < 1


class Backbone(torch.nn.Module):
    """Two layers of fixed random filters, which also remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = torch.randn(5, 3, 3, 3, generator=generator, dtype=torch.float64)
        self.second = torch.randn(4, 5, 3, 3, generator=generator, dtype=torch.float64)
        self.given: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        self.given.append(x)
        first = torch.nn.functional.conv2d(x, self.first).relu()
        return [first, torch.nn.functional.conv2d(first, self.second, stride=2).relu()]


WEIGHTS = [torch.tensor([0.1, 0.0, 0.3, 0.2, 0.5]), torch.tensor([0.4, 0.1, 0.0, 0.7])]


def test_lpips_is_the_published_formula() -> None:
    """Written out pixel by pixel."""
    a, b = (x[None, :, :20, :24] for x in tensors("astronaut"))
    backbone, expected = Backbone(), 0.0
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    unit = [((2 * x[0].permute(1, 2, 0).numpy() - 1 - shift) / scale).transpose(2, 0, 1) for x in (a, b)]
    maps = [backbone(torch.from_numpy(x.copy())[None]) for x in unit]
    for layer, weight in enumerate(WEIGHTS):
        x, y = (m[layer][0].numpy() for m in maps)
        distances = []
        for index in np.ndindex(*x.shape[1:]):
            u, v = (f[(slice(None), *index)] for f in (x, y))
            u, v = (f / (np.sqrt((f**2).sum()) + 1e-10) for f in (u, v))
            distances.append(((u - v) ** 2 * weight.double().numpy()).sum())
        expected += np.mean(distances)
    assert lpips(a, b, backbone, WEIGHTS) == pytest.approx(expected, abs=1e-9)
    assert lpips(255 * a, 255 * b, backbone, WEIGHTS, data_range=255.0) == pytest.approx(expected, abs=1e-9)
    assert lpips(a, a, backbone, WEIGHTS) == 0
    assert lpips(torch.cat((a, a)), torch.cat((b, a)), backbone, WEIGHTS) == pytest.approx(expected / 2, abs=1e-9)


def test_lpips_repeats_gray_and_refuses_what_does_not_fit() -> None:
    a, b = (x[None, :, :30, :30] for x in tensors("camera"))
    backbone = Backbone()
    assert lpips(a, b, backbone, WEIGHTS) > 0
    assert backbone.given[0].shape == (1, 3, 30, 30)
    for channel, (shift, scale) in enumerate(((-0.030, 0.458), (-0.088, 0.448), (-0.188, 0.450))):
        torch.testing.assert_close(backbone.given[0][0, channel] * scale + shift, 2 * a[0, 0] - 1)
    with pytest.raises(ConfigError, match="1 or 3 channels, got 2"):
        lpips(a.expand(1, 2, 30, 30), b.expand(1, 2, 30, 30), backbone, WEIGHTS)
    with pytest.raises(ConfigError, match=r"layers of \[4, 5\] channels, but the backbone gives \[5, 4\]"):
        lpips(a, b, backbone, WEIGHTS[::-1])
