"""A configuration for a folder of sharp images: the quickest way from her own images to her own network.

It goes on from the weights in the package that have as many channels, so that a few images and minutes already help.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from dgno.data.layouts.self_blur import read_self_blur
from dgno.data.scenes import read_sharp
from dgno.data.unusable import Unusable
from dgno.errors import ConfigError, OutputExists
from dgno.io.atomic import write_bytes
from dgno.training.log import writing
from dgno.training.state import checkpoints_in

NAME = "train.toml"

TEXT = """# dgno train {name}; docs/training.md tells more
data = {data} # sharp images, relative to this file; blur and noise are added on the fly
out = {out} # checkpoints, log, curves and weights go here
{skipping}image = {image} # what the weights are for; a note for those who use them
normalization = {normalization} # how images come to [0, 1]: "range" (black to white) or "percentile" (0.1 to 99.9)
init = {init} # start from these weights; leave the line out to start afresh
learning_rate = 2e-4
ema = 0.999 # the weights are an average over about a thousand steps
clip = 0.5
fft_norm = "ortho"
checkpoint_every = 100
validate_every = 100
stages = [{{until = 2000, crop = 128, batch = 4}}] # steps, px, images a step

[network]
preset = "nano-cell" # `dgno models` lists the others; without `init` any of them may be taken
channels = {channels} # 1 gray, 3 colour

[blur]
sigma = [0.3, 4.5] # px, smallest and largest: how far out of focus your images are
spread = 3.0 # largest ratio inside one image
softness = [0.2, 1.5] # of the blur disk: 0.2 has an edge, 1.5 is almost a Gaussian
photons = [500, 10000] # at full scale: the noise of your camera
read_noise = [0.001, 0.01]

[augmentation]
gamma = [0.85, 1.2]
gain = [0.85, 1.05]
{sources}"""
SKIPPING = "skip_bad = true # images that cannot be used are left out, up to 1 % of them\n"
SOURCE = """
[[sources]]
files = {files}
weight = {weight}
range = {range}
"""


def starting_config(folder: Path, out: Path, *, place: Path, skip_bad: bool = False) -> str:
    """The text of a configuration that trains on every image below `folder`; every image is opened once.

    out : the folder that the run writes to
    place : the file that the text is meant for: paths in it are relative to its folder
    skip_bad : images that cannot be used may be left out, up to 1 % of them, here and when it is trained
    Raises ConfigError (no images), InputError (images that cannot be used, all at once).
    """
    files = [record.target for record in read_self_blur(folder)]
    unusable, colours = Unusable(may_skip=skip_bad), []
    for file in files:
        with unusable.looking_at(file):
            colours.append(read_sharp(file).is_colour)
    unusable.refuse(folder, len(files))
    is_colour = any(colours)
    scale = "range" if is_colour else "percentile"
    endings = Counter(file.suffix for file in files)
    sources = [
        SOURCE.format(
            files=_quoted(f"**/*{ending}"), weight=float(count), range=_quoted("dtype" if is_colour else "percentile")
        )
        for ending, count in endings.items()
    ]
    return TEXT.format(
        name=place.name,
        data=_quoted(_relative(folder, place)),
        out=_quoted(_relative(out, place)),
        image=_quoted("bright field" if is_colour else "fluorescence"),
        normalization=_quoted(scale),
        init=_quoted("brightfield-nano" if is_colour else "fluorescence-nano"),
        channels=3 if is_colour else 1,
        skipping=SKIPPING if skip_bad else "",
        sources="".join(sources),
    )


def write_starting_config(folder: Path, out: Path, *, skip_bad: bool = False) -> Path:
    """Write `out`/train.toml, or take the one that is there while nothing is trained yet: it may have been changed.

    Raises what `starting_config` does, ConfigError (`out` lies among the images), OutputExists, OutputError.
    """
    path = out / NAME
    if out.resolve().is_relative_to(folder.resolve()):
        hint = "choose a folder beside it with --out"
        raise ConfigError("the network would lie among the images it is trained on", path=out, hint=hint)
    if path.is_file() and not checkpoints_in(out / "checkpoints"):
        return path
    if path.exists():
        hint = "add --resume to go on with that run, or choose another folder with --out"
        raise OutputExists("a run was begun there", path=path, hint=hint)
    text = starting_config(folder, out, place=path, skip_bad=skip_bad)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())
    return path


def _relative(path: Path, place: Path) -> str:
    return Path(os.path.relpath(path, place.parent)).as_posix()


def _quoted(text: str) -> str:
    return json.dumps(text)  # a string of TOML too
