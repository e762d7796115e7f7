"""How files are assessed: one frozen record, the options of `dgno assess`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from dgno.checks import refuse_number, refuse_threads
from dgno.errors import ConfigError
from dgno.evaluation.assessing.rescan import Strength
from dgno.io.limits import DEFAULT_LIMITS
from dgno.optics.defocus_cone import DefocusCone
from dgno.restoration import READER, TILE_SIZE
from dgno.restoration.nonfinite import MODES
from dgno.restoration.selection import Selection, parse_numbers


@dataclass(frozen=True)
class AssessOptions:
    """How files are assessed; the options of `dgno assess`, whose help explains them."""

    reader: str = READER
    min_confidence: float = 0.0
    numerical_aperture: float | None = None
    refractive_index: float = 1.0
    pixel_size: float | None = None
    tile_size: int = TILE_SIZE
    device: str = "auto"
    threads: int | None = None
    max_pixels: int = DEFAULT_LIMITS.pixels
    channels: str = "all"
    pages: str = "all"
    nonfinite: str = "refuse"
    allow_labels: bool = False
    rescan_above: float = 0.2
    rescan_strength: str = "0"
    overwrite: bool = False
    fail_fast: bool = False

    def __post_init__(self) -> None:
        problems = refuse_number("min_confidence", self.min_confidence, 0, 1)
        problems += refuse_number("rescan_above", self.rescan_above, 0, 1) + refuse_threads(self.threads)
        if self.pixel_size is not None:
            problems += refuse_number("pixel_size", self.pixel_size, 0.001, 1000)
        if self.nonfinite not in MODES:
            problems.append(f"nonfinite is {self.nonfinite!r}, known: {', '.join(MODES)}")
        if problems:
            raise ConfigError("images cannot be assessed so", why="; ".join(problems))
        _ = self.selection, self.cone, self.strength  # refuse what is no list of numbers, no objective, no strength

    @property
    def cone(self) -> DefocusCone | None:
        """The objective's cone of light, if it is known."""
        known = self.numerical_aperture is not None
        return DefocusCone(self.numerical_aperture or 0.0, self.refractive_index) if known else None

    @property
    def strength(self) -> Strength:
        """From which strength on blur counts, where slides are chosen that should be scanned again."""
        return Strength.parse(self.rescan_strength)

    @property
    def selection(self) -> Selection:
        """Which planes of a file are assessed."""
        channels = None if self.channels == "all" else parse_numbers(self.channels, "channels", words=("all",))
        pages = None if self.pages == "all" else parse_numbers(self.pages, "pages", words=("all",))
        return Selection(channels, pages)

    def decisive(self) -> dict[str, object]:
        """The options that decide what is found, but for the reader, which its hash stands for."""
        harmless = {
            "reader",
            "threads",
            "max_pixels",
            "allow_labels",
            "overwrite",
            "fail_fast",
            "rescan_above",
            "rescan_strength",
        }
        return {key: value for key, value in asdict(self).items() if key not in harmless}
