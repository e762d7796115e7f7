"""What `import dgno` offers, and nothing else."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import dgno
from dgno.errors import ConfigError, UnknownWeights
from dgno.networks import DGNOConfig, build
from dgno.weights.store import Card, save_weights


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = DGNOConfig(width=8, heads=2, blocks=(1, 1, 1, 1), convention="paper", scan_block=32, shallow_norm="none")
    return save_weights(
        tmp_path_factory.mktemp("w") / "tiny.safetensors", build(config).state_dict(), Card(config, halo=32)
    )


def test_public_names() -> None:
    """The list that users may rely on."""
    assert sorted(dgno.__all__) == ["Image", "__version__", "assess", "load", "networks", "restore", "simulate"]
    assert all(getattr(dgno, name) is not None for name in dgno.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        dgno.nonsense  # noqa: B018


def test_import_is_light() -> None:
    """No torch, no plotting, no readers."""
    heavy = ("torch", "numpy", "matplotlib", "tifffile", "skimage")
    code = f"import dgno, sys; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3), (40, 50, 4), (40, 50, 1), (40, 50, 2), (33, 20, 7)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_restore_keeps_shape_and_dtype(tiny: Path, shape: tuple[int, ...], dtype: type) -> None:
    """Colours, opacity, channels; an opacity is never changed, nor is the array that came in."""
    image = (np.random.default_rng(0).random(shape) * (1 if dtype is np.float32 else np.iinfo(dtype).max)).astype(dtype)
    before = image.copy()
    restored = dgno.restore(image, weights=tiny)
    assert (restored.shape, restored.dtype) == (image.shape, image.dtype)
    assert (restored != image).any()
    np.testing.assert_array_equal(image, before)
    if shape[-1] == 4:
        np.testing.assert_array_equal(restored[..., 3], image[..., 3])


@pytest.mark.parametrize("wrong", ["np.zeros((2, 3, 4, 5))", "np.zeros(7)", "'a.png'", "np.zeros((4, 4), 'D')", "None"])
def test_restore_refuses_what_is_no_image(wrong: str) -> None:
    """As users call it: without the type checks of these tests."""
    code = f"import dgno, numpy as np; dgno.restore({wrong})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.splitlines()[-1].startswith("dgno.errors.ConfigError: an image that is"), run.stderr
    assert "numpy array (h, w) or (h, w, c)" in run.stderr


def test_load(tiny: Path) -> None:
    network = dgno.load(tiny)
    assert not network.training
    assert network.halo == 32
    with pytest.raises(UnknownWeights, match="give its path"):
        dgno.load("no-such-weights")


def test_simulate_with_optics() -> None:
    """The diffraction PSF of a lens; more defocus, more blur; the dtype stays."""
    sharp = np.zeros((60, 70), np.uint16)
    sharp[30, 35] = 60000
    widths = []
    for defocus in (0.0, 2.0, 6.0):
        optics = {"numerical_aperture": 0.5, "wavelength": 0.53, "pixel_size": 0.5}
        blurred, truth = dgno.simulate(sharp, defocus=defocus, **optics)
        assert (blurred.shape, blurred.dtype, truth.sigma.shape) == (sharp.shape, sharp.dtype, sharp.shape)
        widths.append(float(truth.sigma[0, 0]))
    assert widths == sorted(widths)
    with pytest.raises(ConfigError, match="numerical_aperture and pixel_size"):
        dgno.simulate(sharp, defocus=1.0)


def test_simulate_at_random() -> None:
    sharp = np.random.default_rng(0).random((50, 60, 3)).astype(np.float32)
    (a, truth), (b, _), (c, _) = (dgno.simulate(sharp, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert 0.6 <= truth.sigma.min() <= truth.sigma.max() <= 4.0
    assert truth.psf.sum() == pytest.approx(1)


def test_networks_can_be_built() -> None:
    network = dgno.networks.build(
        dgno.networks.DGNOConfig(width=48, traces="face", flux="avg_jump", boundary="dirichlet")
    )
    assert sum(p.numel() for p in network.parameters()) == 12_794_888


def test_channels_have_noise_of_their_own() -> None:
    """One blur, but the camera exposes every channel anew."""
    flat = np.full((40, 40, 5), 100, np.uint8)
    blurred, _ = dgno.simulate(flat, seed=1)
    assert all((blurred[..., 0] != blurred[..., i]).any() for i in range(1, 5))


def test_a_stack_is_restored_plane_by_plane(tiny: Path) -> None:
    """Wherever its planes lie; without names of its axes it is refused, by all functions."""
    planes = np.random.default_rng(0).integers(0, 255, (3, 64, 80), dtype=np.uint8)
    for refuses in (dgno.restore, dgno.assess, dgno.simulate):
        with pytest.raises(ConfigError, match='axes="ZYX"'):
            refuses(planes)
    alone = np.stack([dgno.restore(plane, weights=tiny, normalize="range") for plane in planes])
    np.testing.assert_array_equal(dgno.restore(planes, axes="ZYX", weights=tiny, normalize="range"), alone)
    last = dgno.restore(np.moveaxis(planes, 0, 2), axes="YXZ", weights=tiny, normalize="range")
    np.testing.assert_array_equal(np.moveaxis(last, 2, 0), alone)
    assert dgno.assess(planes, axes="ZYX").shape == (64, 80)
    blurred, truth = dgno.simulate(planes, axes="ZYX")
    assert blurred.shape == planes.shape and truth.sigma.shape == (64, 80)


def test_simulated_noise_is_not_cut_at_a_guess() -> None:
    """A flat image of 10 bits just below their end: its noise goes beyond, into the 16 bits that there are."""
    flat = np.full((64, 80), 1000, np.uint16)
    blurred, _ = dgno.simulate(flat, seed=1)
    assert blurred.max() > 1023


@pytest.mark.parametrize("function", [dgno.restore, dgno.assess, dgno.simulate])
def test_images_without_pixels_are_refused(function: Callable[..., object]) -> None:
    with pytest.raises(ConfigError, match=r"shape \(0, 5\); give one with pixels"):
        function(np.zeros((0, 5)))


def test_classical_methods_are_said_to_be_elsewhere() -> None:
    with pytest.raises(ConfigError, match=r"known here: dgno, dbmid; wiener.*dgno\.classical"):
        dgno.restore(np.random.default_rng(0).random((40, 40)), method="wiener")


def test_what_is_found_prints_in_one_line() -> None:
    sharp = np.random.default_rng(0).integers(0, 255, (64, 80), dtype=np.uint8)
    _, truth = dgno.simulate(sharp, seed=1)
    assert re.fullmatch(r"Truth\(sigma \S+ to \S+ px; psf of (\d+) x \1 px; maps: sigma\)", repr(truth))
    found = repr(dgno.assess(sharp))
    assert re.fullmatch(r"Assessment\([a-z ]+, probability \S+; .*%.*; 64 x 80 px\)", found), found
    assert repr(dgno.assess(np.zeros((64, 80)))) == "Assessment(nothing that could be blurred; 64 x 80 px)"


@contextlib.contextmanager
def other_default(default: torch.dtype | str) -> Iterator[None]:
    if isinstance(default, str):
        with torch.device(default):
            yield
        return
    torch.set_default_dtype(default)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("default", [torch.float64, torch.float16, "meta"], ids=str)
def test_defaults_of_torch_change_no_result(default: torch.dtype | str) -> None:
    """What the user's program makes new tensors of is not what dgno makes them of; afterwards it is as before."""
    image = np.random.default_rng(0).random((48, 48), dtype=np.float32)
    verbs: dict[str, Callable[[], np.ndarray]] = {
        "restore": lambda: dgno.restore(image),
        "restore routed": lambda: dgno.restore(image, route="auto"),
        "assess": lambda: dgno.assess(image).strength,
        "simulate": lambda: dgno.simulate(image)[0],
        "defocus": lambda: dgno.simulate(image, defocus=2.0, numerical_aperture=0.5, pixel_size=0.3)[0],
        "load": lambda: next(dgno.load("fluorescence-nano").parameters()).detach().numpy(),
    }
    for verb in verbs.values():
        plain = verb()
        with other_default(default):
            before = torch.get_default_dtype(), torch.get_default_device()
            np.testing.assert_array_equal(verb(), plain, strict=True)
            assert before == (torch.get_default_dtype(), torch.get_default_device())
