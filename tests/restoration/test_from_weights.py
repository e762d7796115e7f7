"""Which weights an image gets by default, how they want it normalised, and in which precision they run."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dgno.arrays import Affine, Image
from dgno.errors import ConfigError
from dgno.kernels import fusing
from dgno.networks import DGNOConfig, build
from dgno.restoration.from_weights import NORMALIZERS, default_weights, make_restorer, on_cpu
from dgno.restoration.placed import Placed, _multiplied_as
from dgno.restoration.route import InTurn
from dgno.weights.store import Card, load_weights, save_weights

CONFIG = DGNOConfig(width=8, heads=2, blocks=(1, 1, 1, 1), convention="paper", scan_block=32, shallow_norm="none")
VALUES = np.random.default_rng(0).gamma(2, 300, (3, 60, 70)).clip(0, 4095).astype(np.uint16)
STACK = Image(VALUES, "CYX", (0, 4095))


def colours(share: float, low: int = 0, high: int = 255) -> Image:
    """A colour image whose middle value lies at this share of its range."""
    pixels = np.full((32, 32, 3), round(low + share * (high - low)), np.uint16)
    pixels[:8], pixels[-8:] = low, high
    return Image(pixels, "YXS", (low, high))


@pytest.mark.parametrize("low, high", [(0, 255), (1000, 5000)])
def test_bright_colours_are_bright_field_and_all_else_is_fluorescence(low: int, high: int) -> None:
    """The middle value decides, at 0.35 of the range: white is the empty slide, black the empty dish."""
    fluorescence, bright_field = "fluorescence-small", "brightfield-nano"
    for share, name in ((0.05, fluorescence), (0.3, fluorescence), (0.4, bright_field), (0.9, bright_field)):
        assert default_weights(colours(share, low, high)) == name
    gray = replace(colours(0.9), pixels=colours(0.9).pixels[..., 0], axes="YX")
    assert default_weights(gray) == fluorescence
    assert default_weights(STACK) == fluorescence


EXPECTED = {
    "range": [Affine(0, 4095)] * 3,
    "percentile": [Affine(a, b - a) for a, b in (np.percentile(plane, [0.1, 99.9]) for plane in VALUES)],
    "minmax": [Affine(float(plane.min()), float(plane.max()) - float(plane.min())) for plane in VALUES],
    "none": [Affine(0, 1)] * 3,
}


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalisations_are_what_their_names_say(name: str) -> None:
    """Of every channel apart, but for the range, which is the file's."""
    found = [NORMALIZERS[name](STACK, channel) for channel in range(3)]
    for affine, expected in zip(found, EXPECTED[name], strict=True):
        np.testing.assert_allclose((affine.offset, affine.scale), (expected.offset, expected.scale), rtol=1e-12)


@pytest.mark.parametrize("stored", ["range", "percentile", "minmax"])
def test_weights_are_given_what_their_card_asks_for(tmp_path: Path, stored: str) -> None:
    """Unless the user wants another normalisation."""
    torch.manual_seed(0)
    path = save_weights(tmp_path / "w.safetensors", build(CONFIG).state_dict(), Card(CONFIG, normalization=stored))
    assert make_restorer(path, device="cpu")[1] is NORMALIZERS[stored]
    assert make_restorer(path, normalize="none", device="cpu")[1] is NORMALIZERS["none"]
    with pytest.raises(ConfigError, match="known: auto, range, percentile, minmax, none"):
        make_restorer(path, normalize="magic", device="cpu")


def test_restorers_are_tiled_as_their_networks() -> None:
    network, card = load_weights("fluorescence-nano")
    restorer, _ = make_restorer("fluorescence-nano", device="cpu")
    for name in ("multiple", "halo", "is_local", "channels", "bytes_per_pixel"):
        assert getattr(restorer, name) == getattr(network, name)
    assert restorer.halo == card.halo


def test_bf16_comes_close_to_fp32() -> None:
    """Within 60 dB, and not the same: products are rounded to 8 bits."""
    x = torch.from_numpy(VALUES[:1, :32, :64] / 4095).float()[None]
    with torch.inference_mode():
        exact, rounded = (make_restorer("fluorescence-nano", device="cpu", precision=p)[0](x) for p in ("fp32", "bf16"))
    error = (exact - rounded).square().mean().sqrt()
    assert 1e-6 < error < 1e-3  # 60 dB


def test_high_precision_comes_closer() -> None:
    """Within 95 dB, and not the same where the processor multiplies with fewer bits; whatever the process has set."""
    x = torch.from_numpy(VALUES[:1, :32, :64] / 4095).float()[None]
    exact, high = (make_restorer("fluorescence-nano", device="cpu", precision=p)[0] for p in ("fp32", "high"))
    before = torch.get_float32_matmul_precision()
    with torch.inference_mode():
        wanted = exact(x)
        assert (high(x) - wanted).square().mean().sqrt() < 1e-5 * 10**0.25
        assert torch.equal(high(x), wanted) == (fusing.choose_high().name == "floats")
        torch.set_float32_matmul_precision("high")
        try:
            assert torch.equal(exact(x), wanted)
        finally:
            torch.set_float32_matmul_precision(before)


def test_threads_restore_each_in_its_precision() -> None:
    x = torch.from_numpy(VALUES[:1, :32, :64] / 4095).float()[None]
    restorers = [make_restorer("fluorescence-nano", device="cpu", precision=p)[0] for p in ("fp32", "high")]
    alone, meeting = [restorer(x) for restorer in restorers], threading.Barrier(2)

    def together(restorer: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        meeting.wait()
        return [restorer(x) for _ in range(6)]

    with torch.inference_mode(), ThreadPoolExecutor(2) as pool:
        for found, wanted in zip(pool.map(together, restorers), alone, strict=True):
            assert all(torch.equal(one, wanted) for one in found)


def test_what_was_set_for_gpus_is_set_again() -> None:
    """That part of it runs without one."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    for products, wanted in (("floats", "ieee"), ("pairs", "tf32")):
        with _multiplied_as(products, torch.device("cuda")):
            assert matmul.fp32_precision == wanted
        assert matmul.fp32_precision == before


def test_a_restorer_moves_to_the_cpu_with_its_weights_and_precision() -> None:
    """What the last step does when memory runs out on a device; the device `meta` computes nothing."""
    network, _ = load_weights("fluorescence-nano")
    placed = Placed(copy.deepcopy(network), torch.device("meta"), "bf16")
    moved = on_cpu(InTurn((placed, placed)))
    assert isinstance(moved, InTurn)
    assert all(one.device == torch.device("cpu") and one.precision == "bf16" for one in moved.restorers)
    assert on_cpu(torch.nn.functional.relu) is torch.nn.functional.relu


def test_all_orientations_are_tiled_and_moved_as_the_network_is() -> None:
    network, _ = load_weights("fluorescence-nano")
    restorer, _ = make_restorer("fluorescence-nano", device="cpu", tta=True)
    for name in ("multiple", "halo", "is_local", "channels"):
        assert getattr(restorer, name) == getattr(network, name)
    assert restorer.bytes_per_pixel > network.bytes_per_pixel
    moved = on_cpu(Placed(restorer.restorer, torch.device("meta")))
    assert isinstance(moved, Placed) and moved.restorer is restorer.restorer
