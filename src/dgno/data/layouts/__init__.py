"""How data sets lie on disk: one reader a layout, from a folder to a list of `Record`.

A reader goes by names and opens no image, but for z-stacks; `data.inspection` looks at the pixels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dgno.checks import refuse_choice
from dgno.data.layouts.bbbc006 import ARCHIVE, NAME, PLANE_FOLDER, read_bbbc006
from dgno.data.layouts.dbmid import PUBLISHED, STAINS, read_dbmid
from dgno.data.layouts.dpdd import read_dpdd
from dgno.data.layouts.folder_pair import pair_folders, read_folder_pair, read_histech, read_realdof
from dgno.data.layouts.manifest import is_manifest, read_manifest
from dgno.data.layouts.self_blur import read_self_blur
from dgno.data.layouts.z_stack import read_z_stack
from dgno.data.records import BLURRED, SHARP, Record, entries, split_folders, subfolder
from dgno.errors import ConfigError

__all__ = ["LAYOUTS", "Layout", "guess_layout", "pair_folders", "read_layout"]


@dataclass(frozen=True)
class Layout:
    """A way that data lie on disk.

    read : from its folder (or its manifest) to records
    samples : of every pixel: 1 gray, 3 colours; None: any
    published : how many pairs each split has where the data set is complete
    """

    read: Callable[..., list[Record]]
    samples: int | None = None
    published: Mapping[str, int] = field(default_factory=dict)

    @property
    def options(self) -> tuple[str, ...]:
        """What may be given to `read` by keyword."""
        return tuple(inspect.signature(self.read).parameters)[1:]


def _dbmid_pairs(split: str) -> int:
    return sum(sum(counts[1:]) for (which, _), counts in PUBLISHED.items() if which == split)


LAYOUTS = {
    "bbbc006": Layout(read_bbbc006, 1),
    "3dhistech": Layout(read_histech, 3, {"train": 66_976, "val": 9_088, "test": 18_909}),
    "dpdd": Layout(read_dpdd, 3, {"train": 350, "val": 74, "test": 76}),
    "realdof": Layout(read_realdof, 3, {"test": 50}),
    "dbmid": Layout(read_dbmid, 3, {"train": _dbmid_pairs("train"), "test": _dbmid_pairs("test")}),
    "folder-pair": Layout(read_folder_pair),
    "manifest": Layout(read_manifest),
    "z-stack": Layout(read_z_stack),
    "self-blur": Layout(read_self_blur),
}


def read_layout(folder: Path, name: str = "auto") -> tuple[str, list[Record]]:
    """The name of the layout, guessed if it is "auto", and the records of `folder`. Raises what the reader does."""
    if problems := refuse_choice("layout", name, ("auto", *LAYOUTS)):
        raise ConfigError(problems[0])
    chosen = guess_layout(folder) if name == "auto" else name
    return chosen, LAYOUTS[chosen].read(folder)


def guess_layout(folder: Path) -> str:
    """The layout by the names of folders and files. Z-stacks, sharp images alone, and data sets that lie like any
    others (3DHistech, RealDOF) cannot be told so. Raises ConfigError where nothing fits."""
    if folder.is_file() and (folder.suffix.lower() == ".csv" or is_manifest(folder)):
        return "manifest"
    inside = entries(folder)
    if any(path.suffix.lower() == ".csv" and is_manifest(path) for path in inside):
        return "manifest"
    names = {path.name.casefold() for path in inside if path.is_dir()}
    places = list(split_folders(folder).values())
    if all(_is_simulated(place) for place in places):
        return "folder-pair"
    if any(subfolder(place, ("DPDD", "inputC")) for place in places) or names & {"train_c", "val_c", "test_c"}:
        return "dpdd"
    if any(subfolder(place, (stain,)) for place in places for stain in STAINS):
        return "dbmid"
    if _has_wells(places) or any("bbbc006" in path.name.casefold() and ARCHIVE.search(path.name) for path in inside):
        return "bbbc006"
    if all(subfolder(place, BLURRED) and subfolder(place, SHARP) for place in places):
        return "folder-pair"
    why = f"it holds {', '.join(path.name for path in inside[:6]) or 'nothing'}"
    hint = f"name it: --layout {', '.join(LAYOUTS)}"
    raise ConfigError("the layout of the folder is not known", path=folder, why=why, hint=hint)


def _is_simulated(place: Path) -> bool:
    """Did `dgno simulate` write it? Its images keep the names of their sources, whatever these look like."""
    return all((place / name).is_dir() for name in ("blurred", "sharp", "psf")) and (place / "manifest.csv").is_file()


def _has_wells(places: list[Path]) -> bool:
    """Is the first image, of a folder, of its sharp ones or of a plane, named like one of BBBC006?"""
    planes = [path for place in places for path in entries(place) if path.is_dir() and PLANE_FOLDER.search(path.name)]
    for place in [*places, *planes]:
        files = [path for path in entries(subfolder(place, SHARP) or place) if path.is_file()]
        if files and NAME.search(files[0].name):
            return True
    return False
