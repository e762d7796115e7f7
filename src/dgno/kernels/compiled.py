"""Find and load the libraries that were compiled when dgno was installed."""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dgno.kernels.sources import fingerprint

FOLDER = Path(__file__).parent  # of the libraries and, where they are installed as well, of their sources
AT_INFERENCE = (
    "attentive_scan",
    "convolution",
    "depthwise",
    "dg_operator",
    "feed_forward",
    "pointwise",
    "selective_scan",
)
LIBRARIES = (*AT_INFERENCE, "attentive_lift_gradient", "uniform")  # the extensions of setup.py


@functools.cache
def load_library(name: str) -> ctypes.CDLL:
    """Load a compiled kernel by name; an OSError says why that cannot be done."""
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = FOLDER / f"_{name}{suffix}"
        if path.exists():
            library = ctypes.CDLL(str(path))
            if (sources := fingerprint(FOLDER)) and _fingerprint_of(library) != sources:
                raise OSError("compiled from other sources: run `pip install -e .` again")
            return library
    raise OSError("not compiled: no C compiler was found when dgno was installed")


def _fingerprint_of(library: ctypes.CDLL) -> str:
    """The hash of the sources that a library was compiled from; empty if it is of a time when none was told."""
    try:
        tell = library.dgno_sources
    except AttributeError:
        return ""
    tell.restype = ctypes.c_char_p
    return str(tell().decode())


def why_missing(libraries: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Which of the libraries cannot be loaded, and why: each is optional on its own. Empty if all can."""
    missing = {}
    for name in libraries:
        try:
            load_library(name)
        except OSError as error:
            missing[name] = str(error)
    return missing


class CompiledKernel:
    """A loaded library, and the version in it that suits this processor.

    name : of the library
    purpose : what its functions compute, for messages
    """

    def __init__(self, name: str, purpose: str) -> None:
        self.library, self.purpose = load_library(name), purpose
        self.library.dgno_version_name.restype = ctypes.c_char_p
        self.library.dgno_version_lanes.restype = ctypes.c_long
        self.version = int(self.library.dgno_best_version())

    def version_name(self) -> str:
        """The instruction set in use: plain, avx2 or avx512."""
        return str(self.library.dgno_version_name(self.version).decode())

    def lanes(self) -> int:
        """Channels in a vector: matrices are packed by it, and most kernels need as many channels at least."""
        return int(self.library.dgno_version_lanes(self.version))

    def has_half(self) -> bool:
        """Can this version multiply bfloat16 on this processor?"""
        return bool(self.library.dgno_version_has_half(self.version))

    def has_tiles(self) -> bool:
        """Does it do so in tiles (AMX), which is several times as fast?"""
        return bool(self.library.dgno_version_has_tiles(self.version))

    def run(self, step: str, arguments: Arguments) -> None:
        """Call `dgno_<step>` of the library, with as many threads as torch has."""
        function = getattr(self.library, f"dgno_{step}")
        if function(ctypes.byref(arguments), self.version, torch.get_num_threads()):
            raise MemoryError(f"no memory for the workspace of {self.purpose}")


def allow_tiles(allowed: bool) -> None:
    """Whether products of bfloat16 may be computed in tiles: all libraries, for tests and benchmarks."""
    for name in LIBRARIES:
        load_library(name).dgno_allow_tiles(int(allowed))


class Arguments(ctypes.Structure):
    """Base of the structures that mirror those of the C sources: lengths first, then pointers to float32 tensors."""

    def point(self, **tensors: Tensor | None) -> None:
        """Let the named fields point to the tensors' memory; the caller keeps the tensors alive and contiguous."""
        for name, tensor in tensors.items():
            if tensor is not None and not tensor.is_cpu:
                raise ValueError(f"{name} is on {tensor.device.type}, wanted on the CPU: C reads the machine's memory")
            setattr(self, name, None if tensor is None else tensor.data_ptr())


def fields(lengths: tuple[str, ...], pointers: tuple[str, ...]) -> list[tuple[str, type]]:
    """The `_fields_` of a structure of C longs and pointers."""
    return [(name, ctypes.c_long) for name in lengths] + [(name, ctypes.c_void_p) for name in pointers]


def check_plain(**tensors: Tensor) -> None:
    """Refuse tensors that the C code would misread: it takes float32 in the machine's memory."""
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise ValueError(f"{name} is {tensor.dtype} on {tensor.device.type}, wanted float32 on the CPU")


def check_shapes(tensors: Mapping[str, Tensor], wanted: Sequence[tuple[int, ...]], fitting: str) -> None:
    """Refuse tensors of other shapes than those wanted, in the same order; `fitting` says what these would fit."""
    for (name, tensor), shape in zip(tensors.items(), wanted, strict=True):
        if tensor.shape != shape:
            raise ValueError(f"{name} is {tuple(tensor.shape)}, wanted {shape} for {fitting}")


def check_no_gradient(*tensors: Tensor) -> None:
    """Refuse tensors whose gradient is wanted, where there would be none."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        raise RuntimeError("this kernel has no gradient: call it under torch.no_grad(), or use its layers")


def channels_last(x: Tensor) -> Tensor:
    """The map without its history, the channels of a pixel side by side in memory."""
    return x.detach().contiguous(memory_format=torch.channels_last)
