"""The picture of an assessment: the image, the type of blur as colour and its strength as opacity."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke

from dgno.arrays import Affine, Image, Plane
from dgno.evaluation.assessing.geojson import COLOURS, Colour
from dgno.evaluation.assessing.scenes import Scene
from dgno.optics.blur_types import BLUR_TYPES, CELL
from dgno.restoration.assessment import Assessment, Numbers
from dgno.restoration.image import by_percentiles, by_range
from dgno.restoration.tissue import is_bright_field

LARGEST = 1600  # px; larger images are shown in steps
STRONG = 5.0  # px of blur that are drawn most opaque
OPACITY = 0.2, 0.7  # of no and of strong blur
DARK_GAMMA = 0.6  # lifts dim nuclei
DPI = 120
LEGEND = 0.55  # inches below the picture
WIDE = 8  # inches that hold the legend in one line


def draw_overlay(scene: Scene, facts: Mapping[str, str]) -> bytes:
    """A PNG of the planes of a scene with what was found. `facts` go into its text."""
    image, assessment = scene.image, scene.assessment
    picture = _picture(image, scene.planes)
    height, width = assessment.shape
    across = min(LARGEST, max(width, 640)) / DPI
    tall = min(max(across * height / width, 1.0), 4 * across)
    figure = Figure(figsize=(across, tall + LEGEND), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, LEGEND / (tall + LEGEND), 1, tall / (tall + LEGEND)))
    extent = (0, width, height, 0)
    axes.imshow(picture, extent=extent, interpolation="nearest", cmap="gray", vmin=0, vmax=1)
    down, along = assessment.types.shape
    squares = (0, along * CELL, down * CELL, 0)
    axes.imshow(_colours(assessment), extent=squares, interpolation="nearest")
    border = "black" if is_bright_field(image) else "white"
    axes.add_collection(_outline(assessment.tissue, border))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    if image.pixel_size is not None:
        _draw_scale(axes, image.pixel_size[1], width)
    columns = 6 if across > WIDE else 3
    figure.legend(
        handles=_legend(scene.shares), loc="lower center", ncols=columns, frameon=False, fontsize=7, handlelength=1.2
    )
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None, **facts})
    return png.getvalue()


def _picture(image: Image, planes: Sequence[int]) -> Float[np.ndarray, "h w *c"]:
    """The planes in [0, 1], at most LARGEST px wide and high: colours as they are, channels as their maximum."""
    step = max(1, -(-max(image.shape_without_samples[-2:]) // LARGEST))
    is_bright, chosen = is_bright_field(image), set(planes)
    normalize = by_range if is_bright else by_percentiles
    shown = [
        _unit(plane[::step, ::step], normalize(image, image.channel_of(i)))
        for i, plane in enumerate(image.planes())
        if i in chosen
    ]
    picture: np.ndarray = np.max(shown, axis=0)
    picture = picture[..., :3] if image.is_colour else picture.mean(-1)
    return picture if is_bright else picture**DARK_GAMMA


def _unit(plane: Plane, affine: Affine) -> Float[np.ndarray, "h w c"]:
    values = np.nan_to_num(plane.astype(np.float64), posinf=0.0, neginf=0.0)
    return ((values - affine.offset) / affine.scale).clip(0, 1)


def _colours(assessment: Assessment) -> Float[np.ndarray, "rows columns 4"]:
    """Red, green, blue and opacity of every square; nothing in focus and on the background."""
    colours = np.zeros((*assessment.types.shape, 4))
    for name, colour in COLOURS.items():
        colours[assessment.types == BLUR_TYPES.index(name), :3] = np.array(colour) / 255
    colours[..., 3] = np.where(assessment.blurred, _opacity(assessment.strength), 0.0)
    return colours


def _opacity(strength: Numbers) -> Numbers:
    return OPACITY[0] + (OPACITY[1] - OPACITY[0]) * (strength / STRONG).clip(0, 1)


def _outline(tissue: Bool[np.ndarray, "rows columns"], colour: str) -> LineCollection:
    """The lines between tissue and background."""
    lines = []
    for axis in (0, 1):
        for row, column in np.argwhere(np.diff(tissue, axis=axis)):
            y, x = (row + 1, column) if axis == 0 else (row, column + 1)
            end = (x + 1, y) if axis == 0 else (x, y + 1)
            lines.append([(x * CELL, y * CELL), (end[0] * CELL, end[1] * CELL)])
    return LineCollection(lines, colors=colour, linewidths=0.8)


def _draw_scale(axes: Axes, um: float, width: int) -> None:
    """A bar of 1, 2 or 5 times a power of ten, about a sixth of the picture long, at the lower left.

    um : of one px of the assessment, of which the picture is `width` wide
    """
    aim = um * width / 6
    power = 10 ** math.floor(math.log10(aim))
    length = max(step * power for step in (1, 2, 5) if step * power <= aim)
    left, y = 0.03, 0.04
    right = left + length / um / width
    halo = [Stroke(linewidth=6, foreground="white"), Normal()]
    axes.plot([left, right], [y, y], color="black", linewidth=3, transform=axes.transAxes, path_effects=halo)
    words = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    halo = [Stroke(linewidth=2.5, foreground="white"), Normal()]
    axes.text(
        (left + right) / 2, y + 0.012, words, transform=axes.transAxes, ha="center", fontsize=8, path_effects=halo
    )


def _legend(shares: Mapping[str, float]) -> list[Patch | Line2D]:
    handles: list[Patch | Line2D] = [
        Patch(color=_hex(colour), alpha=OPACITY[1], label=f"{name}, {100 * shares[name]:.3g} % of tissue")
        for name, colour in COLOURS.items()
    ]
    for strength in (1.0, STRONG):
        opacity = float(_opacity(np.array([[strength]]))[0, 0])
        handles.append(Patch(color="black", alpha=opacity, label=f"{strength:g} px{' or more' * (strength == STRONG)}"))
    return [*handles, Line2D([], [], color="black", linewidth=0.8, label="border of the tissue")]


def _hex(colour: Colour) -> str:
    return "#" + bytes(colour).hex()
