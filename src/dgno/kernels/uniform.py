"""Uniform random numbers of a batch, every image by a generator of its own: the reference, and its twin in C.

The twin draws the same numbers, bit for bit, and leaves the generators where torch would: it reads and writes their
state as torch lays it out. Whether torch still does is tried once; otherwise, and without a compiler, torch draws.

Threads may draw from one generator by the twin: one after the other reads, draws and writes. That does not guard
against torch's own draws meanwhile: torch locks a generator while it draws, and nobody else can hold that lock.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.kernels.compiled import Arguments, CompiledKernel, fields

_DRAWING = threading.Lock()  # from where a state is read until it is written


class _Uniform(Arguments):
    """`struct uniform` of uniform.c, field by field."""

    _fields_ = fields(("batch", "count", "size"), ("states", "out"))


@functools.cache
def load() -> CompiledKernel:
    """The compiled generator; an OSError says why there is none."""
    return CompiledKernel("uniform", "random numbers")


def draw_uniform(
    shape: tuple[int, int, int], generators: Sequence[torch.Generator] | None
) -> Float[Tensor, "b l classes"]:
    """Numbers in [0, 1), float32 on the CPU; see `fill_uniform`."""
    return fill_uniform(torch.empty(shape, dtype=torch.float32, device="cpu"), generators)


def fill_uniform(
    out: Float[Tensor, "b l classes"], generators: Sequence[torch.Generator] | None
) -> Float[Tensor, "b l classes"]:
    """Numbers in [0, 1) over all of `out`; image after image from the global generator where there are no others."""
    for i, image in enumerate(out):
        image.uniform_(generator=generators[i] if generators else None)
    return out


def draw_uniform_c(
    shape: tuple[int, int, int], generators: Sequence[torch.Generator] | None
) -> Float[Tensor, "b l classes"]:
    """`draw_uniform`, compiled where the library can read torch's generators and each is one image's."""
    is_shared = generators is not None and len(set(generators[: shape[0]])) < shape[0]
    is_plain = is_shared or 0 in shape or not reads_generators()
    return draw_uniform(shape, generators) if is_plain else _draw(shape, generators)


@functools.cache
def reads_generators() -> bool:
    """Does the compiled generator draw what torch draws, and leave what torch leaves?"""
    try:
        load()
    except OSError:
        return False
    ours, torchs = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    shape = (1, 9, 64)
    if ours.get_state().numel() < 5016:  # bytes of `struct generator`
        return False
    same = all(torch.equal(_draw(shape, [ours]), draw_uniform(shape, [torchs])) for _ in range(3))
    return same and torch.equal(ours.get_state(), torchs.get_state())


def _draw(shape: tuple[int, int, int], generators: Sequence[torch.Generator] | None) -> Tensor:
    if generators is None:  # one after the other from the global one: as a single image
        generators, shape_drawn = [torch.default_generator], (1, shape[0] * shape[1], shape[2])
    else:
        shape_drawn = shape
    out = torch.empty(shape, dtype=torch.float32, device="cpu")
    with _DRAWING:
        states = torch.stack([generator.get_state() for generator in generators[: shape_drawn[0]]])
        arguments = _Uniform(batch=shape_drawn[0], count=shape_drawn[1] * shape_drawn[2], size=states.shape[1])
        arguments.point(states=states, out=out)
        load().run("uniform", arguments)
        for generator, state in zip(generators, states, strict=False):
            generator.set_state(state.clone())  # torch misreads a state that does not begin its storage
    return out
