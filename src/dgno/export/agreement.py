"""Does an exported network compute what PyTorch computes, and how long does it take?"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dgno.errors import NotExportable
from dgno.export.model import INPUT, Form
from dgno.kernels import backends

TOLERANCE = 1e-4  # of values in [0, 1]
MEAN, SHARE, LIMIT = 1e-5, 0.999, 1e-3  # mean of all pixels, and limit on this share of them, where classes differ
IMAGES = 3  # of every size
SHAPES = ((1, 64, 64), (1, 96, 160), (2, 65, 97))  # images, height and width in px
TIMED = (256, 256)
Session = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c h w"]]


@dataclass(frozen=True)
class Agreement:
    """|onnxruntime - PyTorch|, over the channels of a pixel the largest.

    Where two classes of the routing are almost equally likely, rounding may choose the other; then the pixels around
    differ by more. With the weights of the package that was so in 1 of 72 images of 96x160 px, and in all others all
    pixels were within 2e-7. So at every size the middle one of IMAGES images has to agree to TOLERANCE, and all of them
    as networks of other implementations have to: within MEAN, and within LIMIT on SHARE of the pixels.

    shapes : images at once, height and width in px
    middle : the largest of all pixels of the middle images
    most : the largest on SHARE of the pixels of every image
    largest : of all
    """

    shapes: tuple[tuple[int, int, int], ...]
    middle: float
    most: float
    largest: float


def open_session(path: Path, threads: int = 1) -> Session:
    """A function that runs the model of a file on the CPU. Raises NotExportable where onnxruntime refuses it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    with _naming("onnxruntime cannot load the exported network"):
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        with _naming("onnxruntime cannot run the exported network"):
            return torch.from_numpy(session.run(None, {INPUT: np.ascontiguousarray(x.numpy())})[0])

    return run


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # onnxruntime's own have no base of theirs
        hint = "try another --opset; `dgno doctor` tells the versions"
        raise NotExportable(what, why=str(error), hint=hint) from error


def compared(session: Session, network: nn.Module, form: Form, channels: int) -> Agreement:
    """Both on drawn images, of three sizes if the network takes any. Raises NotExportable if they do not agree."""
    shapes = SHAPES if form.size is None else ((1, *form.size),)
    middle, mean, most, largest = [], [], [], []
    for shape in shapes:
        found = [_difference(session, network, drawn_image(shape, channels, seed)) for seed in range(IMAGES)]
        middle.append(sorted(d.max().item() for d in found)[IMAGES // 2])
        mean += [d.mean().item() for d in found]
        most += [d.sort().values[int(SHARE * (len(d) - 1))].item() for d in found]
        largest += [d.max().item() for d in found]
    agreement = Agreement(shapes, max(middle), max(most), max(largest))
    if not (agreement.middle <= TOLERANCE and max(mean) <= MEAN and agreement.most <= LIMIT):  # nor are NaN
        why = f"they differ by {agreement.middle:.2g} on a middle image, wanted {TOLERANCE:g}; by at most "
        why += f"{max(mean):.2g} in the mean, wanted {MEAN:g}; by {agreement.most:.2g} on 99.9 %, wanted {LIMIT:g}"
        raise NotExportable("the exported network computes something else than PyTorch", why=why, hint="report it")
    return agreement


def _difference(session: Session, network: nn.Module, x: Float[Tensor, "b c h w"]) -> Float[Tensor, " pixels"]:
    """Of every pixel, that of the channel that differs most."""
    with torch.no_grad():
        wanted = network(x)
    got = session(x)
    if got.shape != wanted.shape:
        why = f"onnxruntime gives {tuple(got.shape)}, PyTorch {tuple(wanted.shape)}"
        raise NotExportable("the exported network gives images of another size", why=why, hint="report it")
    return (got - wanted).abs().amax(1).flatten().nan_to_num(nan=torch.inf)


def drawn_image(shape: tuple[int, int, int], channels: int, seed: int) -> Float[Tensor, "b c h w"]:
    """Soft spots of several sizes with some noise, in [0, 1]; `shape` is images, height and width."""
    generator, (b, h, w) = torch.Generator().manual_seed(seed), shape
    image = torch.zeros(b, channels, h, w)
    for scale in (4, 16, 64):
        coarse = torch.rand(b, channels, h // scale + 2, w // scale + 2, generator=generator)
        image += F.interpolate(coarse, (h, w), mode="bilinear", align_corners=False) / 3
    return (image + 0.01 * torch.randn(image.shape, generator=generator)).clamp(0, 1)


def timed(session: Session, network: nn.Module, form: Form, channels: int, rounds: int = 3) -> dict[str, float]:
    """Median seconds for one image on one thread, by turns: onnxruntime, PyTorch, and PyTorch with the references."""
    x = drawn_image((1, *(form.size or TIMED)), channels, seed=0)

    def by_torch() -> Tensor:
        with torch.no_grad():
            return network(x)

    def by_references() -> Tensor:
        with backends.without_compiled():
            return by_torch()

    ways: Mapping[str, Callable[[], Tensor]] = {
        "onnxruntime": lambda: session(x),
        "pytorch": by_torch,
        "pytorch references": by_references,
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {name: [] for name in ways}
    try:
        for _ in range(rounds + 1):
            for name, run in ways.items():
                times[name].append(_seconds(run))
    finally:
        torch.set_num_threads(threads)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}  # the first was to warm up


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
