"""`dgno doctor`: what this machine has, and what dgno makes of it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import fields

from dgno import __version__
from dgno.cli.console import print_json, print_table
from dgno.cli.options import Debug, Json, Quiet

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


def doctor(json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """Show what this machine has: libraries, devices, kernels in use and why, codecs, limits.

    Example: dgno doctor --json
    """
    facts = {
        "dgno": {"version": __version__, "python": platform.python_version(), "system": platform.platform()},
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "machine": _machine(),
        "kernels": _kernels(),
        "optional packages": {
            name: "installed" if importlib.util.find_spec(name) else f"not installed: pip install 'dgno[{extra}]'"
            for name, extra in OPTIONAL.items()
        },
        "limits": _limits(),
        "weights": _weights(),
    }
    if json:
        print_json(facts)
        return
    for title, table in facts.items():
        print_table(("", ""), list(table.items()), title=title)
        print()


def _machine() -> dict[str, str]:
    import torch

    devices = ["cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))]
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "threads of torch": str(torch.get_num_threads()),
        "vector instructions of torch": torch.backends.cpu.get_cpu_capability(),
        "oneDNN": "yes" if torch.backends.mkldnn.is_available() else "no",
        "devices": ", ".join(devices),
        "default device": "cuda" if torch.cuda.is_available() else "cpu",
    }


def _kernels() -> dict[str, str]:
    """The version that runs on this machine's default device, for a nano network's shapes, and why."""
    import torch

    from dgno.kernels import backends

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    choices = {
        "selective scan": backends.choose_scan(device, torch.float32, states=8),
        "DG operator": backends.choose_operator(device, torch.float32, d=4, tokens=64),
        "gated convolution": backends.choose_gate(device, torch.float32, channels=32),
    }
    return {name: f"{choice.name} ({choice.reason})" for name, choice in choices.items()}


def _limits() -> dict[str, str]:
    from dgno.io.limits import Limits

    limits = Limits()
    return {field.name.replace("_", " "): f"{getattr(limits, field.name):,}" for field in fields(limits)}


def _weights() -> dict[str, str]:
    from dgno.weights.store import embedded_names, find_weights

    return {name: f"{find_weights(name).stat().st_size / 1e6:.1f} MB" for name in embedded_names()}
