"""Which files are inputs: those that are named, and the images below the folders that are.

What dgno wrote itself is no input unless it is named: results would be restored a second time, and maps and pictures of
`dgno assess` are no images of a specimen. Outputs say who made them, see `dgno.io.provenance`; those of formats without
a place for it are in the report of their folder.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dgno.errors import (
    ConfigError,
    DgnoError,
    DgnoWarning,
    MissingInput,
    OutputNotWritable,
    WouldOverwriteInput,
    printable,
)
from dgno.io.opening import MAGIC, open_input, os_error
from dgno.io.output import FORMATS
from dgno.io.provenance import read_provenance
from dgno.restoration.batch_report import REPORT, made_in

SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu")  # endings of scanners' files
FOLDER_SLIDE = ".zarr"  # ending of folders that are one input
IMAGES = (*FORMATS, *SLIDES)
UNTOLD = (".bmp",)  # where earlier versions did not write who made them
MAKING = ("restore", "assess")  # operations whose outputs are no inputs; simulated images are
AGAIN = "dgno made the input: it went through a second time"
NO_IMAGES = (
    ".txt", ".md", ".pdf", ".html", ".csv", ".tsv", ".xls", ".xlsx", ".json", ".geojson", ".xml", ".toml", ".yaml",
    ".yml", ".ini", ".log", ".db", ".py", ".ijm", ".sh", ".safetensors",
)  # fmt: skip # endings that nobody takes for those of images


@dataclass(frozen=True)
class Found:
    """The inputs, each with the folder that its output tree starts at, and what was passed over in the folders.

    own : how many images dgno wrote
    others : how many files that may be images, by ending, which dgno does not look for in folders
    is_own : did dgno write all of them? They are inputs then, for who takes them
    """

    files: tuple[tuple[Path, Path], ...]
    own: int = 0
    others: Mapping[str, int] = field(default_factory=dict)
    is_own: bool = False

    @property
    def left_out(self) -> tuple[str, ...]:
        """What was passed over, in words."""
        said = []
        if self.own:
            said.append(f"{_counted(self.own, 'image')} left out that dgno wrote; named one by one, they are taken")
        if self.others:
            said.append(f"{_counted(sum(self.others.values()), 'other file')} left out ({', '.join(self.others)})")
        return tuple(said)


def find_inputs(inputs: Sequence[Path], out: Path | None) -> Found:
    """The image files among and below `inputs`; warns of what is left out. What lies in `out` is passed over.

    Raises MissingInput, ConfigError (no images, or "-").
    """
    refuse_missing(inputs)
    walks = {given: _Walk(given, out) for given in inputs if is_tree(given)}
    own = [path for walk in walks.values() for path in walk.own if path not in inputs]
    is_own = bool(own) and len(walks) == len(inputs) and not any(walk.files for walk in walks.values())
    files: list[tuple[Path, Path]] = []
    for given in inputs:
        if (walk := walks.get(given)) is None:
            files.append((given, given.parent))
        else:
            files += [(path, given) for path in (walk.own if is_own else walk.files)]
            files += [(path, given) for path in walk.closed]  # which fail one by one, as files that may not be read do
    others = sum((walk.others for walk in walks.values()), Counter[str]())
    found = Found(tuple(files), 0 if is_own else len(own), dict(sorted(others.items())), is_own)
    for words in found.left_out:
        warnings.warn(words, DgnoWarning, stacklevel=2)
    if not files:
        hint = f"wanted files that end in {', '.join(IMAGES)}, or folders in {FOLDER_SLIDE}"
        raise ConfigError("no images", path=inputs[0], why="there is none below it", hint=hint)
    return found


def list_files(inputs: Sequence[Path], out: Path | None) -> list[tuple[Path, Path]]:
    """`find_inputs`, the files alone."""
    return list(find_inputs(inputs, out).files)


def images_below(folder: Path) -> list[Path]:
    """Every image and slide below a folder, what dgno wrote among them; warns of other files that may be images."""
    walk = _Walk(folder, None)
    for words in Found((), others=dict(sorted(walk.others.items()))).left_out:
        warnings.warn(words, DgnoWarning, stacklevel=2)
    return sorted([*walk.files, *walk.own, *walk.closed])


def is_tree(path: Path) -> bool:
    """Is it a folder of inputs, rather than one?"""
    try:
        return path.is_dir() and not path.name.lower().endswith(FOLDER_SLIDE)
    except OSError:  # a name that is too long, for instance: whoever opens it says so
        return False


def is_own_output(path: Path) -> bool:
    """Did `dgno restore` or `dgno assess` write this file, or OME-Zarr? What cannot be read is somebody else's."""
    try:
        made = read_provenance(path) or {}
    except DgnoError:
        return False
    return made.get("software", "").startswith("dgno ") and made.get("operation") in MAKING


def note_again(path: Path) -> tuple[str, ...]:
    """A note if the input is a result."""
    return (AGAIN,) if is_own_output(path) else ()


def refuse_missing(inputs: Sequence[Path]) -> None:
    """Raise MissingInput, or ConfigError for what other programs take for a pipe, and for patterns."""
    for path in inputs:
        refuse_pipe(path, "input")
        if not _is_there(path):
            if any(letter in str(path) for letter in "*?["):  # the shell found nothing, and left the pattern as it was
                raise ConfigError("no inputs", path=path, why="nothing matches this pattern", hint="correct it")
            raise MissingInput("no such file or folder", path=path)


def _is_there(path: Path) -> bool:
    """Something is, of this name; what may not be looked at counts, and whoever opens it says so."""
    try:
        path.lstat()
    except PermissionError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise os_error(error, path) from error
    return True


def refuse_pipe(path: Path, name: str) -> None:
    """Refuse "-", which is standard input or output elsewhere. Raises ConfigError."""
    if str(path) == "-":
        raise ConfigError(f"the {name} is -", why="dgno uses no pipes", hint="name a file")


def refuse_no_folder(out: Path) -> None:
    """Refuse what is there and no folder, /dev/stdout above all, as the folder of outputs. Raises OutputNotWritable."""
    try:
        kind = out.stat().st_mode
    except OSError:  # whoever makes the folder says what is wrong
        return
    if not stat.S_ISDIR(kind):
        what = "a file and no folder" if stat.S_ISREG(kind) else "a device or a pipe, not a file or a folder"
        hint = "name an image file, such as out.png, or a folder; dgno writes into no pipes"
        raise OutputNotWritable(f"the output is {what}", path=out, hint=hint)


def refuse_among_inputs(inputs: Sequence[Path], out: Path) -> None:
    """Refuse an output folder that is, or lies in, a folder of inputs and has images in it that dgno did not write:
    they would be passed over, and its own would lie among them. Raises WouldOverwriteInput."""
    if not any(is_tree(given) and _lies_in(out, given) for given in inputs):
        return
    if foreign := _Walk(out, None).files:
        why = f"{_counted(len(foreign), 'image')} in it that dgno did not write, like {printable(foreign[0])}"
        hint = "choose a folder that is new, or has only results in it"
        raise WouldOverwriteInput("the folder of the outputs is one of inputs", path=out, why=why, hint=hint)


def _lies_in(inner: Path, outer: Path) -> bool:
    inner, outer = Path(os.path.realpath(inner)), Path(os.path.realpath(outer))
    return inner.is_dir() and (inner == outer or outer in inner.parents)


class _Walk:
    """The image files and slides below a folder: those of others, dgno's own, and how many more there are by ending.
    Hidden files, links to folders, the folders that belong to slides, and what lies in `out` are passed over."""

    def __init__(self, top: Path, out: Path | None) -> None:
        self.files: list[Path] = []
        self.own: list[Path] = []
        self.others: Counter[str] = Counter()
        self.told: set[str] = set()  # outputs that reports name
        self.closed: list[Path] = []  # folders that may not be read
        for folder, below, names in os.walk(top, onerror=self._note_closed):
            below[:] = sorted(d for d in below if not d.startswith(".") and not _same(Path(folder) / d, out))
            slides = [d for d in below if not is_tree(Path(folder) / d) and not (Path(folder) / d).is_symlink()]
            below[:] = [d for d in below if is_tree(Path(folder) / d) and f"{d}.mrxs" not in names]
            if REPORT in names:
                self.told |= made_in(Path(folder))
            for name in sorted([*names, *slides]):
                if not name.startswith("."):
                    self._take(Path(folder) / name, is_folder=name in slides)

    def _note_closed(self, error: OSError) -> None:
        self.closed.append(Path(os.fsdecode(error.filename)))

    def _take(self, path: Path, *, is_folder: bool) -> None:
        ending = path.suffix.lower()
        if not is_folder and ending not in IMAGES:
            if ending not in NO_IMAGES and (ending or _is_image(path)):
                self.others[ending or "without an ending"] += 1
        elif is_own_output(path) or (ending in UNTOLD and printable(path) in self.told):
            self.own.append(path)
        else:
            self.files.append(path)


def _is_image(path: Path) -> bool:
    """Does the file begin as images do?"""
    try:
        with open_input(path) as opened:
            return opened.format in MAGIC
    except DgnoError:
        return False


def _same(a: Path, b: Path | None) -> bool:
    return b is not None and b.exists() and a.exists() and a.samefile(b)


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}" + ("" if number == 1 else "s")
