"""How files are restored: one frozen record, the options of `dgno restore`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from dgno.errors import ConfigError
from dgno.io.limits import DEFAULT_LIMITS
from dgno.restoration import TILE_SIZE
from dgno.restoration.batch import ENDINGS
from dgno.restoration.from_weights import NORMALIZERS
from dgno.restoration.nonfinite import MODES
from dgno.restoration.placed import PRECISIONS
from dgno.restoration.selection import Selection, parse_numbers


@dataclass(frozen=True)
class RestoreOptions:
    """How files are restored; the options of `dgno restore`, whose help explains them."""

    weights: str = "auto"
    method: str = "dgno"
    route: str = "off"
    normalize: str = "auto"
    tile_size: int = TILE_SIZE
    overlap: int | None = None
    device: str = "auto"
    precision: str = "fp32"
    threads: int | None = None
    max_memory: float | None = None
    max_pixels: int = DEFAULT_LIMITS.pixels
    resume: bool = False
    overwrite: bool = False
    output_format: str = "same"
    channels: str = "all"
    pages: str = "all"
    pixel_size: float | None = None
    nonfinite: str = "refuse"
    allow_labels: bool = False
    fail_fast: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method != "dgno":
            raise ConfigError(f"method {self.method!r}", hint="this version restores by dgno")
        if self.route != "off":
            raise ConfigError(f"route {self.route!r}", hint="this version restores whole images: --route off")
        if self.output_format not in ENDINGS:
            later = "; it comes with slides" if self.output_format in ("tiff-pyramid", "ome-zarr") else ""
            raise ConfigError(f"output format {self.output_format!r}{later}", hint=f"known: {', '.join(ENDINGS)}")
        names = {"normalize": ("auto", *NORMALIZERS), "nonfinite": MODES, "precision": tuple(PRECISIONS)}
        for name, known in names.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} {getattr(self, name)!r}", hint=f"known: {', '.join(known)}")
        _ = self.selection  # refuses what is no list of numbers
        if self.pixel_size is not None and not 0.001 <= self.pixel_size <= 1000:
            raise ConfigError(f"a pixel size of {self.pixel_size} um", hint="give micrometres, between 0.001 and 1000")

    @property
    def replicate(self) -> bool:
        return self.channels == "replicate"

    @property
    def selection(self) -> Selection:
        """Which planes of a file are restored."""
        channels = pages = None
        if self.channels not in ("all", "replicate"):
            channels = parse_numbers(self.channels, "channels", words=("all", "replicate"))
        if self.pages != "all":
            pages = parse_numbers(self.pages, "pages", words=("all",))
        return Selection(channels, pages)

    def decisive(self) -> dict[str, object]:
        """The options that decide an output, but for the weights, which their hash stands for."""
        harmless = {"threads", "resume", "overwrite", "fail_fast", "max_pixels", "weights", "seed", "allow_labels"}
        return {key: value for key, value in asdict(self).items() if key not in harmless}
