"""Arguments that cannot be meant are refused by the functions of the package: none is ignored, no error is a bare one.

As users call them: in a process of its own, without the type checks of these tests.
"""

from __future__ import annotations

import subprocess
import sys

LENS = "numerical_aperture=0.5, pixel_size=0.4"
SIMULATED = {
    "np.full((40, 50), np.nan)": "NonFiniteInput: 2000 values that are NaN or infinite",
    "np.full((40, 50), 1e300)": "InputOutOfRange: values up to 1e+300",
    "image, seed=-1": "ConfigError: nothing can be drawn so: seed is -1, wanted a whole number of at least 0",
    "image, seed='a'": "ConfigError: nothing can be drawn so: seed is 'a'",
    "image, ranges=3": "ConfigError: ranges is 3; give a dgno.optics.simulate.BlurRange(...)",
    "image, ranges=BlurRange": "ConfigError: ranges is <class",
    f"image, {LENS}": "ConfigError: numerical_aperture and pixel_size without defocus",
    "image, wavelength=0.6": "ConfigError: wavelength without defocus",
    "image, refractive_index=1.5": "ConfigError: refractive_index without defocus",
    "image, defocus=3.0, pixel_size=0.4": "ConfigError: a defocus in um needs numerical_aperture;",
    f"image, defocus=3.0, {LENS}, ranges=BlurRange()": "ConfigError: defocus and ranges at once",
    f"image, defocus=3.0, {LENS}, wavelength=530": "ConfigError: a wavelength of 530 um; wavelengths are in um",
    f"image, defocus=np.nan, {LENS}": "ConfigError: no such defocus: defocus is nan, wanted a finite number",
    f"image, defocus='a', {LENS}": "ConfigError: no such defocus: defocus is 'a'",
    "image, defocus=3.0, numerical_aperture='a', pixel_size=0.4": "ConfigError: no such defocus: numerical",
    f"image, seed=np.int64(3), ranges=BlurRange()); dgno.simulate(image, defocus=np.float32(3), {LENS}": "fine",
}
TILED = {
    "image, overlap=-1": "ConfigError: no such tiles: overlap is -1, wanted a whole number of at least 0",
    "image, tile_size=64, overlap=-32": "ConfigError: no such tiles: overlap is -32",
    "image, overlap=1.5": "ConfigError: no such tiles: overlap is 1.5",
    "image, overlap='a', tile_size='a'": "ConfigError: no such tiles: tile_size is 'a', wanted a whole number of at",
    "image, tile_size=-64": "ConfigError: no such tiles: tile_size is -64",
    "image, tile_size=np.int64(0), overlap=np.int64(32)": "fine",
    "image, device=torch.device('cpu')": "fine",
}
FLAGS = {
    "image, allow_labels='no'": "ConfigError: no such option: allow_labels is 'no', wanted True or False",
    "image, allow_labels=1": "ConfigError: no such option: allow_labels is 1",
    "image, allow_labels=np.bool_(True)": "fine",
}
CHILD = """
import sys, dgno, torch, numpy as np
from dgno.optics.simulate import BlurRange
image = np.random.default_rng(0).random((40, 50))
for call in sys.argv[1:]:
    try:
        exec(call)
        print("fine")
    except Exception as error:
        print(f"{type(error).__name__}: {error}".replace("\\n", " "))
"""


def said_to(calls: list[str]) -> list[str]:
    """What each call raised, or "fine"."""
    run = subprocess.run([sys.executable, "-c", CHILD, *calls], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def assert_said(function: str, wanted: dict[str, str]) -> None:
    answers = said_to([f"dgno.{function}({arguments})" for arguments in wanted])
    wrong = {a: said for a, said in zip(wanted, answers, strict=True) if not said.startswith(wanted[a])}
    assert not wrong


def test_what_cannot_be_simulated_is_refused() -> None:
    assert_said("simulate", SIMULATED)


def test_what_are_no_tiles_is_refused() -> None:
    """By both functions that take them."""
    assert_said("restore", TILED)
    assert_said("assess", {call: said for call, said in TILED.items() if "overlap" not in call})


def test_what_is_neither_true_nor_false_is_refused() -> None:
    assert_said("assess", FLAGS)
    tta = {"image, tta='yes'": "ConfigError: no such option: tta is 'yes'", "image, tta=None": "ConfigError: no such"}
    assert_said("restore", FLAGS | tta)


def test_what_are_no_weights_is_refused() -> None:
    assert_said("restore", {"image, weights=3": "UnknownWeights: weights of type int; give a name, or the path"})
