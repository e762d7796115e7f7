"""One pair of a data set as its folder tells it, before any pixel is read; and what all readers of folders share.

Images are paired by what their names say, never by their place in a sorted list, so a missing file is an error and
does not shift all pairs behind it.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from dgno.errors import ConfigError, MissingInput, NotAFile, UnreadableInput
from dgno.io.output import FORMATS

SPLITS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
BLURRED = ("blurred", "blur", "input", "source")
SHARP = ("sharp", "GT", "gt", "target", "clear")
NO_SET = "the folder is no set of pairs"


@dataclass(frozen=True)
class Record:
    """One pair of a data set.

    key : the name of the pair, unique in its data set
    input : the blurred image; None where it is to be simulated from the target
    target : the sharp image
    group : what must not be divided between splits: a well, slide, patient, scene or stack
    split : "train", "val" or "test" where the data set says it; else empty
    channel : its name, else empty
    z : the number of the input's plane
    defocus : um from the target's plane to the input's, negative below
    mask : the image that says which pixels count
    psf : the true mean PSF, where the pair was simulated
    labels : the image of the instances in the sharp one: 0 for none, else their number
    input_plane, target_plane : planes of a file that holds several; None: its first
    shift : (row, column) in px that moves the input onto the target
    meta : everything else, as text
    """

    key: str
    input: Path | None
    target: Path
    group: str
    split: str = ""
    channel: str = ""
    z: int | None = None
    defocus: float | None = None
    mask: Path | None = None
    input_plane: int | None = None
    target_plane: int | None = None
    shift: tuple[float, float] = (0.0, 0.0)
    meta: Mapping[str, str] = field(default_factory=dict)
    psf: Path | None = None
    labels: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the pair, each once: input, target, mask, PSF, labels."""
        named = (self.input, self.target, self.mask, self.psf, self.labels)
        return tuple(dict.fromkeys(path for path in named if path is not None))


def images_in(folder: Path) -> list[Path]:
    """The images of a folder in order, by their names; hidden and other files are passed over.

    Raises MissingInput, NotAFile, UnreadableInput and, where there is none, ConfigError.
    """
    found = [
        path
        for path in entries(folder)
        if path.suffix.lower() in FORMATS and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        hint = f"wanted files that end in {', '.join(FORMATS)}"
        raise ConfigError(NO_SET, path=folder, why="it holds no images", hint=hint)
    return found


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, in order. Raises MissingInput, NotAFile, UnreadableInput."""
    if not folder.exists():
        raise MissingInput("there is no such folder", path=folder, hint="check the name")
    if not folder.is_dir():
        raise NotAFile("a file and not a folder", path=folder, hint="give the folder that holds the data set")
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UnreadableInput("the folder cannot be read", path=folder, why=error.strerror or str(error)) from error


def subfolder(folder: Path, names: Sequence[str]) -> Path | None:
    """The one folder in `folder` that has one of these names, in any case; None without one, an error with several."""
    wanted = {name.casefold() for name in names}
    found = [path for path in entries(folder) if path.is_dir() and path.name.casefold() in wanted]
    if len(found) > 1:
        why = f"it has {' and '.join(f'{path.name}/' for path in found)}, wanted one of {', '.join(names)}"
        raise ConfigError(NO_SET, path=folder, why=why, hint="leave one of them")
    return found[0] if found else None


def wanted_subfolder(folder: Path, names: Sequence[str]) -> Path:
    """As `subfolder`; without one, ConfigError."""
    found = subfolder(folder, names)
    if found is None:
        raise ConfigError(NO_SET, path=folder, why=f"it has none of the folders {', '.join(dict.fromkeys(names))}")
    return found


def split_folders(folder: Path) -> dict[str, Path]:
    """The folders train, val and test of a data set, by the split they stand for; {"": folder} if it has none."""
    found: dict[str, Path] = {}
    for path in entries(folder):
        split = SPLITS.get(path.name.casefold())
        if split is None or not path.is_dir():
            continue
        if split in found:
            why = f"{found[split].name}/ and {path.name}/ would be one split"
            raise ConfigError(NO_SET, path=folder, why=why, hint="rename or remove one")
        found[split] = path
    return found or {"": folder}


def by_key(paths: Iterable[Path], pattern: re.Pattern[str] | None = None) -> dict[str, list[Path]]:
    """Paths by the key in their names: the stem, or what the group `key` of `pattern` (else all of it) matches.

    Raises ConfigError for a name without a match.
    """
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(key_of(path, pattern), []).append(path)
    return found


def key_of(path: Path, pattern: re.Pattern[str] | None) -> str:
    """The stem of a name, or what the group `key` of `pattern` (else all of it) matches in it.

    Names are composed first (Unicode NFC): file systems and archives differ in how they store the same letter.
    """
    name = unicodedata.normalize("NFC", path.name)
    if pattern is None:
        return PurePath(name).stem
    match = pattern.search(name)
    if match is None:
        hint = "correct the expression, or move the file away"
        raise ConfigError("the name has no key", path=path, why=f"it does not match {pattern.pattern!r}", hint=hint)
    return (match.group("key") if "key" in pattern.groupindex else match.group()) or ""


def matched(
    inputs: Mapping[str, Sequence[Path]], targets: Mapping[str, Sequence[Path]], *, per_target: int | None = 1
) -> Iterator[tuple[str, Path, Path]]:
    """(key, input, target) for the files of equal key.

    per_target : how many inputs every target has; None: one or more
    Raises ConfigError that names the first file without a partner, or the files of one key.
    """
    for ours, others in ((inputs, targets), (targets, inputs)):
        if orphans := sorted(ours.keys() - others.keys()):
            path = ours[orphans[0]][0]
            why = f"nothing has its key {orphans[0]!r}; so it is for {len(orphans)} of {len(ours)} keys"
            raise ConfigError("an image has no partner", path=path, why=why, hint="give both images of a pair one name")
    for key in sorted(targets):
        if len(targets[key]) > 1:
            raise _twins(targets[key], key, 1)
        if per_target is not None and len(inputs[key]) != per_target:
            raise _twins(inputs[key], key, per_target)
        for path in inputs[key]:
            yield key, path, targets[key][0]


def _twins(paths: Sequence[Path], key: str, wanted: int) -> ConfigError:
    why = f"{len(paths)} files have the key {key!r}, wanted {wanted}: {', '.join(path.name for path in paths[:4])}"
    return ConfigError("the images of a key are not as many as wanted", path=paths[0].parent, why=why)


def unused_files(folder: Path, records: Iterable[Record]) -> list[Path]:
    """The files below `folder` that no record names, in order; hidden ones too."""
    used = {os.path.abspath(path) for record in records for path in record.files}  # noqa: PTH100  # follows no links
    found = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if os.path.abspath(path) not in used)  # noqa: PTH100
