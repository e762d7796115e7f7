"""A restorer on a device, in a precision."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.errors import ConfigError, DeviceUnavailable
from dgno.kernels.products import FLOATS, PAIRS, multiplied_as
from dgno.networks.blur_reader import BlurReader
from dgno.optics.blur_types import BlurReading
from dgno.restoration.image import Restorer
from dgno.restoration.replay import replayed


class Precision(NamedTuple):
    """What a network computes in.

    dtype : of mixed precision; float32: of all
    products : what those of float32 multiply, see `dgno.kernels.products`; on a GPU pairs are TF32
    """

    dtype: torch.dtype
    products: str = FLOATS


PRECISIONS = {
    "fp32": Precision(torch.float32),
    "high": Precision(torch.float32, products=PAIRS),
    "bf16": Precision(torch.bfloat16),
}


class Placed:
    """Runs a restorer's tensors on `device`, in `precision`; tiles as the restorer does.

    replayed : the calls; on a CUDA device, those of a network by CUDA graphs
    """

    def __init__(self, restorer: Restorer, device: torch.device, precision: str = "fp32") -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"precision {precision!r}", hint=f"known: {', '.join(PRECISIONS)}")
        self.restorer, self.device, self.precision = restorer, device, precision
        self.replayed = replayed(self.answer, device, is_network=isinstance(restorer, torch.nn.Module))
        self.multiple = getattr(restorer, "multiple", 1)
        self.halo = getattr(restorer, "halo", 0)
        self.is_local = getattr(restorer, "is_local", True)
        self.is_whole = getattr(restorer, "is_whole", False)
        self.channels = getattr(restorer, "channels", None)
        self.bytes_per_pixel = getattr(restorer, "bytes_per_pixel", 64)

    def __call__(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.replayed(x.to(self.device)).cpu()

    def answer(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The restorer's answer, on the device, in float32."""
        dtype, products = PRECISIONS[self.precision]
        with (
            torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32),
            _multiplied_as(products, self.device),
        ):
            return self.restorer(x).float()


@contextlib.contextmanager
def _multiplied_as(products: str, device: torch.device) -> Iterator[None]:
    """Whatever the process has set: fp32 means fp32. What it has set, of GPUs for all threads, is set again after."""
    is_short = products == PAIRS
    with multiplied_as(products), torch.backends.cudnn.flags(enabled=True, allow_tf32=is_short):
        if device.type != "cuda":
            yield
            return
        matmul = torch.backends.cuda.matmul
        before, matmul.fp32_precision = matmul.fp32_precision, "tf32" if is_short else "ieee"
        try:
            yield
        finally:
            matmul.fp32_precision = before


class PlacedReader:
    """Runs a reader of blur on `device`; see `dgno.restoration.blur_maps`."""

    def __init__(self, reader: BlurReader, device: torch.device) -> None:
        self.reader, self.device = reader, device
        self.multiple, self.halo, self.channels = reader.multiple, reader.halo, reader.channels
        self.bytes_per_pixel = reader.bytes_per_pixel

    @torch.no_grad()
    def __call__(self, x: Float[Tensor, "b c h w"]) -> BlurReading:
        with _multiplied_as(FLOATS, self.device):
            reading = self.reader(x.to(self.device))
        return BlurReading(*(part.cpu() for part in (reading.types, reading.sigma, reading.length, reading.angle)))


def choose_device(device: str | torch.device) -> torch.device:
    """The device called "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:1"; or torch's own."""
    name = str(device)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ConfigError(f"device {name!r}", hint="known: auto, cpu, cuda, cuda:1 and so on")
    found = torch.device(name)
    if found.type == "cuda" and (found.index or 0) >= (count := torch.cuda.device_count()):
        why = f"torch finds {count} CUDA devices" if torch.version.cuda else "this torch is built for the CPU"
        raise DeviceUnavailable(f"no device {name!r}", why=why, hint="say --device cpu, or auto")
    return found
