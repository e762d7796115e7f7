"""Folders of blurred and sharp images that belong together by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dgno.errors import ConfigError
from dgno.io.output import FORMATS

BLURRED = ("blurred", "blur", "input", "source")
SHARP = ("sharp", "GT", "gt", "target", "clear")


@dataclass(frozen=True)
class PairFiles:
    """The files of one pair; `psf` is the true mean PSF where the pair was simulated."""

    name: str
    blurred: Path
    sharp: Path
    psf: Path | None = None


def find_pairs(folder: Path) -> list[PairFiles]:
    """Pairs below `folder`: images of the same stem in a folder of blurred and in one of sharp images.

    Files that are not named like images are passed over. Raises ConfigError if a folder is missing, an image has no
    partner, or two images of a folder have one stem.
    """
    blurred, sharp = _files(_one_of(folder, BLURRED)), _files(_one_of(folder, SHARP))
    orphans = sorted(blurred.keys() ^ sharp.keys())
    if orphans or not blurred:
        why = f"{len(orphans)} files have no partner, the first is {orphans[0]!r}" if orphans else "it holds no images"
        raise ConfigError(
            "the folder is no set of pairs", path=folder, why=why, hint="give both images of a pair one name"
        )
    psfs = _files(folder / "psf") if (folder / "psf").is_dir() else {}
    return [PairFiles(name, blurred[name], sharp[name], psfs.get(name)) for name in sorted(blurred)]


def _one_of(folder: Path, names: tuple[str, ...]) -> Path:
    found = [folder / name for name in names if (folder / name).is_dir()]
    if len(found) != 1:
        came = "none of them" if not found else " and ".join(f"{f.name}/" for f in found)
        raise ConfigError(
            "the folder is no set of pairs", path=folder, why=f"it has {came}, wanted one of {', '.join(names)}"
        )
    return found[0]


def _files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith(".") or path.suffix.lower() not in FORMATS:
            continue
        if other := found.get(path.stem):
            why = f"{other.name} and {path.name} in {folder.name}/ would be one image"
            raise ConfigError("the folder is no set of pairs", path=folder.parent, why=why, hint="rename or remove one")
        found[path.stem] = path
    return found
