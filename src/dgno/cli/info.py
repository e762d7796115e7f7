"""`dgno info`: what images and slides say of themselves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgno.cli.console import print_json, print_table, say
from dgno.cli.options import Debug, Json, MaxPixels, Overwrite, Quiet
from dgno.errors import BatchFailed, ConfigError, DgnoError, printable
from dgno.io.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from dgno.io.describe import Described

Inputs = Annotated[list[Path], typer.Argument(help="Images, slides, or folders.", readable=False, show_default=False)]
Associated = Annotated[
    str | None, typer.Option(help="Save the label, macro, thumbnail, ... of that name.", show_default=False)
]
Output = Annotated[Path | None, typer.Option("--out", "-o", help="File for --associated.", show_default=False)]
LISTED = ("image", "format", "width", "height", "planes", "pixels", "pixel size", "notes")
LEVELS = ("level", "width", "height", "downsample", "tile", "compression")


def info(
    inputs: Inputs,
    associated: Associated = None,
    out: Output = None,
    max_pixels: MaxPixels = DEFAULT_LIMITS.pixels,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show what images and slides say of themselves. Levels, sizes, channels, pixel size, range, compression,
    provenance; where folders are named, one line for each image below them.

    Example: dgno info slide.svs --associated label -o label.png

    Example: dgno info slides/
    """
    limits = Limits(pixels=max_pixels)
    if (associated is None) != (out is None):
        raise ConfigError("--associated and -o belong together", hint="name the picture, and the file for it")
    if associated is not None and out is not None:
        _save(inputs, associated, out, limits=limits, overwrite=overwrite)
        say(f"{out}: saved", quiet=quiet or json)
        if json:
            print_json({"output": printable(out), "associated": associated})
        return
    files, is_list = _files(inputs)
    results, failures = _described(files, limits, json=json, is_list=is_list)
    if failures:
        what = f"{failures} of {len(files)} inputs cannot be read"
        hint = "the others are described" if failures < len(files) else "none is described"
        raise BatchFailed(what, hint=hint, results=results)
    if json:
        print_json({"results": results})


def _files(inputs: list[Path]) -> tuple[list[Path], bool]:
    """The inputs, folders replaced by the images below them; and were there any?

    Raises ConfigError (no images, a pattern that nothing matches), MissingInput.
    """
    from dgno.restoration.inputs import images_below, is_tree, refuse_missing

    if len(inputs) == 1:  # of several, one that is missing does not stop the others
        refuse_missing(inputs)
    folders = {path for path in inputs if is_tree(path) and not _is_zarr(path)}
    files = [file for path in inputs for file in (images_below(path) if path in folders else [path])]
    if not files:
        raise ConfigError("no images", path=inputs[0], why="there is none below it", hint="name files, or their folder")
    return files, bool(folders)


def _is_zarr(folder: Path) -> bool:
    """Also one that is not named so."""
    from dgno.io.zarr_store import GROUPS

    try:
        return any((folder / name).exists() for name in GROUPS)
    except OSError:  # nobody may look into it
        return False


def _described(files: list[Path], limits: Limits, *, json: bool, is_list: bool) -> tuple[list[dict[str, object]], int]:
    """What every file says of itself, printed as it is found out, or as a list in the end; the failure of the only one
    that was named is the command's."""
    from dgno.io.describe import describe

    results: list[dict[str, object]] = []
    lines: list[tuple[object, ...]] = []
    failures = 0
    for path in files:
        try:
            images = describe(path, limits=limits)
        except DgnoError as error:
            if len(files) == 1 and not is_list:
                raise
            failures += 1
            results.append({"input": printable(path), "error": error.as_json()})
            say(f"{printable(path)}: failed, {error.code}: {error}", quiet=json)
            continue
        results.append({"input": printable(path), "images": [image.as_json() for image in images]})
        first = 0
        for number, image in enumerate(images if not json else ()):
            title = f"{printable(path)}" + (f", image {number}" if len(images) > 1 else "")
            if is_list:
                lines.append(_line(title, image))
            else:
                _print(title, image, first)
            first += math.prod(image.axes.values())
    if lines:
        print_table(LISTED, lines)
    return results, failures


def _line(title: str, image: Described) -> tuple[object, ...]:
    """One image, below LISTED."""
    planes = " ".join(f"{axis} {length}" for axis, length in image.axes.items())
    values = (image.format, *reversed(image.shape), planes or 1, _pixels(image), _size(image), "; ".join(image.notes))
    return tuple(_one_line(value) if isinstance(value, str) else value for value in (title, *values))


def _pixels(image: Described) -> str:
    return f"{image.dtype}, " + ("gray" if image.samples == 1 else f"{image.samples} colours")


def _size(image: Described) -> str:
    size = image.pixel_size
    return f"{size[1]:.5g} x {size[0]:.5g} um" if size else "unknown"


def _print(title: str, image: Described, first: int) -> None:
    """first : the number of its first page in the file"""
    height, width = image.shape
    rows: list[tuple[str, object]] = [
        ("format", f"{image.format} ({image.kind}, read by {image.reader})"),
        ("size", f"{width} x {height} px" + "".join(f", {axis} {length}" for axis, length in image.axes.items())),
        ("pixels", _pixels(image)),
        ("range", "{:g} to {:g}".format(*image.value_range)),
        ("channels", ", ".join(image.channel_names) or image.axes.get("C", 1)),
        ("pages", _pages(image, first)),
        ("pixel size", _size(image)),
        ("magnification", f"{image.magnification:g}x" if image.magnification else "unknown"),
        ("ICC profile", f"yes, {image.icc_profile:,} bytes" if image.icc_profile else "no"),
        ("associated", ", ".join(f"{name} {w} x {h}" for name, (h, w) in image.associated.items()) or "none"),
    ]
    rows += [("made by", f"{key}: {value}") for key, value in (image.provenance or {}).items()]
    rows += [("note", note) for note in image.notes]
    print_table(("", ""), [(name, _one_line(str(value))) for name, value in rows], title=_one_line(title))
    print_table(LEVELS, [_level_row(number, level) for number, level in enumerate(image.levels)])
    print()


def _pages(image: Described, first: int) -> str:
    """How --pages counts the planes of an image: from 0 on, through all images of a file, the last axis fastest."""
    count = math.prod(image.axes.values())
    numbers = f"{first} to {first + count - 1}" if count > 1 else str(first)
    order = f", order {', '.join(image.axes)}" if count > 1 else ""
    fastest = f" ({list(image.axes)[-1]} fastest)" if len(image.axes) > 1 else ""
    return f"{count} ({numbers}){order}{fastest}"


def _level_row(number: int, level: object) -> tuple[object, ...]:
    assert isinstance(level, dict)
    (height, width), (tall, wide) = level["shape"], level["block"]
    return number, width, height, round(level["downsample"], 3), f"{wide} x {tall}", level["compression"]


def _one_line(text: str) -> str:
    """What files say may hold control characters, which a terminal would obey."""
    return printable(" ".join(text.split()))


def _save(inputs: list[Path], name: str, out: Path, *, limits: Limits, overwrite: bool) -> None:
    from dgno.io.describe import associated_image
    from dgno.io.image import write_image

    if len(inputs) != 1:
        raise ConfigError(f"--associated takes one slide, and {len(inputs)} were given")
    write_image(out, associated_image(inputs[0], name, limits=limits), inputs=inputs, overwrite=overwrite)
