"""Pairs in folders: one of blurred, one of sharp images, joined by name; 3DHistech and RealDOF lie so.

SET/blur/NAME.png, SET/sharp/NAME.png, or the same below SET/train, SET/val and SET/test. 3DHistech: Geng et al. 2022,
github.com/ShenghuaCheng/Cytopathology-image-refocusing. RealDOF: Lee et al. 2021, doi:10.1109/CVPR46437.2021.00207.
"""

from __future__ import annotations

import re
from pathlib import Path

from dgno.data.records import (
    BLURRED,
    NO_SET,
    SHARP,
    Record,
    by_key,
    images_in,
    key_of,
    matched,
    split_folders,
    subfolder,
    wanted_subfolder,
)
from dgno.errors import ConfigError

MASKS, PSFS = ("mask", "masks"), ("psf",)


def read_folder_pair(
    folder: Path, *, key: str | None = None, group: str | None = None, per_target: int | None = 1
) -> list[Record]:
    """Pairs of folders of blurred and sharp images, in `folder` or in its train, val and test.

    key : regular expression that finds the key in a name (its group `key`, else all it matches); default the stem
    group : the same for the group; default every sharp image is its own
    per_target : how many blurred images every sharp one has; None: one or more
    Raises ConfigError, MissingInput, NotAFile.
    """
    patterns = (_compiled(key), _compiled(group))
    records: list[Record] = []
    for split, place in split_folders(folder).items():
        blurred, sharp = wanted_subfolder(place, BLURRED), wanted_subfolder(place, SHARP)
        beside = subfolder(place, MASKS), subfolder(place, PSFS)
        records += _joined(blurred, sharp, split, patterns=patterns, per_target=per_target, beside=beside)
    return records


def pair_folders(
    blurred: Path, sharp: Path, *, key: str | None = None, group: str | None = None, per_target: int | None = 1
) -> list[Record]:
    """The same for any two folders, wherever they lie."""
    return _joined(blurred, sharp, "", patterns=(_compiled(key), _compiled(group)), per_target=per_target)


def read_histech(folder: Path, *, group: str | None = None) -> list[Record]:
    """3DHistech: RGB patches of 256 x 256 px, {train,val,test}/{sharp,blur}/*.png, the official split.

    group : regular expression for the slide in a name; the published names do not tell, so every patch is its own
    """
    if "" in split_folders(folder):
        raise ConfigError(NO_SET, path=folder, why="it has none of the folders train, val, test")
    return read_folder_pair(folder, group=group)


def read_realdof(folder: Path) -> list[Record]:
    """RealDOF: RGB scenes for testing only, {source,target}/*, every scene a group."""
    blurred, sharp = wanted_subfolder(folder, ("source",)), wanted_subfolder(folder, ("target",))
    return _joined(blurred, sharp, "test")


Patterns = tuple[re.Pattern[str] | None, re.Pattern[str] | None]


def _joined(
    blurred: Path, sharp: Path, split: str, *, patterns: Patterns = (None, None), per_target: int | None = 1,
    beside: tuple[Path | None, Path | None] = (None, None),
) -> list[Record]:  # fmt: skip
    """beside : the folders of masks and of PSFs"""
    key, group = patterns
    inputs, targets = by_key(images_in(blurred), key), by_key(images_in(sharp), key)
    if per_target == 1:
        _refuse_twins(inputs, targets)
    masks, psfs = (by_key(images_in(folder), key) if folder else {} for folder in beside)
    _refuse_twins(masks, psfs)
    records = []
    for name, image, target in matched(inputs, targets, per_target=per_target):
        unique = name if len(inputs[name]) == 1 else f"{name}/{image.stem}"
        belongs = key_of(target, group) if group else name
        where = f"{split}/{belongs}" if split and not group else belongs
        unique = f"{split}/{unique}" if split else unique
        records.append(Record(unique, image, target, where, split, mask=_only(masks, name), psf=_only(psfs, name)))
    return records


def _only(files: dict[str, list[Path]], key: str) -> Path | None:
    return files[key][0] if key in files else None


def _refuse_twins(*sides: dict[str, list[Path]]) -> None:
    """Two files of one folder that have one key; told before orphans, since it is often why there are some."""
    for side in sides:
        for paths in side.values():
            if len(paths) > 1:
                why = f"{paths[0].name} and {paths[1].name} in {paths[0].parent.name}/ would be one image"
                raise ConfigError(NO_SET, path=paths[0].parent.parent, why=why, hint="rename or remove one")


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{pattern!r} is no regular expression", why=str(error)) from error
