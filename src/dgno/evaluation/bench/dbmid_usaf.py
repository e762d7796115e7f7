"""Fig. 3e of DBMID: what is resolved of a USAF-1951 target against the distance from focus.

The target is rendered and blurred by the objective's diffraction. That is the same on both sides of focus, so only one
side is shown. The published images of a target are not read: where its elements lie in them is said nowhere.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dgno.arrays import Image
from dgno.classical.blind import blind_richardson_lucy
from dgno.classical.blind_sigma import blind_disk
from dgno.data.layouts.dbmid import PIXEL_SIZE, STEP
from dgno.evaluation.bench.dbmid_plots import Panel, draw_curves, draw_pictures
from dgno.evaluation.bench.dbmid_restorers import DGNO_DEFOCUS, DL_DEFOCUS, Restore, find_restorers, unchanged
from dgno.evaluation.bench.dbmid_views import View, seed_of
from dgno.evaluation.bench.run import Bench, Progress, Remark, part_of
from dgno.evaluation.bench.table import NO_NUMBER, Table
from dgno.evaluation.downstream.resolution import Resolution, read_resolution
from dgno.evaluation.downstream.usaf import Target, render_usaf
from dgno.evaluation.saving import save_csv

TITLE = "DBMID Fig. 3e: resolution of a USAF-1951 target against the focal offset"
GROUPS = {True: (6, 7, 8, 9), False: (4, 5, 6, 7, 8, 9)}  # by whether the profile is tiny; 9.6 is at Nyquist
PLANES = {True: (0, 1, 2, 3, 4, 6, 8, 10), False: tuple(range(11))}  # numbers, STEP um apart
SHOWN, PICTURED = 4, (2, 4)  # planes of the curves of contrast, and of the pictures
CONTRAST = 0.9  # dark bars on a bright ground, as chrome on glass
WHOLE = 1920**2  # px of DBMID's images
SECONDS = {"blind, Fish et al.": 13.5, DL_DEFOCUS.title: 1.5}  # as published, for such an image, on one P40

Gray = Float[np.ndarray, "h w"]
Part = Float[np.ndarray, "rows columns"]


def run_usaf(bench: Bench, folder: Path, progress: Progress, remark: Remark) -> tuple[list[Table], list[str]]:
    """The finest resolved element by plane and method; all contrasts as CSV; curves and pictures."""
    tiny = bench.profile.generated
    found = find_restorers(bench, (DL_DEFOCUS, DGNO_DEFOCUS), functools.partial(part_of, progress, 0, 2))
    methods: dict[str, Restore] = {
        "blurred": unchanged,
        "blind, Fish et al.": _by_luminance(lambda x: blind_richardson_lucy(x)[0]),
        "blind, disk": _by_luminance(blind_disk),
        DL_DEFOCUS.title: found[DL_DEFOCUS],
        DGNO_DEFOCUS.title: found[DGNO_DEFOCUS],
    }
    target = render_usaf(GROUPS[tiny], pixel_size=PIXEL_SIZE, clear_on_dark=False, contrast=CONTRAST)
    view = View("usaf", torch.from_numpy(target.pixels).float().expand(3, -1, -1))
    read = dict[tuple[int, str], Resolution]()
    seconds = {name: 0.0 for name in methods}
    pictures: dict[str, dict[str, Part]] = {name: {} for name in methods}
    for i, plane in enumerate(PLANES[tiny]):
        image = view.blurred(seed_of(plane), z=plane * STEP)
        for name, restore in methods.items():
            started = time.perf_counter()
            light = restore(image).pixels.mean(-1).astype(np.float64)
            seconds[name] += (time.perf_counter() - started) / len(PLANES[tiny])
            read[plane, name] = read_resolution(light, target, whole=CONTRAST)
            if plane in PICTURED:
                pictures[name][f"{plane * STEP:.2f} um"] = _fine_part(light, target)
        remark(f"{plane * STEP:g} um: {', '.join(f'{name} {_finest(read[plane, name])}' for name in methods)}")
        part_of(progress, 1, 2, (i + 1) / len(PLANES[tiny]))
    title = f"{TITLE}; profile {bench.profile.name}"
    _write_contrasts(folder / "contrast.csv", read)
    _draw(folder / "resolution.png", read, list(methods), title=title)
    draw_pictures(folder / "targets.png", pictures, title="The finer groups")
    per_image = {name: value * WHOLE / target.pixels.size for name, value in seconds.items()}
    tables = [_table(title, read, list(methods), found.notes), _speed(per_image, bench)]
    return tables, ["contrast.csv", "resolution.png", "targets.png"]


def _by_luminance(restore: Callable[[Tensor], Tensor]) -> Restore:
    """A method that sees the mean of the colours, which is all that is read."""

    def restored(image: Image) -> Image:
        gray = torch.from_numpy(image.pixels.mean(-1))[None, None]
        return Image(restore(gray)[0].permute(1, 2, 0).float().numpy(), "YXS")

    return restored


def _finest(found: Resolution) -> str:
    return (
        NO_NUMBER
        if found.line_pairs is None or found.bar_width is None
        else (f"{found.line_pairs:.0f} ({found.bar_width:.2f})")
    )


def _table(title: str, read: Mapping[tuple[int, str], Resolution], names: Sequence[str], used: Sequence[str]) -> Table:
    planes = list(dict.fromkeys(plane for plane, _ in read))
    lines = [(f"{plane * STEP:.2f}", *(_finest(read[plane, name]) for name in names)) for plane in planes]
    coarsest = min(one.element for one in next(iter(read.values())).curve)
    return Table(
        title,
        ("um from focus", *names),
        tuple(lines),
        (
            "Line pairs per mm of the finest resolved element, in brackets the width of its bars in um; a dash: not "
            f"even {coarsest.resolution:.0f} line pairs. Resolved: a fifth of the contrast in focus, with its sign, in "
            "both orientations, and so all coarser ones. Nyquist: 909.",
            "Of the paper: a curve without criterion, unit or numbers, so there is nothing to quote.",
            "One noisy image a plane, so neighbouring elements may change places.",
            *used,
        ),
    )


def _speed(seconds: Mapping[str, float], bench: Bench) -> Table:
    """Beside the published times."""
    names = [name for name in seconds if name != "blurred"]
    lines = [
        (name, f"{SECONDS[name]:.1f}" if name in SECONDS else NO_NUMBER, f"{seconds[name]:.1f}", "no") for name in names
    ]
    return Table(
        "DBMID: seconds for an image of 1920 x 1920 px",
        ("", "paper", "ours", "comparable?"),
        tuple(lines),
        (
            f"Comparable? no: ours on {bench.device}, {torch.get_num_threads()} threads, in proportion to the pixels, "
            "with whatever else the machine does meanwhile, blind methods on the mean of the colours; the paper's on "
            "one P40, its blind deconvolution unnamed.",
        ),
    )


def _write_contrasts(path: Path, read: Mapping[tuple[int, str], Resolution]) -> None:
    lines: list[Sequence[object]] = [
        ("um from focus", "method", "group", "element", "lp/mm", "angle", "contrast", "dip")
    ]
    for (plane, name), found in read.items():
        for one in found.curve:
            element = one.element
            place = (round(plane * STEP, 2), name, element.group, element.number, round(element.resolution, 2))
            lines.append((*place, one.angle, round(one.contrast, 5), round(one.dip, 5)))
    save_csv(path, lines)


def _draw(path: Path, read: Mapping[tuple[int, str], Resolution], names: Sequence[str], *, title: str) -> None:
    planes = list(dict.fromkeys(plane for plane, _ in read))
    finest = {
        name: [(plane * STEP, read[plane, name].line_pairs or float("nan"), 0.0) for plane in planes] for name in names
    }
    contrast = {
        name: [(one.element.resolution, one.contrast, 0.0) for one in read[SHOWN, name].curve if one.angle == 0]
        for name in names
    }
    panels = [
        Panel("finest resolved element", "um from focus", "line pairs per mm", finest, base=2),
        Panel(f"contrast at {SHOWN * STEP:g} um, bars upright", "line pairs per mm", "contrast, with sign", contrast),
    ]
    draw_curves(path, panels, title=title)


def _fine_part(light: Gray, target: Target) -> Part:
    """The rows of the second group and finer ones, as far to the right as that one goes."""
    group = sorted({triplet.element.group for triplet in target.triplets})[1]
    rows = [t.centre[0] - 3 * t.bar_width for t in target.triplets if t.element.group >= group]
    ends = [t.centre[1] + 4 * t.bar_width for t in target.triplets if t.element.group >= group]
    left = min(t.centre[1] - 4 * t.bar_width for t in target.triplets if t.element.group >= group)
    last = max(t.centre[0] + 4 * t.bar_width for t in target.triplets)
    return light[max(0, int(min(rows))) : int(last), max(0, int(left)) : int(max(ends))]
