"""`dgno doctor`: what this machine has, and what dgno makes of it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

import typer

from dgno import __version__
from dgno.cli.console import print_json, print_table
from dgno.cli.options import MAX_PIXELS, Debug, Json, Quiet
from dgno.io.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from dgno.kernels.choice import Choice

LIBRARIES = (
    "torch",
    "numpy",
    "scipy",
    "scikit-image",
    "tifffile",
    "imagecodecs",
    "pillow",
    "safetensors",
    "matplotlib",
)
OPTIONAL = {
    "tiffslide": "slides",
    "openslide": "slides",
    "zarr": "slides",
    "dask": "slides",
    "distributed": "cluster",
    "tensorboard": "train",
    "onnx": "onnx",
    "onnxruntime": "onnx",
}


def doctor(
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    max_pixels: Annotated[int, typer.Option(envvar=MAX_PIXELS, hidden=True, min=1)] = DEFAULT_LIMITS.pixels,
) -> None:
    """Show what this machine has, and which kernels run. Libraries, devices, kernels and why, codecs, limits.

    Example: dgno doctor --json
    """
    facts: dict[str, Mapping[str, object]] = {
        "dgno": {"version": __version__, "python": platform.python_version(), "system": platform.platform()},
        "libraries": {name: _version(name) for name in LIBRARIES},
        "machine": _machine(),
        "kernels": _kernels(),
        "codecs": _codecs(),
        "optional packages": {
            name: "installed" if importlib.util.find_spec(name) else f"not installed: pip install 'dgno[{extra}]'"
            for name, extra in OPTIONAL.items()
        },
        "limits": _limits(max_pixels),
        "weights, MB": _weights(),
    }
    if json:
        print_json(facts)
        return
    for title, table in facts.items():
        print_table(("", ""), list(table.items()), title=title)
        print()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _machine() -> dict[str, object]:
    import torch

    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads of torch": torch.get_num_threads(),
        "vector instructions of torch": torch.backends.cpu.get_cpu_capability(),
        "oneDNN": torch.backends.mkldnn.is_available(),
        "devices": ["cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))],
        "default device": "cuda" if torch.cuda.is_available() else "cpu",
    }


def _kernels() -> dict[str, str]:
    """The version that runs on this machine's default device, for a nano network's shapes, and why."""
    import torch

    from dgno.kernels import backends, fusing
    from dgno.kernels.compiled import why_missing

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    choices = {
        "selective scan": backends.choose_scan(device, torch.float32, states=8),
        "DG operator": backends.choose_operator(device, torch.float32, d=4, tokens=64),
        "DG operator layer": fusing.choose_operator_layer(device, torch.float32, heads=4, d=4, side=8),
        "feed-forward network": fusing.choose_feed_forward(device, torch.float32, channels=16),
        "merge of two scales": fusing.choose_merge(device, torch.float32, channels=16),
        "attentive scan": fusing.choose_attentive_scan(device, torch.float32, channels=16),
        "attentive lift, with gradients": fusing.choose_attentive_lift(device, torch.float32, channels=16),
        "gated convolution": backends.choose_gate(device, torch.float32, channels=32),
        "3x3 convolution": backends.choose_convolution(device, torch.float32),
        "1x1 convolution": backends.choose_pointwise(device, torch.float32),
        "random numbers of the routing": backends.choose_uniform(),
    }
    lines = {name: f"{choice.name} ({choice.reason})" for name, choice in choices.items()}
    precisions = {"--precision high": _high(device.type, fusing.choose_high())}
    precisions["--precision bf16"] = _half(fusing.has_half(), fusing.has_tiles())
    return {**lines, **precisions, "compiled libraries": _libraries(why_missing())}


def _high(device: str, on_cpu: Choice) -> str:
    return "TF32" if device == "cuda" else f"{on_cpu.name} ({on_cpu.reason})"


def _half(is_compiled: bool, in_tiles: bool) -> str:
    if not is_compiled:
        return "layer by layer in torch, slower than fp32 on a CPU"
    return f"compiled products of bfloat16, {'in tiles (AMX)' if in_tiles else 'in vectors: not faster everywhere'}"


def _libraries(missing: Mapping[str, str]) -> str:
    """Each is compiled on its own, and may be missing on its own."""
    return "; ".join(f"no {name} ({why})" for name, why in missing.items()) or "all are there"


def _codecs() -> dict[str, object]:
    """The formats and compressions that images can be read from and written in, by the codecs that are installed."""
    import imagecodecs
    import tifffile

    from dgno.io.tiff_read import OLD_JPEG
    from dgno.io.tiff_write import CODECS

    def has(codec: str) -> bool:
        return bool(getattr(imagecodecs, codec).available)

    def is_decoded(code: int) -> bool:
        try:
            return tifffile.TIFF.DECOMPRESSORS[code] is not None
        except KeyError:
            return False

    return {
        "PNG, read and written": has("PNG"),
        "JPEG, read and written": has("JPEG8"),
        "BMP, read and written": True,  # by code of our own
        "TIFF, read": [c.name.lower() for c in tifffile.COMPRESSION if int(c) != OLD_JPEG and is_decoded(int(c))],
        "TIFF, written": [name for name, codec in CODECS.items() if codec is None or has(codec.upper())],
        "TIFF of slides, written": ["jpeg"] if has("JPEG8") else [],  # these as well
    }


def _limits(max_pixels: int) -> dict[str, float]:
    """What `dgno restore` refuses, as the environment has it."""
    limits = Limits(pixels=max_pixels)
    return {field.name.replace("_", " "): getattr(limits, field.name) for field in fields(limits)}


def _weights() -> dict[str, float]:
    from dgno.weights.store import embedded_names, find_weights

    return {name: round(find_weights(name).stat().st_size / 1e6, 2) for name in embedded_names()}
