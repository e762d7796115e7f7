"""Restore an image: plane by plane, tile by tile, by any restorer.

A restorer is a callable from (b, c, h, w) to the same shape, values around [0, 1]. How it may be tiled is read from
five optional attributes: `multiple` (px; origins of tiles, default 1), `halo` (px of context that a kept part needs,
0), `is_local` (tiles agree with the whole image, True), `is_whole` (it is never tiled, False) and `channels` (that it
takes, any).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from dgno.arrays import (
    Affine,
    Image,
    Opacity,
    Plane,
    identity_affine,
    percentile_affine,
    range_affine,
    restored_plane,
    to_tensor,
)
from dgno.errors import ChannelMismatch, OutOfMemory
from dgno.restorable import check_finite, check_float32
from dgno.restoration import TILE_SIZE
from dgno.restoration.tiling import Tile, plan_tiles

Batch = Float[Tensor, "b c h w"]
Restorer = Callable[[Batch], Batch]
Normalizer = Callable[[Image, int], Affine]  # image, channel -> the map to [0, 1]
Progress = Callable[[float], None]  # the share that is done


def by_range(image: Image, channel: int) -> Affine:
    """Black and white of the image go to 0 and 1: for bright field, where white is the empty slide."""
    return range_affine(image)


def by_percentiles(image: Image, channel: int) -> Affine:
    """The 0.1 and 99.9 percentiles of the channel go to 0 and 1: for fluorescence, whose scale is arbitrary."""
    return percentile_affine(image, channel=channel)


def by_extremes(image: Image, channel: int) -> Affine:
    """The smallest and the largest value of the channel go to 0 and 1: how the published weights were trained."""
    return percentile_affine(image, channel=channel, low=0.0, high=100.0)


def as_is(image: Image, channel: int) -> Affine:
    """The restorer gets the values themselves."""
    return identity_affine(image)


def restore_image(
    image: Image,
    restorer: Restorer,
    *,
    tile_size: int = TILE_SIZE,
    overlap: int | None = None,
    normalize: Normalizer = by_range,
    planes: Collection[int] | None = None,
    replicate: bool = False,
    progress: Progress = lambda share: None,
) -> Image:
    """The restored image: same shape, dtype and facts, with notes on what was done.

    tile_size : side of the tiles in px, context included; 0 takes whole planes at once
    overlap : context on each side of a tile's kept part, px; the restorer's halo if not given
    normalize : the map of pixel values to [0, 1], from statistics of the whole image, never of a tile
    planes : numbers of those to restore, in the order of `Image.planes`; the others stay as they are. None restores all
    replicate : give a gray image to a colour restorer as three equal channels

    A plane of one value has nothing to restore and stays as it is, and so does a colour where each is restored on its
    own. Raises NonFiniteInput, InputOutOfRange,
    ChannelMismatch, ConfigError (tiles), OutOfMemory.
    """
    check_finite(image, planes)
    check_float32(image)
    adapted, note = fit_channels(restorer, image, replicate=replicate)
    height, width = image.shape_without_samples[-2:]
    tiles = plan_tiles((height, width), **tiling_of(restorer, tile_size, overlap))
    wanted = range(image.plane_count) if planes is None else planes
    steps, count = itertools.count(1), len(tiles) * len(wanted)

    def restored(i: int, plane: Plane, opacity: Opacity | None) -> tuple[Plane, int]:
        affine = normalize(image, image.channel_of(i))
        given = to_tensor(plane, affine, opacity=opacity)
        answer = restore_plane(
            given, leaving(adapted, flat_samples(plane)), tiles, on_tile=lambda: progress(next(steps) / count)
        )
        return restored_plane(plane, given, answer, affine=affine, ends=image.ends, opacity=opacity)

    results = [
        restored(i, plane, opacity) if i in wanted and not is_constant(plane) else (plane, 0)
        for i, (plane, opacity) in enumerate(zip(image.planes(), image.opacities(), strict=True))
    ]
    progress(1.0)
    size = image.pixels.size // max(image.plane_count, 1) * len(wanted)
    cut = cut_in_words(sum(number for _, number in results), size, image.ends)
    notes = [text for text in (note, cut) if text]
    return replace(image.with_planes(plane for plane, _ in results), notes=(*image.notes, *notes))


def cut_in_words(count: int, size: int, ends: Sequence[float]) -> str:
    """What is said of `count` values among `size` that were newly cut at these ends; nothing of none."""
    if not count:
        return ""
    percent = 100 * count / size
    share = f"{percent:.2g} %" if percent >= 0.01 else "less than 0.01 %"
    return f"{count:,} {'value' if count == 1 else 'values'} newly cut at {ends[0]:g} or {ends[1]:g}, {share}"


def restore_plane(
    plane: Batch, restorer: Restorer, tiles: list[Tile], *, on_tile: Callable[[], None] = lambda: None
) -> Batch:
    """The restored plane, tile by tile. What is added up is the change, so a restorer that changes nothing is exact."""
    change = torch.zeros_like(plane)
    for tile in tiles:
        given = tile.read(plane)
        tile.add_to(change, tile.keep(answer_of(restorer, given) - given))
        on_tile()
    return plane + change


def is_constant(plane: Plane) -> bool:
    """Has the plane one value only, or none?"""
    return plane.size == 0 or bool((plane == plane.flat[0]).all())


def flat_samples(plane: Plane) -> dict[int, float]:
    """The samples that have one value in all of the plane, with it: colours without any signal."""
    colours = {i: plane[..., i : i + 1] for i in range(plane.shape[2])}
    return {i: float(colour.flat[0]) for i, colour in colours.items() if colour.size and is_constant(colour)}


@dataclass(frozen=True, eq=False)
class EachColour:
    """A restorer of gray images that is given one sample after the other.

    left : samples that stay as they are
    """

    restorer: Restorer
    left: frozenset[int] = frozenset()

    def __call__(self, x: Batch) -> Batch:
        colours = (x[:, i : i + 1] for i in range(x.shape[1]))
        return torch.cat([one if i in self.left else self.restorer(one) for i, one in enumerate(colours)], 1)


def leaving(restorer: Restorer, samples: Iterable[int]) -> Restorer:
    """The restorer as it is to be where these samples have one value in all of a plane: such colours have nothing to
    restore, but restorers of several samples see them together with the others."""
    return replace(restorer, left=frozenset(samples)) if isinstance(restorer, EachColour) else restorer


def tiling_of(restorer: Restorer, tile_size: int, overlap: int | None) -> dict[str, int]:
    """How a restorer wants to be tiled: the arguments of `plan_tiles`. Local restorers need no fading."""
    multiple = int(getattr(restorer, "multiple", 1))
    context = int(getattr(restorer, "halo", 0)) if overlap is None else overlap
    blend = 0 if getattr(restorer, "is_local", True) else context // 2
    tile_size = 0 if getattr(restorer, "is_whole", False) else tile_size
    return {"tile_size": tile_size, "overlap": context, "blend": blend, "multiple": multiple}


def fit_channels(restorer: Restorer, image: Image, *, replicate: bool = False) -> tuple[Restorer, str]:
    """The restorer as it can be given the image's planes, and a note where that is not as they are."""
    wanted, samples = getattr(restorer, "channels", None), image.samples
    if wanted is None or wanted == samples:
        return restorer, ""
    if wanted == 1:
        return EachColour(restorer), "each colour was restored on its own: the weights are for gray images"
    if samples == 1 and replicate:
        return (lambda x: restorer(x.expand(-1, wanted, -1, -1)).mean(1, keepdim=True)), (
            f"the gray image was given to the weights as {wanted} equal channels"
        )
    came = "a gray image" if samples == 1 else f"an image of {samples} samples"
    hint = "choose weights for gray images, or say --channels replicate" if samples == 1 else "choose other weights"
    raise ChannelMismatch(f"{came} with weights for {wanted} channels", hint=hint)


@contextlib.contextmanager
def enough_memory(shape: Sequence[int]) -> Iterator[None]:
    """Running out of memory on a tile of this height and width becomes one clear error."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
            side = f"{shape[0]} x {shape[1]} px"
            raise OutOfMemory(
                f"no memory for a tile of {side}", hint="give a smaller --tile, or free memory"
            ) from error
        raise


def answer_of(restorer: Restorer, tile: Batch) -> Batch:
    """The restorer's answer to one tile."""
    with enough_memory(tile.shape[-2:]), torch.no_grad():
        answer = restorer(tile)
    if answer.shape != tile.shape:
        raise ValueError(f"the restorer made {tuple(answer.shape)} of {tuple(tile.shape)}; wanted the same shape")
    return answer.to("cpu", torch.float32)
