"""`dgno export`: weights in the format of other programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgno.cli.console import print_json, say
from dgno.cli.options import Debug, Json, Overwrite, Quiet
from dgno.errors import ConfigError

if TYPE_CHECKING:
    from dgno.export.onnx_file import Exported

SLOW = 3.0  # times PyTorch's seconds: from here on it is said


def export(
    weights: Annotated[str, typer.Argument(help="Name or file; `dgno models` lists them.", show_default=False)],
    onnx: Annotated[Path, typer.Option(help="The ONNX file to write.", show_default=False)],
    size: Annotated[
        str, typer.Option(help="Height x width that images must have, for instance 512x512. By default any.")
    ] = "",
    opset: Annotated[int | None, typer.Option(help="Version of the ONNX operators, from 18; 20 by default.")] = None,
    skip_timing: Annotated[bool, typer.Option("--skip-timing", help="Do not measure its time.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write weights as an ONNX file, checked against PyTorch. What onnxruntime computes with it is compared first.

    Needs the extra `onnx`. The file takes and gives float32 images (batch, channels, height, width) in [0, 1].

    Example: dgno export fluorescence-nano --onnx fluorescence-nano.onnx
    """
    from dgno.export.onnx_file import export_onnx

    exported = export_onnx(
        weights, onnx, size=_size_of(size), opset=opset, overwrite=overwrite, is_timed=not skip_timing
    )
    if json:
        facts = {**asdict(exported), "output": str(onnx), "times PyTorch": exported.slowness}
        del facts["path"]
        print_json(facts)
        return
    _tell(exported, quiet=quiet)


def _size_of(text: str) -> tuple[int, int] | None:
    height, _, width = text.lower().partition("x")
    if not text:
        return None
    if not (height.isdecimal() and width.isdecimal()):
        raise ConfigError(f"size is {text!r}", hint="give height x width in px: 512x512")
    return int(height), int(width)


def _tell(exported: Exported, *, quiet: bool) -> None:
    found = exported.agreement
    size = "{}x{} px".format(*exported.size) if exported.size else "any size"
    say(f"{exported.path}: {exported.bytes / 1e6:.1f} MB, opset {exported.opset}, {size}", quiet=quiet)
    shapes = ", ".join(f"{h}x{w}" for _, h, w in dict.fromkeys(found.shapes))
    say(
        f"|onnxruntime - PyTorch| at {shapes}: {found.middle:.2g} on middle images; on the worst {found.most:.2g} on "
        f"99.9 % of the pixels, {found.largest:.2g} on all",
        quiet=quiet,
    )
    if exported.slowness is None:
        return
    times = exported.seconds
    relative = times["onnxruntime"] / times["pytorch references"]
    say(
        f"one thread: {times['onnxruntime']:.2f} s, {exported.slowness:.2f} times PyTorch with the kernels of this "
        f"machine, {relative:.2f} times PyTorch without",
        quiet=quiet,
    )
    if exported.slowness > SLOW:
        say(f"this is more than {SLOW:g} times PyTorch: see docs/export.md for what is faster", quiet=quiet)
