"""Named protocols: each computed once more with numpy and scikit-image on real images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from dgno.arrays import Image
from dgno.data.records import Record
from dgno.errors import ConfigError
from dgno.evaluation.compare import compare, fidelity, unchanged
from dgno.evaluation.pairs import read_pair
from dgno.evaluation.protocols import PROTOCOLS, protocol_named
from real_pairs import SCENES, real_pair

EXTREMES = ("bbbc-pairminmax", "bbbc-pairminmax-gaussian")
Ssim = Callable[[np.ndarray, np.ndarray], float]


def uniform(a: np.ndarray, b: np.ndarray) -> float:
    return float(structural_similarity(a, b, data_range=1.0, channel_axis=-1))


def gaussian(a: np.ndarray, b: np.ndarray) -> float:
    arguments = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    _, found = structural_similarity(a, b, data_range=1.0, channel_axis=-1, **arguments)
    return float(found[5:-5, 5:-5].mean())


def padded(a: np.ndarray, b: np.ndarray) -> float:
    """Gaussian along all three axes, borders repeated; one channel is then its own neighbour."""
    m_a, m_b, aa, bb, ab = (
        gaussian_filter(x, 1.5, truncate=5 / 1.5, mode="nearest") for x in (a, b, a * a, b * b, a * b)
    )
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * m_a * m_b + c1) * (2 * (ab - m_a * m_b) + c2)
    return float((top / ((m_a**2 + m_b**2 + c1) * (aa - m_a**2 + bb - m_b**2 + c2))).mean())


def luma(x: np.ndarray) -> np.ndarray:
    return x if x.shape[2] == 1 else (x @ [65.481, 128.553, 24.966] + 16)[..., None] / 255


def cut_8(x: np.ndarray) -> np.ndarray:
    return x[: len(x) // 8 * 8, : x.shape[1] // 8 * 8]


def same(x: np.ndarray) -> np.ndarray:
    return x


BY_HAND: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Ssim]] = {
    "dgno": (same, gaussian),
    "restormer-defocus": (same, uniform),
    "restormer-dp16": (same, uniform),
    "basicsr": (same, gaussian),
    "basicsr-y": (luma, gaussian),
    "basicsr-restormer-fork": (same, padded),
    "basicsr-restormer-fork-y": (luma, padded),
    "mpt-eval": (cut_8, uniform),
    "mpt-val": (same, gaussian),
    "gkmnet": (same, gaussian),
    "bbbc-pairminmax": (same, uniform),
    "bbbc-pairminmax-gaussian": (same, gaussian),
    "3dhistech": (same, uniform),
}


def written(folder: Path, blurred: np.ndarray, sharp: np.ndarray) -> Record:
    for name, pixels in (("blurred", blurred), ("sharp", sharp)):
        (folder / name).mkdir(exist_ok=True)
        photometric = "rgb" if pixels.ndim == 3 else "minisblack"
        tifffile.imwrite(folder / name / "a.tif", pixels, photometric=photometric)
    return Record("a", folder / "blurred" / "a.tif", folder / "sharp" / "a.tif", "a")


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_what_it_says(name: str, scene: str, tmp_path: Path) -> None:
    """PSNR and SSIM of the files of five real pairs. Unit values are float64."""
    pixels = real_pair(scene, np.uint16 if name == "restormer-dp16" else np.uint8)
    pair = written(tmp_path, *pixels)
    (score,) = compare([pair], {"blurred": unchanged}, protocol=PROTOCOLS[name])
    change, measure = BY_HAND[name]
    values = [np.atleast_3d(x).astype(np.float64) for x in pixels]
    if name in EXTREMES:
        values = [(x - x.min()) / (x.max() - x.min()) for x in values]
    else:
        values = [x / (65535 if name == "restormer-dp16" else 255) for x in values]
    a, b = map(change, values)
    assert score.psnr == pytest.approx(-10 * math.log10(((a - b) ** 2).mean()), abs=1e-9)
    assert score.ssim == pytest.approx(measure(a, b), abs=1e-9)


GOLDENS = {  # PSNR and SSIM of the pair "astronaut", as once computed by the functions above
    "dgno": (25.96532985, 0.672103192),
    "restormer-defocus": (25.96532985, 0.699786082),
    "restormer-dp16": (25.96532985, 0.699786082),
    "basicsr": (25.96532985, 0.672103192),
    "basicsr-y": (27.94293016, 0.780787717),
    "basicsr-restormer-fork": (25.96532985, 0.824275760),
    "basicsr-restormer-fork-y": (27.94293016, 0.784305387),
    "mpt-eval": (25.89998692, 0.701031769),
    "mpt-val": (25.96532985, 0.672103192),
    "gkmnet": (25.96532985, 0.672103192),
    "bbbc-pairminmax": (25.96532985, 0.699786082),
    "bbbc-pairminmax-gaussian": (25.96532985, 0.672103192),
    "3dhistech": (25.96532985, 0.699786082),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_numbers_stay(name: str) -> None:
    dtype = np.uint16 if name == "restormer-dp16" else np.uint8
    blurred, sharp = (
        Image(x, "YXS", (float(x.min()), float(x.max())) if name in EXTREMES else (0.0, float(np.iinfo(dtype).max)))
        for x in real_pair("astronaut", dtype)
    )
    assert fidelity(blurred, sharp, PROTOCOLS[name]) == pytest.approx(GOLDENS[name], abs=1e-6)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_equal_images_and_images_the_other_way_round(name: str) -> None:
    a, b = (Image(x.astype(np.float32), "YX", (0.0, 1.0)) for x in real_pair("coins", np.float32))
    stretched = [replace(x, pixels=(x.pixels - x.pixels.min()) / np.ptp(x.pixels)) for x in (a, b)]
    protocol = PROTOCOLS[name]
    assert fidelity(stretched[0], stretched[1], protocol) == pytest.approx(
        fidelity(stretched[1], stretched[0], protocol)
    )
    psnr, ssim = fidelity(stretched[0], stretched[0], protocol)
    assert ssim == pytest.approx(1)
    assert psnr == (100 if name.startswith(("restormer", "bbbc", "3d")) else math.inf)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_constant_images_are_refused_by_min_max_only(name: str, dtype: type, tmp_path: Path) -> None:
    """Of a dtype that the protocol reads; the error names the file and the protocol."""
    pair = written(tmp_path, np.full((20, 24), 1, dtype), np.full((20, 24), 1, dtype))
    taken = {"restormer-dp16": (np.uint16, np.float32)}.get(name, (np.uint8, np.float32))
    extremes = name in EXTREMES or (name.startswith("mpt") and dtype == np.uint16)
    if extremes:
        with pytest.raises(ConfigError, match=rf"constant image.*a\.tif\): protocol {name}"):
            compare([pair], {"blurred": unchanged}, protocol=PROTOCOLS[name])
    elif name == "dgno" or dtype in taken:
        (score,) = compare([pair], {"blurred": unchanged}, protocol=PROTOCOLS[name])
        assert score.ssim == pytest.approx(1)
    else:
        with pytest.raises(ConfigError, match=rf"reads uint.*got {np.dtype(dtype)}.*protocol {name}"):
            compare([pair], {"blurred": unchanged}, protocol=PROTOCOLS[name])


@pytest.mark.parametrize("name", PROTOCOLS)
def test_images_smaller_than_the_window_are_an_error(name: str) -> None:
    """Not NaN. `mpt-eval` cuts to a multiple of 8 px first."""
    side = PROTOCOLS[name].window.side
    small = np.random.default_rng(0).random((side - 1, 40)).astype(np.float32)
    with pytest.raises(ConfigError, match="SSIM needs images of at least"):
        fidelity(Image(small), Image(small), PROTOCOLS[name])


def test_clamping_rounding_and_what_is_cut() -> None:
    """Each alone: white that is too bright, and less than half a level."""
    rng = np.random.default_rng(0)
    sharp = Image(rng.random((64, 72)).astype(np.float32))
    sharp.pixels[:30, :30] = 1
    sharp.pixels[40, 40] = 0
    louder = sharp.with_pixels(np.where(sharp.pixels == 1, np.float32(1.5), sharp.pixels))
    clamped = {name for name, p in PROTOCOLS.items() if fidelity(louder, sharp, p)[1] > 1 - 1e-9}
    assert clamped == PROTOCOLS.keys() - {"mpt-eval", "mpt-val"}
    levels = replace(sharp, pixels=np.round(sharp.pixels * 254) / np.float32(255))
    nearly = levels.with_pixels(levels.pixels + np.float32(0.4 / 255))
    rounded = {name for name, p in PROTOCOLS.items() if fidelity(nearly, levels, p)[0] == math.inf}
    assert rounded == {"basicsr", "basicsr-y", "basicsr-restormer-fork", "basicsr-restormer-fork-y", "gkmnet"}


@pytest.mark.parametrize(("name", "part"), [
    ("mpt-eval", (slice(0, 528), slice(0, 656))),
    ("mpt-val", (slice(9, 521), slice(11, 651))),
])  # fmt: skip
def test_only_the_compared_part_counts(name: str, part: tuple[slice, slice]) -> None:
    sharp = Image(np.random.default_rng(0).random((531, 663)).astype(np.float32))
    wrong = np.zeros_like(sharp.pixels)
    wrong[part] = sharp.pixels[part]
    assert fidelity(sharp.with_pixels(wrong), sharp, PROTOCOLS[name])[0] == math.inf
    wrong[part[0].start, part[1].start] += 0.5
    assert fidelity(sharp.with_pixels(wrong), sharp, PROTOCOLS[name])[0] < 80


def test_the_fork_takes_black_images_for_unit_images() -> None:
    """Levels 0 and 1 have the range 1 there, which costs 48 dB."""
    levels = np.random.default_rng(0).integers(0, 2, (2, 40, 40)).astype(np.uint8)
    a, b = (Image(x, "YX", (0.0, 255.0)) for x in levels)
    fork, plain = (fidelity(a, b, PROTOCOLS[name])[0] for name in ("basicsr-restormer-fork", "basicsr"))
    assert plain - fork == pytest.approx(20 * math.log10(255))


def test_restorers_see_what_the_protocol_reads(tmp_path: Path) -> None:
    """By min-max the blurred image has its own scale, and a perfect one is found in the network's values, not in the
    file's; floats are not rounded to the depth of the file, but in `dgno`."""
    sharp = np.random.default_rng(0).integers(100, 4000, (30, 40)).astype(np.uint16)
    pair = written(tmp_path, (sharp // 4 + 500).astype(np.uint16), sharp)
    names = ("dgno", "bbbc-pairminmax", "mpt-eval")
    ranges = {name: read_pair(pair, PROTOCOLS[name]).blurred.value_range for name in names}
    low, high = float(sharp.min() // 4 + 500), float(sharp.max() // 4 + 500)
    assert ranges == {"dgno": (0.0, 4095.0), "bbbc-pairminmax": (low, high), "mpt-eval": (low, high)}

    def network(image: Image, record: Record) -> Image:
        bottom, top = image.value_range
        unit = (sharp - float(sharp.min())) / np.ptp(sharp).astype(np.float64)
        return replace(image, pixels=(unit * (top - bottom) + bottom).astype(image.pixels.dtype))

    found = compare([pair], {"network": network}, protocol=PROTOCOLS["bbbc-pairminmax"])
    assert found[0].psnr > 80
    assert read_pair(pair).blurred.pixels.dtype == np.uint16
    assert read_pair(pair, PROTOCOLS["restormer-dp16"]).blurred.pixels.dtype == np.float32


def test_per_image_min_max_depends_on_single_pixels(tmp_path: Path) -> None:
    """One hot pixel in the sharp image, and the same absolute error has another PSNR: why it is not the default."""
    blurred, sharp = (x // 2 for x in real_pair("coins"))
    hot = sharp.copy()
    hot[100, 100] = 255
    by = PROTOCOLS["bbbc-pairminmax"]
    images = [Image(x, "YX", (float(x.min()), float(x.max()))) for x in (blurred, sharp, hot)]
    assert abs(fidelity(images[0], images[1], by)[0] - fidelity(images[0], images[2], by)[0]) > 1
    images = [replace(x, value_range=(0.0, 255.0)) for x in images]
    assert abs(fidelity(images[0], images[1])[0] - fidelity(images[0], images[2])[0]) < 0.1


def test_unknown_names_are_refused_with_the_nearest_one() -> None:
    assert protocol_named("dgno").name == "dgno"
    with pytest.raises(ConfigError, match="'bbbc-minmax', did you mean 'bbbc-pairminmax'"):
        protocol_named("bbbc-minmax")
    with pytest.raises(FrozenInstanceError):
        protocol_named("dgno").clamp = False  # type: ignore[misc]


def test_the_page_has_a_line_for_every_protocol() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text()
    lines = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| `")]
    assert [cells[0].strip(" `") for cells in lines] == list(PROTOCOLS)
    for cells, protocol in zip(lines, PROTOCOLS.values(), strict=True):
        _, scale, values, _, channels, equal, window = (cell.strip() for cell in cells)
        assert ("extremes" in scale) == (not protocol.shared)
        assert ("clamped" in values) == protocol.clamp
        assert ("levels" in values) == (protocol.levels == 255)
        assert ("dtype" in values) == (not protocol.unrounded)
        assert channels == protocol.space
        assert equal == ("infinite" if protocol.psnr_if_equal == math.inf else "100 dB")
        assert window.split(",")[0] == ("uniform 7" if protocol.window.sigma is None else "Gaussian 11")
        assert ("padded" in window, "over channels" in window) == (
            protocol.window.padded,
            protocol.window.over_channels,
        )
