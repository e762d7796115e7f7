"""Real defocus, of which nothing was simulated: stacks through focus, restored plane by plane; Markdown and curves.

    python benchmarks/real_defocus.py IMAGES OUT [--weights-fluorescence NAME] [--weights-brightfield NAME]

IMAGES/through_focus has a smear in 19 planes (bright field) and a stack of nuclei of which the widefield channel is
taken; IMAGES/bbbc006 nuclei at 32 um from focus, of one field of which the sharp plane is there too. Each plane is
restored alone. Focus is Tenengrad of the mean of the channels, in units of that of the sharpest plane as it was taken.
PSNR and SSIM are against that plane, which is no truth, only sharper: after registration, and after the gain and
offset that fit best, which is what differs between planes beside focus; on [0, 1] of the sharp plane. OUT gets
curves.png and a picture of some planes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure

from dgno.arrays import Image
from dgno.data.focus import tenengrad
from dgno.data.registration import find_shift, inside, shifted
from dgno.io.image import read_image
from dgno.metrics import psnr, ssim
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.image import restore_image

Plane = Float[np.ndarray, "h w c"]
SHOWN, CROP = 4, 192  # planes of a picture, px


@dataclass(frozen=True)
class Stack:
    """Planes of one place.

    sharp : number of the plane in `planes` that is compared with; None: the one of the largest Tenengrad
    """

    name: str
    weights: str
    offsets: Sequence[str]
    planes: list[Plane]
    sharp: int | None = None


def read_planes(path: Path, channel: int = 0) -> list[Plane]:
    """The planes of a file, of one channel if it has several, in units of the file."""
    image = read_image(path)
    planes = [
        plane.astype(np.float64) for i, plane in enumerate(image.planes()) if image.channel_of(i) in (None, channel)
    ]
    return planes


def cut_alike(planes: list[Plane]) -> list[Plane]:
    """The middle of every plane, as large as the smallest is: the planes of the smear differ by some pixels."""
    h, w = (min(plane.shape[axis] for plane in planes) for axis in (0, 1))
    starts = [((plane.shape[0] - h) // 2, (plane.shape[1] - w) // 2) for plane in planes]
    return [plane[y : y + h, x : x + w] for plane, (y, x) in zip(planes, starts, strict=True)]


def stacks(images: Path, fluorescence: str, brightfield: str) -> list[Stack]:
    smear = [str(i) for i in range(-9, 10)]
    files = cut_alike([read_planes(images / "through_focus" / "smear" / f"{i}.bmp")[0] for i in smear])
    nuclei = read_planes(images / "through_focus" / "dna_confocal_widefield_zstack.tif", channel=1)
    field = [
        read_planes(images / "bbbc006" / "z00" / "a01_s1_w1.tif")[0],
        read_planes(images / "bbbc006" / "sharp" / "a01__s1__w1_10.png")[0],
    ]
    return [
        Stack("smear", brightfield, smear, files),
        Stack("smear, taken for fluorescence", fluorescence, smear, files),
        Stack("nuclei, widefield", fluorescence, [str(i) for i in range(len(nuclei))], nuclei),
        Stack("BBBC006 a01, 32 um", fluorescence, ["z=00", "z=16"], field, sharp=1),
    ]


def restored(stack: Stack) -> list[Plane]:
    """Every plane by itself."""
    restorer, normalize = make_restorer(stack.weights, device="cpu")

    def one(plane: Plane) -> Plane:
        if restorer.channels == 3:  # a gray picture of a stain, for weights of colours
            image = Image(np.repeat(plane[..., :1], 3, axis=-1).astype(np.uint8), "YXS", value_range=(0, 255))
            return restore_image(image, restorer, normalize=normalize).pixels.mean(-1, keepdims=True)
        image = Image(plane[..., 0].astype(np.float32), "YX")
        return restore_image(image, restorer, normalize=normalize).pixels[..., None].astype(np.float64)

    return [one(plane) for plane in stack.planes]


def focus(plane: Plane) -> float:
    return tenengrad(plane.mean(-1))


def likeness(plane: Plane, sharp: Plane) -> tuple[float, float]:
    """PSNR and SSIM to the sharp plane, registered and fitted."""
    by = find_shift(plane.mean(-1), sharp.mean(-1))
    parts = inside(plane.shape[:2], by)
    moved, wanted = shifted(plane, by)[parts], sharp[parts]
    low, high = np.percentile(wanted, [0.1, 99.9])
    gain, offset = np.polyfit(moved.ravel(), wanted.ravel(), 1)
    pair = [
        torch.from_numpy(((p - low) / (high - low)).clip(0, 1)).float().permute(2, 0, 1)
        for p in (gain * moved + offset, wanted)
    ]
    return psnr(*pair), float(ssim(*(p[None] for p in pair)))


def print_stack(stack: Stack, after: list[Plane]) -> list[tuple[float, ...]]:
    """A line of the table for every plane; gives focus, PSNR and SSIM, each before and after."""
    best = stack.sharp if stack.sharp is not None else int(np.argmax([focus(plane) for plane in stack.planes]))
    unit, rows = focus(stack.planes[best]), []
    for i, (plane, better) in enumerate(zip(stack.planes, after, strict=True)):
        (p0, s0), (p1, s1) = (likeness(x, stack.planes[best]) for x in (plane, better))
        rows.append((focus(plane) / unit, focus(better) / unit, p0, p1, s0, s1))
        ratios = f"{rows[-1][0]:.2f} | {rows[-1][1]:.2f}"
        against = "sharpest | | | " if i == best else f"{p0:.2f} | {p1:.2f} | {s0:.3f} | {s1:.3f}"
        print(f"| {stack.name} | {stack.offsets[i]} | {ratios} | {against} |", flush=True)
    return rows


def draw(path: Path, name: str, offsets: Sequence[str], rows: list[tuple[float, ...]]) -> None:
    """Focus, PSNR and SSIM over the planes, before and after."""
    figure = Figure((9, 2.6), layout="constrained")
    for axis, i, title in zip(figure.subplots(1, 3), (0, 2, 4), ("focus", "PSNR, dB", "SSIM"), strict=True):
        for j, label in enumerate(("as taken", "restored")):
            values = [row[i + j] if row[i + j] < 90 else np.nan for row in rows]
            axis.plot(range(len(rows)), values, ".-", label=label)
        axis.set_title(f"{name}: {title}", fontsize=8)
        axis.set_xticks(range(0, len(rows), 3), offsets[::3])
    figure.axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)


def show(path: Path, stack: Stack, after: list[Plane]) -> None:
    """Some planes as taken and restored."""
    chosen = sorted({round(i) for i in np.linspace(0, len(stack.planes) - 1, SHOWN)})
    figure = Figure((2.2 * len(chosen), 4.6), layout="constrained")
    axes = figure.subplots(2, len(chosen), squeeze=False)
    starts = [max(0, (n - CROP) // 2) for n in stack.planes[0].shape[:2]]
    crop = slice(starts[0], starts[0] + CROP), slice(starts[1], starts[1] + CROP)
    for column, i in enumerate(chosen):
        low, high = np.percentile(stack.planes[i], [0.1, 99.9])
        for axis, plane, what in zip(
            axes[:, column], (stack.planes[i], after[i]), ("as taken", "restored"), strict=True
        ):
            axis.imshow(((plane[crop] - low) / (high - low)).clip(0, 1).squeeze(), cmap="gray")
            axis.set_title(f"{stack.offsets[i]}, {what}", fontsize=7)
            axis.set_axis_off()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    for kind in ("fluorescence", "brightfield"):
        parser.add_argument(f"--weights-{kind}", default=f"{kind}-nano")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    print("| stack | plane | focus | restored | PSNR, dB | restored | SSIM | restored |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for stack in stacks(asked.images, asked.weights_fluorescence, asked.weights_brightfield):
        after = restored(stack)
        rows, name = print_stack(stack, after), stack.name.replace(",", "").replace(" ", "_")
        show(asked.out / f"{name}.png", stack, after)
        if len(rows) > 2:
            draw(asked.out / f"{name}_curves.png", stack.name, stack.offsets, rows)


if __name__ == "__main__":
    main()
