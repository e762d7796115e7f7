"""BBBC006: 384 wells x 2 sites of U2OS cells, 2 channels, 34 planes 2 um apart; plane 16 is in focus.

Broad Bioimage Benchmark Collection, Ljosa et al. 2012, doi:10.1038/nmeth.2083. Three ways it lies on disk:
  one folder a plane, as released     BBBC006_v1_images_z_02/mcf-z-stacks-03212011_a01_s1_w1GUID.tif, its .zip unpacked
  planes in one folder, z in the name BBBC006_z_aligned__a01__s1__w1_10.png
  prepared pairs                      {train,test}/{GT,blur}/*.tif, three blurred files for each of GT
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dgno.data.records import (
    BLURRED,
    NO_SET,
    SHARP,
    Record,
    entries,
    images_in,
    split_folders,
    subfolder,
    wanted_subfolder,
)
from dgno.errors import ConfigError

STEP = 2.0  # um between planes
IN_FOCUS = 16
PLANES = (2, 6, 10)  # -28, -20 and -12 um: the inputs of the DGNO paper; 1, 5 and 13 are its unseen planes
CHANNELS = {"w1": "Hoechst", "w2": "phalloidin"}
NAME = re.compile(
    r"(?:^|_)(?P<well>[a-p](?:0[1-9]|1\d|2[0-4]))_+s(?P<site>[12])_+(?P<channel>w[12])(?P<rest>.*)\.(?:tiff?|png)$",
    re.IGNORECASE,
)
PLANE_FOLDER = re.compile(r"(?:^|_)z_?(\d\d?)$", re.IGNORECASE)
ARCHIVE = re.compile(r"_z_?(\d\d?)\.zip$", re.IGNORECASE)
UNPACK = 'unpack them there: for f in *.zip; do python -m zipfile -e "$f" "${f%.zip}"; done'
PLANE_NAME = re.compile(r"_(?:z_?)?(\d\d?)$", re.IGNORECASE)

Field = tuple[str, str, str]  # well, site, channel
Files = dict[Field, dict[int | None, list[Path]]]


def read_bbbc006(
    folder: Path, *, sharp_plane: int = IN_FOCUS, planes: Sequence[int] = PLANES, channel: str = ""
) -> list[Record]:
    """Pairs of every field and channel: the input in each of `planes`, the target in `sharp_plane`.

    channel : "w1" (nuclei) or "w2" (actin); default both
    The group is the well, so that its two sites stay together. Raises ConfigError for a name that does not parse, and
    where a field lacks a plane, has one twice, or has others than the prepared pairs should.
    """
    if channel and channel not in CHANNELS:
        raise ConfigError(f"channel is {channel!r}", why=f"known: {', '.join(CHANNELS)}")
    records: list[Record] = []
    for split, place in split_folders(folder).items():
        if subfolder(place, SHARP):
            targets = _parsed(images_in(wanted_subfolder(place, SHARP)))
            inputs = _parsed(images_in(wanted_subfolder(place, BLURRED)))
        else:
            _refuse_packed(place, [sharp_plane, *planes])
            all_planes = _planes(place)
            targets = _only(all_planes, [sharp_plane], place)
            inputs = _only(all_planes, planes, place)
        records += _pairs(inputs, targets, split, planes, sharp_plane)
    return [record for record in records if channel in ("", record.channel)]


def _planes(folder: Path) -> Files:
    """Every image of the folders that are named for a plane; without such, of the folder itself."""
    found: Files = {}
    matches = [(path, PLANE_FOLDER.search(path.name)) for path in entries(folder) if path.is_dir()]
    folders = [(path, int(match.group(1))) for path, match in matches if match]
    if not folders:
        return _parsed(images_in(folder))
    for path, z in folders:
        inner = subfolder(path, (path.name,))  # an archive that holds its folder, unpacked into one of its name
        for field, by_z in _parsed(images_in(inner or path)).items():
            for files in by_z.values():
                found.setdefault(field, {}).setdefault(z, []).extend(files)
    return found


def _refuse_packed(folder: Path, planes: Sequence[int]) -> None:
    """Raise ConfigError for archives of wanted planes that have no folder beside them."""
    there = {
        int(match.group(1)) for path in entries(folder) if path.is_dir() and (match := PLANE_FOLDER.search(path.name))
    }
    packed = [
        path
        for path in entries(folder)
        if (match := ARCHIVE.search(path.name)) and int(match.group(1)) in set(planes) - there
    ]
    if packed:
        why = ", ".join(path.name for path in packed[:6]) + (" ..." if len(packed) > 6 else "")
        raise ConfigError("planes of BBBC006 are still in their archives", path=folder, why=why, hint=UNPACK)


def _parsed(paths: Sequence[Path]) -> Files:
    """Paths by field and by the plane that the name tells, None where it tells none."""
    found: Files = {}
    for path in paths:
        match = NAME.search(path.name)
        if match is None:
            why = "wanted ..._WELL_sSITE_wCHANNEL..., as in mcf-z-stacks-03212011_a01_s1_w1.tif"
            raise ConfigError("the name is none of BBBC006", path=path, why=why, hint="move the file away")
        plane = PLANE_NAME.search(match["rest"])
        field = (match["well"].lower(), match["site"], match["channel"].lower())
        found.setdefault(field, {}).setdefault(int(plane.group(1)) if plane else None, []).append(path)
    return found


def _only(files: Files, planes: Sequence[int], folder: Path) -> Files:
    """The files in these planes. Raises ConfigError if none of them is there."""
    found = {field: {z: paths for z, paths in by_z.items() if z in planes} for field, by_z in files.items()}
    found = {field: by_z for field, by_z in found.items() if by_z}
    if not found:
        there = sorted({z for by_z in files.values() for z in by_z if z is not None})
        why = f"it has planes {', '.join(map(str, there)) or 'of no number'}, wanted {', '.join(map(str, planes))}"
        raise ConfigError(NO_SET, path=folder, why=why, hint="unpack the archives of the planes here")
    return found


def _pairs(inputs: Files, targets: Files, split: str, planes: Sequence[int], sharp_plane: int) -> list[Record]:
    for ours, others in ((inputs, targets), (targets, inputs)):
        if orphans := sorted(ours.keys() - others.keys()):
            path = next(iter(ours[orphans[0]].values()))[0]
            why = f"{_name(orphans[0])} is missing on the other side; so it is for {len(orphans)} of {len(ours)} fields"
            raise ConfigError("an image has no partner", path=path, why=why, hint="complete the data set")
    records = []
    for field in sorted(targets):
        target = _single_target(targets[field], field)
        _refuse_planes(inputs[field], field, planes)
        well, site, channel = field
        for z, paths in sorted(inputs[field].items(), key=_order):
            for i, path in enumerate(paths):
                key = "_".join([*field, f"z{z:02d}" if z is not None else f"n{i}"])
                defocus = None if z is None else (z - sharp_plane) * STEP
                meta = {"site": site, "stain": CHANNELS[channel]}
                key = f"{split}/{key}" if split else key
                records.append(Record(key, path, target, well, split, channel, z, defocus, meta=meta))
    return records


def _single_target(files: Mapping[int | None, Sequence[Path]], field: Field) -> Path:
    paths = [path for group in files.values() for path in group]
    if len(paths) != 1:
        why = f"{_name(field)} has {len(paths)}: {', '.join(path.name for path in paths[:4])}"
        raise ConfigError("a field has several sharp images", path=paths[0], why=why, hint="leave one")
    return paths[0]


def _refuse_planes(files: Mapping[int | None, Sequence[Path]], field: Field, planes: Sequence[int]) -> None:
    """Exactly one file for every plane; where names tell no planes, as many files as planes."""
    count = sum(map(len, files.values()))
    known = set(files) - {None}
    if count == len(planes) and (set(files) == {None} or known == set(planes)):
        return
    came = " ".join(f"{'?' if z is None else z}:{len(paths)}" for z, paths in sorted(files.items(), key=_order))
    why = f"{_name(field)} has planes {came} (plane:files), wanted one file of each of {', '.join(map(str, planes))}"
    path = next(iter(files.values()))[0]
    raise ConfigError("a field has not the planes it should", path=path, why=why, hint="complete or correct the set")


def _name(field: Field) -> str:
    return "_".join([field[0], f"s{field[1]}", field[2]])


def _order(item: tuple[int | None, Sequence[Path]]) -> int:
    return -1 if item[0] is None else item[0]
