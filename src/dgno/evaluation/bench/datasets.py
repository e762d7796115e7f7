"""The data sets of the tables: where each lies, how it is read, and by which protocol it is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dgno.data.controlled import write_set
from dgno.data.reading import Reading
from dgno.data.records import Record
from dgno.errors import ConfigError, MissingInput
from dgno.evaluation.bench.dbmid_standin import write_dbmid, write_second_microscope
from dgno.evaluation.bench.standins import STAND_INS
from dgno.evaluation.protocols import PROTOCOLS, Protocol
from dgno.evaluation.saving import save_text
from dgno.io.atomic import make_folder

SEED = 2026  # of what is generated, and of splits
UNSEEN = (1, 5, 13)  # planes of BBBC006 that training does not use
TRAIN, TEST = 1000, 50  # images of a generated set in full; 50 as in the paper
TINY_TRAIN, TINY_TEST = 24, 6
STAINED = ("TCT", "HE", "IHC")  # of DBMID
SECOND_MICROSCOPE = "dbmid-10x025"  # pairs of another microscope, laid out as DBMID; none are published


@dataclass(frozen=True)
class Dataset:
    """A data set as a table uses it.

    folder : its name below the folder of published data sets
    reading : how its pairs are read
    protocol : by which its images are measured
    normalization, scale : how a network's input comes to [0, 1] in use, and pairs in training
    controlled : the set of known blur that is generated, from the sharp images of `folder` if it has one
    """

    folder: str
    reading: Reading
    protocol: Protocol
    channels: int = 1
    normalization: str = "range"
    scale: str = "range"
    controlled: str = ""


_BBBC = PROTOCOLS["bbbc-pairminmax"]
_FOLDERS = Reading(layout="folder-pair")


def _bbbc(channel: str, planes: tuple[int, ...] = ()) -> Dataset:
    reading = Reading(layout="bbbc006", channel=channel, planes=planes, seed=SEED)
    return Dataset("bbbc006", reading, _BBBC, normalization="minmax", scale="minmax")


def _dbmid(stain: str, *, blur: str = "defocus", folder: str = "dbmid") -> Dataset:
    return Dataset(folder, Reading(layout="dbmid", channel=stain, blur=blur), PROTOCOLS["dgno"], 3)


GENERATED = {**STAND_INS, "dbmid": write_dbmid, SECOND_MICROSCOPE: write_second_microscope}
DATASETS = {
    "bbbc006-w1": _bbbc("w1"),
    "bbbc006-w2": _bbbc("w2"),
    "bbbc006-w1-unseen": _bbbc("w1", UNSEEN),
    "bbbc006-w2-unseen": _bbbc("w2", UNSEEN),
    "3dhistech": Dataset("3dhistech", Reading(layout="3dhistech"), PROTOCOLS["3dhistech"], 3),
    "dpdd": Dataset("dpdd", Reading(layout="dpdd"), PROTOCOLS["restormer-dp16"], 3),
    "realdof": Dataset("realdof", Reading(layout="realdof"), PROTOCOLS["restormer-defocus"], 3),
    "s1-8-10": Dataset("", _FOLDERS, PROTOCOLS["dgno"], controlled="s1-8-10"),
    "s1-0.6-13": Dataset("", _FOLDERS, PROTOCOLS["dgno"], controlled="s1-0.6-13"),
    "s2": Dataset("bbbc006", _FOLDERS, PROTOCOLS["dgno"], controlled="s2"),
    "s3": Dataset("bbbc006", _FOLDERS, PROTOCOLS["dgno"], controlled="s3"),
    **{f"dbmid-{stain}": _dbmid(stain) for stain in STAINED},
    "dbmid-stains": _dbmid(""),
    "dbmid-types": _dbmid("TCT", blur=""),
    "dbmid-types-HE": _dbmid("HE", blur=""),
    "dbmid-types-IHC": _dbmid("IHC", blur=""),
    SECOND_MICROSCOPE: _dbmid("TCT", folder=SECOND_MICROSCOPE),
}


@dataclass(frozen=True)
class Library:
    """The data sets on this machine.

    out : folder for what is generated
    tiny : whether small stand-ins are generated in place of published ones, and few images of known blur
    published : folder that holds the published ones by their names
    """

    out: Path
    tiny: bool = True
    published: Path | None = None

    def place(self, name: str) -> Path:
        """The folder of a data set, made first where it is generated. Raises ConfigError, MissingInput."""
        dataset = DATASETS[name]
        if dataset.controlled:
            return self._once(dataset.controlled, lambda place: self._write_controlled(dataset, place))
        if self.tiny:
            return self._once(dataset.folder, lambda place: GENERATED[dataset.folder](place, SEED))
        if self.published is None:
            hint = "say --data FOLDER, or --profile tiny, which generates a small one"
            raise ConfigError(f"the table needs the published data set {dataset.folder}", hint=hint)
        place = self.published / dataset.folder
        if not place.is_dir():
            hint = f"lay the published data set there, or use --profile tiny; known: {', '.join(GENERATED)}"
            raise MissingInput("the data set is not there", path=place, hint=hint)
        return place

    def test_records(self, name: str) -> list[Record]:
        """The pairs that a data set is measured on, with their files of labels where there are such."""
        place = self.place(name)
        return [_with_labels(record, place) for record in DATASETS[name].reading.records(place, split="test")]

    def _once(self, name: str, write: Callable[[Path], None]) -> Path:
        """A generated folder; its last file says that it is whole."""
        place, whole = self.out / name, self.out / name / "complete"
        if not whole.exists():
            make_folder(place)
            write(place)
            save_text(whole, "")
        return place

    def _write_controlled(self, dataset: Dataset, place: Path) -> None:
        """Training and test images of known blur; those of a folder keep its split."""
        counts = (TINY_TRAIN, TINY_TEST) if self.tiny else (TRAIN, TEST)
        for i, split in enumerate(("train", "test")):
            sources = self._sharp(split) if dataset.folder else []
            count = None if sources else counts[i]
            write_set(dataset.controlled, place / split, count=count, seed=SEED + i, sources=sources, overwrite=True)

    def _sharp(self, split: str) -> list[Path]:
        """The sharp images of BBBC006 w1 that a split has."""
        name = "bbbc006-w1"
        records = DATASETS[name].reading.records(self.place(name), split=split)
        return sorted({record.target for record in records})


def _with_labels(record: Record, place: Path) -> Record:
    """The record of a field of BBBC006 with the file of its labels, if that lies where the data set has it."""
    name = f"mcf-z-stacks-03212011_{record.group}_s{record.meta.get('site', '')}.png"
    labels = place / "BBBC006_v1_labels" / name
    return replace(record, labels=labels) if labels.is_file() else record
