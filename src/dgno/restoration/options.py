"""How files are restored: one frozen record, the options of `dgno restore`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import get_args

from dgno.checks import refuse_number, refuse_threads
from dgno.errors import ConfigError
from dgno.io.limits import DEFAULT_LIMITS, Limits
from dgno.io.slide import OnBadTile
from dgno.io.tile_codecs import SlideCompression
from dgno.restoration import READER, TILE_SIZE
from dgno.restoration.batch import ENDINGS
from dgno.restoration.from_classical import METHODS, Told, refuse_told
from dgno.restoration.from_weights import DBMID, DGNO, NETWORK_METHODS, NORMALIZERS
from dgno.restoration.nonfinite import MODES
from dgno.restoration.placed import PRECISIONS, choose_device
from dgno.restoration.selection import Selection, parse_numbers

FOR_SLIDES = ("compression", "quality", "on_bad_tile")
OFF, AUTO, IMAGE = ROUTES = ("off", "auto", "image")


def chosen_route(route: str, method: str, weights: str) -> str:
    """The route, or the method's own where none is given: off, but image for dbmid. Raises ConfigError."""
    if route and route not in ROUTES:
        raise ConfigError(f"route {route!r}", hint=f"known: {', '.join(ROUTES)}")
    if method == DBMID and (weights != "auto" or route == OFF):
        came = "route off" if weights == "auto" else f"weights {weights}"
        hint = "it chooses by the blur. For one of its networks alone say --weights dl-defocus, without --method"
        raise ConfigError(f"{came} with method {DBMID}", hint=hint)
    return route or (IMAGE if method == DBMID else OFF)


@dataclass(frozen=True)
class RestoreOptions:
    """How files are restored; the options of `dgno restore`, whose help explains them."""

    weights: str = "auto"
    method: str = DGNO
    route: str = ""  # nothing: off, but image for dbmid
    normalize: str = "auto"
    tile_size: int = TILE_SIZE
    overlap: int | None = None
    device: str = "auto"
    precision: str = "fp32"
    tta: bool = False
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
    psf: str | None = None
    num_iter: int | None = None
    balance: float | None = None
    reader: str = READER
    min_confidence: float | None = None
    compression: SlideCompression = "deflate"
    quality: int = 90
    on_bad_tile: OnBadTile = "fail"
    keep_tile: bool = False
    slide_route: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if self.method not in NETWORK_METHODS:
            if self.method not in METHODS:
                raise ConfigError(f"method {self.method!r}", hint=f"known: {', '.join((*NETWORK_METHODS, *METHODS))}")
            self._refuse_what_is_for_networks()
        object.__setattr__(self, "slide_route", self.route or AUTO)
        object.__setattr__(self, "route", chosen_route(self.route, self.method, self.weights))
        refuse_told(self.method, self.told)
        if self.output_format not in ENDINGS:
            raise ConfigError(f"output format {self.output_format!r}", hint=f"known: {', '.join(ENDINGS)}")
        names = {
            "normalize": ("auto", *NORMALIZERS),
            "nonfinite": MODES,
            "precision": tuple(PRECISIONS),
            "compression": get_args(SlideCompression),
            "on_bad_tile": get_args(OnBadTile),
        }
        for name, known in names.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} {getattr(self, name)!r}", hint=f"known: {', '.join(known)}")
        self._refuse_what_is_for_routes()
        _ = self.selection  # refuses what is no list of numbers
        if problems := refuse_threads(self.threads):
            raise ConfigError("images cannot be restored so", why=problems[0])
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"quality {self.quality}", hint="give 1 to 100; it is for --compression jpeg")
        if self.pixel_size is not None and not 0.001 <= self.pixel_size <= 1000:
            raise ConfigError(f"a pixel size of {self.pixel_size} um", hint="give micrometres, between 0.001 and 1000")

    def _refuse_what_is_for_networks(self) -> None:
        if self.weights != "auto":
            raise ConfigError(f"--weights with method {self.method}", hint="leave it out: nothing was learnt")
        if self.tta:
            raise ConfigError(f"--tta with method {self.method}", hint="leave it out: it turns the image for networks")
        if self.precision != "fp32" or self.device not in ("auto", "cpu"):
            asked = f"--device {self.device} --precision {self.precision}"
            raise ConfigError(f"{asked} with method {self.method}", hint="classical methods run on the CPU, in fp32")

    def _refuse_what_is_for_routes(self) -> None:
        if self.route == OFF and (self.min_confidence is not None or self.reader != READER):
            raise ConfigError("a reader or --min-confidence with --route off", hint="say --route auto, or leave it out")
        if problems := refuse_number("min_confidence", self.min_confidence or 0.0, 0, 1):
            raise ConfigError("no blur can be told", why=problems[0])

    @property
    def told(self) -> Told:
        """What is told of the blur."""
        return Told(self.psf, self.num_iter, self.balance)

    @property
    def replicate(self) -> bool:
        """Are gray images given to weights for colours? DBMID's are for all images."""
        return self.channels == "replicate" or self.method == DBMID

    @property
    def selection(self) -> Selection:
        """Which planes of a file are restored."""
        channels = pages = None
        if self.channels not in ("all", "replicate"):
            channels = parse_numbers(self.channels, "channels", words=("all", "replicate"))
        if self.pages != "all":
            pages = parse_numbers(self.pages, "pages", words=("all",))
        return Selection(channels, pages)

    @property
    def limits(self) -> Limits:
        """How large an input may be."""
        return Limits(pixels=self.max_pixels)

    @property
    def is_tile_fixed(self) -> bool:
        """Did the user choose the size of the tiles? It is not changed then, even if memory runs out."""
        return self.keep_tile or self.tile_size != TILE_SIZE

    def decisive_for_slides(self, route: str) -> dict[str, object]:
        """`decisive` for the output of a slide, which has options of its own, restored by that route."""
        own = {name: getattr(self, name) for name in (*FOR_SLIDES, "device", "max_memory")}
        return self.decisive() | own | {"route": route}

    def decisive(self) -> dict[str, object]:
        """The options that decide an output, but for weights, reader and PSF, which their hashes stand for.

        The device is the one that is taken: "auto" and its name are the same run. How much memory there was decides on
        tiles alone, which agree.
        """
        harmless = {"threads", "resume", "overwrite", "fail_fast", "max_pixels", "seed", "allow_labels", "keep_tile"}
        harmless |= {"weights", "reader", "slide_route", "max_memory", *FOR_SLIDES}
        maybe = ("num_iter", "balance", "min_confidence")
        unsaid = {"psf", *(name for name in maybe if getattr(self, name) is None)}
        taken = {"device": choose_device(self.device).type}
        return {key: value for key, value in asdict(self).items() if key not in harmless | unsaid} | taken
