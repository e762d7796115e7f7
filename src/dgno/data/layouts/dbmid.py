"""DBMID: smears and sections in and out of focus, moved, and both; 21 planes 3.12 um apart.

doi:10.6084/m9.figshare.12272330.v1. Olympus BX43, 10x / 0.3, 0.55 um a pixel, 1920 x 1920 RGB. How the archive names
its folders is in no source that was at hand; wanted here is

SET/{train,test}/{TCT,HE,IHC,USAF}/{in-focus,defocus,motion,mixed}/FIELD_*.png

where a blurred image is named after the field it shows: FIELD itself, or FIELD, an underscore and anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dgno.checks import refuse_choice
from dgno.data.records import NO_SET, Record, entries, images_in, key_of, split_folders, subfolder
from dgno.errors import ConfigError

STEP = 3.12  # um between planes
PIXEL_SIZE = 0.55  # um
STAINS = ("TCT", "HE", "IHC", "USAF")
SHARP = ("in-focus", "in_focus", "infocus", "sharp", "GT")
BLURS = {"defocus": ("defocus", "defocused"), "motion": ("motion",), "mixed": ("mixed", "mix")}
PLANE = re.compile(r"_z(?P<plane>[+-]?\d+)(?:_|$)", re.IGNORECASE)
PUBLISHED = {  # (split, stain): images in focus, defocused, moved, both
    ("train", "TCT"): (400, 4000, 3200, 3200),
    ("train", "HE"): (200, 4000, 0, 0),
    ("train", "IHC"): (200, 4000, 0, 0),
    ("test", "TCT"): (40, 200, 320, 320),
    ("test", "HE"): (10, 200, 0, 0),
    ("test", "IHC"): (10, 200, 0, 0),
    ("test", "USAF"): (1, 20, 0, 0),
}


def read_dbmid(folder: Path, *, blur: str = "") -> list[Record]:
    """Pairs of every blurred image and its field in focus; the group is the field, `channel` the stain.

    blur : only this kind: "defocus", "motion" or "mixed"
    `meta["blur"]` is the kind of blur, and z the number of the plane where the name says _zN. Raises ConfigError.
    """
    if wrong := refuse_choice("blur", blur, ("", *BLURS)):
        raise ConfigError(wrong[0])
    records: list[Record] = []
    for split, place in split_folders(folder).items():
        for stain in STAINS:
            if found := subfolder(place, (stain,)):
                records += _stain(found, stain, split)
    if not records:
        raise ConfigError(NO_SET, path=folder, why=f"it has none of the folders {', '.join(STAINS)} in train and test")
    if wanted := [record for record in records if blur in ("", record.meta["blur"])]:
        return wanted
    raise ConfigError(NO_SET, path=folder, why=f"it has no images of the blur {blur}")


def _stain(folder: Path, stain: str, split: str) -> list[Record]:
    sharp = subfolder(folder, SHARP)
    if sharp is None:
        there = ", ".join(path.name for path in entries(folder)) or "nothing"
        raise ConfigError(NO_SET, path=folder, why=f"it holds {there}, wanted a folder in-focus")
    fields = {key_of(path, None): path for path in images_in(sharp)}
    if len(fields) < len(images_in(sharp)):
        raise ConfigError(NO_SET, path=sharp, why="two images have one name", hint="rename or remove one")
    found: list[Record] = []
    for blur, names in BLURS.items():
        if place := subfolder(folder, names):
            found += [_record(path, fields, blur, stain, split) for path in images_in(place)]
    used = {record.target for record in found}
    if idle := [path for path in fields.values() if path not in used]:
        raise ConfigError("a field has no blurred image", path=idle[0], why=f"so it is for {len(idle)}")
    return found


def _record(path: Path, fields: dict[str, Path], blur: str, stain: str, split: str) -> Record:
    stem = key_of(path, None)
    field = _field_of(stem, list(fields))
    if field is None:
        why = f"no field in focus is named like the beginning of {stem!r}"
        raise ConfigError("an image has no partner", path=path, why=why, hint="name it after its field: FIELD_*.png")
    where = "/".join(filter(None, (split, stain)))
    plane = PLANE.search(stem.removeprefix(field))
    z = int(plane["plane"]) if plane else None
    defocus = None if z is None else z * STEP
    key = f"{where}/{blur}/{path.name}"
    return Record(key, path, fields[field], f"{where}/{field}", split, stain, z, defocus, meta={"blur": blur})


def _field_of(stem: str, fields: Sequence[str]) -> str | None:
    """The longest field that `stem` is, or begins with before an underscore."""
    fitting = [field for field in fields if stem == field or stem.startswith(f"{field}_")]
    return max(fitting, key=len, default=None)
