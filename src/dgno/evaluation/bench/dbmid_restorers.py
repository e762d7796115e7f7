"""What restores in DBMID's figures: its two networks, and DGNO for defocus and for motion.

Weights are those that were given with --weights ROLE=NAME or FILE. Without any, the tiny profile takes those that come
with the package, as a training of minutes shows nothing, and trains a small network where none come; the full one
trains the network at its size on the published fields in focus, blurred on the fly. What was used is said below every
table.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dgno.arrays import Image
from dgno.checks import refuse_choice
from dgno.data.scenes import Augmentation, Source
from dgno.errors import ConfigError
from dgno.evaluation.bench.dbmid_views import immunostained, lone_cells, smear
from dgno.evaluation.bench.profiles import quarter
from dgno.evaluation.bench.run import Bench, Progress, in_own_folder, part_of
from dgno.evaluation.saving import save_text
from dgno.io.atomic import make_folder
from dgno.io.image import write_image
from dgno.networks.dbmid import DBMID_NETWORKS, DBMIDConfig
from dgno.networks.presets import NETWORKS, NetworkConfig
from dgno.optics.blur_types import DEFOCUS, MOTION
from dgno.optics.moving import MotionRange
from dgno.optics.simulate import BlurRange
from dgno.restoration.from_weights import make_restorer
from dgno.restoration.image import restore_image
from dgno.training.config import Stage, TrainConfig
from dgno.weights.store import embedded_names

Restore = Callable[[Image], Image]
SCENES, SEED = 24, 2026  # drawn to train on, and where their seeds start
SIGMA = (0.3, 4.5)  # px of defocus; the geometric disk of 31.2 um has 8.9
BATCH, LEARNING_RATE = 64, 1e-4  # DBMID's, of Adam


def unchanged(image: Image) -> Image:
    """The blurred image itself."""
    return image


@dataclass(frozen=True)
class Role:
    """Something to restore with.

    key, title : what the option calls it, and the table
    weights : of the package
    network, small : that is trained in full, and in the tiny profile
    blur : the type that it is trained for
    steps : of the tiny training
    """

    key: str
    title: str
    weights: str
    network: NetworkConfig
    small: NetworkConfig
    blur: str
    steps: int


_dbmid = functools.partial(Role, network=DBMID_NETWORKS["dbmid-5"], small=DBMID_NETWORKS["dbmid-nano"], steps=150)
_CELL = replace(NETWORKS["dgno-cell"], channels=3)
_dgno = functools.partial(Role, network=_CELL, small=quarter(_CELL), steps=60)
DL_DEFOCUS = _dbmid("dl-defocus", "DL_defocus", "dl-defocus", blur=DEFOCUS)
DL_MOTION = _dbmid("dl-motion", "DL_motion", "dl-motion", blur=MOTION)
DGNO_DEFOCUS = _dgno("dgno-defocus", "DGNO, defocus", "brightfield-nano", blur=DEFOCUS)
DGNO_MOTION = _dgno("dgno-motion", "DGNO, motion", "brightfield-motion-nano", blur=MOTION)
ROLES = {role.key: role for role in (DL_DEFOCUS, DL_MOTION, DGNO_DEFOCUS, DGNO_MOTION)}


@dataclass(frozen=True)
class Restorers:
    """By the keys of their roles, and a line on each that says what it is."""

    by_role: Mapping[str, Restore]
    notes: tuple[str, ...]

    def __getitem__(self, role: Role) -> Restore:
        return self.by_role[role.key]


def find_restorers(bench: Bench, roles: Sequence[Role], progress: Progress) -> Restorers:
    """What restores in these roles, trained first where it has no weights.

    Raises ConfigError for weights of other roles, and what loading and training do.
    """
    for key in bench.weights:
        if wrong := refuse_choice("role", key, [role.key for role in roles]):
            raise ConfigError(wrong[0], hint="give --weights ROLE=NAME or ROLE=FILE")
    restore, notes = dict[str, Restore](), []
    for i, role in enumerate(roles):
        weights, what = _weights(bench, role, functools.partial(part_of, progress, i, len(roles)))
        restorer, normalize = make_restorer(weights, device=str(bench.device))
        restore[role.key] = functools.partial(restore_image, restorer=restorer, normalize=normalize)
        notes.append(f"{role.title}: {what}.")
    return Restorers(restore, tuple(notes))


def _weights(bench: Bench, role: Role, progress: Progress) -> tuple[str | Path, str]:
    """The weights of a role, and what they are."""
    if given := bench.weights.get(role.key):
        return given, f"the weights {Path(given).name} that were given"
    if bench.profile.generated and role.weights in embedded_names():
        return role.weights, f"the package's weights {role.weights}"
    config = training(bench, role)
    size = "a small network" if bench.profile.generated else "the network at its size"
    what = f"{size}, trained here for {config.steps:,} steps"
    if bench.profile.generated:
        what += f", which shows the machinery alone: the package has no weights {role.weights}"
    return bench.trained(config, progress), what


def training(bench: Bench, role: Role) -> TrainConfig:
    """DBMID's recipe for its networks, and the DGNO paper's for DGNO, but for what the profile changes."""
    profile = bench.profile
    tiny, is_dbmid = profile.generated, isinstance(role.network, DBMIDConfig)
    network = role.small if tiny else role.network
    crop, steps = -(-profile.crop // network.multiple) * network.multiple, profile.steps or role.steps
    config = TrainConfig(
        data=_training_fields(bench),
        out=bench.out / "runs",
        sources=(Source("*.png" if tiny else "train/*/in-focus/*"),),
        network=network,
        image="bright field",
        blur=BlurRange(sigma=SIGMA, photons=(500.0, 10_000.0), read_noise=(0.001, 0.01)),
        motion=MotionRange((5.0, 40.0)) if role.blur == MOTION else None,
        blur_types=(role.blur,),
        augmentation=Augmentation(linear_light=0.0 if tiny else 1.0),
        stages=(Stage(steps, crop, BATCH if is_dbmid and not tiny else profile.batch),),
        learning_rate=LEARNING_RATE if is_dbmid and not tiny else profile.learning_rate,
        weight_decay=0.0 if is_dbmid else 1e-4,
        seed=bench.seeds[0],
        checkpoint_every=max(steps // 20, 500),
        validate_every=max(steps // 100, 500),
    )
    return in_own_folder(config, role.key)


def _training_fields(bench: Bench) -> Path:
    """The folder of sharp fields: drawn once, or the published one. Raises ConfigError."""
    if not bench.profile.generated:
        if bench.published is None:
            raise ConfigError("the training needs the published data set dbmid", hint="say --data FOLDER")
        return bench.published / "dbmid"
    place = bench.out / "data" / bench.profile.name / "dbmid-fields"
    whole = place / "complete"
    if not whole.exists():
        make_folder(place)
        for i in range(SCENES):
            view = (smear, lone_cells, immunostained)[i % 3](f"{i:02d}", SEED + i)
            sharp = view.sharp()
            pixels = np.rint(255 * sharp.pixels).astype(np.uint8)
            write_image(place / f"{i:02d}.png", Image(pixels, "YXS", (0, 255)), overwrite=True)
        save_text(whole, "")
    return place
