"""Write a set of simulated pairs: what `dgno simulate` makes and `dgno evaluate` reads.

DIR/sharp/NAME.tif      the scene, float32 in [0, 1]
DIR/blurred/NAME.tif    its image
DIR/psf/NAME.tif        the mean PSF
DIR/sigma/NAME.tif      the blur at every pixel, px; or, for other optics, z/ (um) and motion/ (length in px, degrees)
DIR/manifest.csv        one line a pair: all that was drawn
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dgno.arrays import Image, from_tensor, percentile_affine, range_affine, to_tensor
from dgno.checks import refuse_choice
from dgno.data.loading import refuse_unusable
from dgno.errors import ConfigError, DgnoWarning, OutputCollision, OutputExists, printable
from dgno.io.atomic import make_folder, write_bytes
from dgno.io.image import read_images, write_image
from dgno.io.output import alike, told_apart
from dgno.metrics import psnr
from dgno.optics.exposure import Exposure, ExposureRange, Fact, Scene
from dgno.optics.threads import one_thread

MANIFEST = "manifest.csv"
SCALES = ("auto", "range", "percentile")


@dataclass(frozen=True)
class ManifestLine:
    """What made one pair, and what came of it.

    seed : of the whole set
    facts : optics, camera and noise, as of `dgno.optics.exposure.Exposure.facts`
    bank_error : largest error of interpolated PSFs at 64 random pixels, full scale 1; see `dgno.optics.bank_error`
    blurred_psnr : of the blurred image against the sharp one, dB for values in [0, 1]; infinite if they are equal
    """

    name: str
    source: str
    seed: int
    facts: Mapping[str, Fact]
    bank_error: float
    blurred_psnr: float


@dataclass(frozen=True)
class NamedScene:
    """A sharp scene in [0, 1], the name of its pair, and the file that it is from, if it is from one.

    is_opaque : had it no opacity, which pairs do not have?
    """

    name: str
    scene: Scene
    source: Path | None = None
    is_opaque: bool = True


def write_pairs(
    sources: Sequence[Path],
    out: Path,
    ranges: ExposureRange,
    *,
    seed: int = 0,
    scale: str = "auto",
    overwrite: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> list[ManifestLine]:
    """Simulate one pair for every plane of every sharp image and write them below `out`.

    seed : pair i is drawn from (seed, i) alone, so the same call writes the same bytes, with any number of threads
    scale : how a source is brought to [0, 1]: "range" (black to white), "percentile" (0.1 to 99.9, clipped), or "auto":
        the first for colour, the second for gray
    overwrite : replace the pairs and the manifest of an earlier call; without, a folder that has a manifest is refused

    Raises ConfigError, NonFiniteInput, OutputCollision (two sources of one name), OutputError.
    """
    if problems := refuse_choice("scale", scale, SCALES):
        raise ConfigError(problems[0])
    refuse_written(out, overwrite=overwrite)
    names = unique_names(sources)

    def scenes() -> Iterator[NamedScene]:
        for i, (source, name) in enumerate(zip(sources, names, strict=True)):
            yield from file_scenes(source, name, scale)
            progress((i + 1) / len(sources))

    def draw(named: NamedScene, i: int) -> Exposure:
        return ranges.draw((named.scene.shape[1], named.scene.shape[2]), np.random.default_rng([seed, i]))

    return write_scenes(scenes(), out, draw, seed=seed, overwrite=overwrite)


def write_scenes(
    scenes: Iterable[NamedScene],
    out: Path,
    draw: Callable[[NamedScene, int], Exposure],
    *,
    seed: int,
    overwrite: bool = False,
) -> list[ManifestLine]:
    """Expose scene i as `draw(scene, i)` says, and write pairs, truth and manifest below `out`.

    Raises OutputCollision (two scenes of one name), OutputError.
    """
    lines: list[ManifestLine] = []
    transparent: dict[Path | None, None] = {}
    for named in scenes:
        if not named.is_opaque:
            transparent[named.source] = None
        exposure = draw(named, len(lines))
        if any(alike(line.name) == alike(named.name) for line in lines):
            why = f"a plane of {named.source} and an image before it would share the name {named.name!r}"
            raise OutputCollision("two inputs would get one output", why=why, hint="rename one, or give them apart")
        with one_thread():
            blurred = exposure.of(named.scene)
            _write(out, named, exposure, blurred, overwrite=overwrite)
            lines.append(_line(named, seed, exposure, psnr(blurred.clamp(0, 1), named.scene)))
    _write_manifest(out / MANIFEST, lines)
    if transparent:
        first, *more = (printable(source) for source in transparent if source)
        others = f" and {len(more)} more" if more else ""
        what = "the opacity is left out of the pairs, whose colours are those of the file"
        warnings.warn(f"{first}{others}: {what}", DgnoWarning, stacklevel=2)
    return lines


def refuse_written(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds pairs already, unless they may be replaced: OutputExists."""
    if (out / MANIFEST).exists() and not overwrite:
        hint = "choose another folder, or say --overwrite"
        raise OutputExists("the folder holds pairs already", path=out / MANIFEST, hint=hint)


def unique_names(sources: Sequence[Path]) -> list[str]:
    """The stems of files, or the whole names of those whose stems are alike.

    Raises OutputCollision for two of one name, also in another case, and ConfigError for none.
    """
    if not sources:
        raise ConfigError("no sharp images", hint="give at least one")
    names = [str(name) for name in told_apart([Path(one.stem) for one in sources], [Path(one.name) for one in sources])]
    first: dict[str, Path] = {}
    for source, name in zip(sources, names, strict=True):
        if (other := first.setdefault(alike(name), source)) is not source:
            why = f"{other} and {source} would share the name {name!r}"
            raise OutputCollision("two inputs would get one output", why=why, hint="rename one, or give them apart")
    return names


def file_scenes(source: Path, name: str, scale: str) -> Iterator[NamedScene]:
    """The planes of all images of a file, brought to [0, 1] by `scale`, see `write_pairs`. Raises NonFiniteInput."""
    images = read_images(source)
    for image in images:
        refuse_unusable(image, source)
    planes = [(image, i, plane) for image in images for i, plane in enumerate(image.planes())]
    for number, (image, i, plane) in enumerate(planes):
        by_range = scale == "range" or (scale == "auto" and image.is_colour)
        affine = range_affine(image) if by_range else percentile_affine(image, channel=image.channel_of(i))
        plane_name = name if len(planes) == 1 else f"{name}_p{number:04d}"
        is_opaque = image.alpha is None or image.alpha_kind == "unspecified"
        yield NamedScene(plane_name, to_tensor(plane, affine)[0].clamp(0, 1), source, is_opaque)


def _write(out: Path, named: NamedScene, exposure: Exposure, blurred: Scene, *, overwrite: bool) -> None:
    psf = torch.from_numpy(exposure.optics.mean_psf(named.scene.shape[0])).float()
    parts = {"sharp": named.scene, "blurred": blurred, "psf": psf[None], **exposure.optics.maps()}
    for folder, values in parts.items():
        make_folder(out / folder)
        path = out / folder / f"{named.name}.tif"
        write_image(path, _as_image(values), overwrite=overwrite, inputs=[named.source] if named.source else [])


def _as_image(values: Scene) -> Image:
    pixels = from_tensor(values[None])
    if pixels.shape[-1] == 1:
        return Image(np.ascontiguousarray(pixels[..., 0]), "YX")
    if pixels.shape[-1] == 2:
        return Image(np.ascontiguousarray(pixels.transpose(2, 0, 1)), "CYX")
    return Image(np.ascontiguousarray(pixels), "YXS")


def _write_manifest(path: Path, lines: Sequence[ManifestLine]) -> None:
    text = io.StringIO(newline="")
    rows = [_row(line) for line in lines]
    writer = csv.DictWriter(text, list(dict.fromkeys(column for row in rows for column in row)))
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode(errors="surrogateescape"))


def _row(line: ManifestLine) -> dict[str, Fact]:
    result = {"bank_error": line.bank_error, "blurred_psnr": line.blurred_psnr}
    return {"name": line.name, "source": line.source, "seed": line.seed, **line.facts, **result}


def _line(named: NamedScene, seed: int, exposure: Exposure, blurred_psnr: float) -> ManifestLine:
    facts = {
        key: round(value, 6) if isinstance(value, float) else value
        for key, value in exposure.facts(named.scene.shape[0]).items()
    }
    source = named.source.name if named.source else ""
    error = float(f"{exposure.bank_error(named.scene, np.random.default_rng(seed)):.3g}")
    return ManifestLine(named.name, source, seed, facts, bank_error=error, blurred_psnr=round(blurred_psnr, 3))
