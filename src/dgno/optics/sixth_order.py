"""Aberrations of the next order after Seidel's, for lenses that those do not describe well enough.

    W6 = W060 rho^6 + W151 H rho^4 X + W240 H^2 rho^4 + W242 H^2 rho^2 X^2 + W331 H^3 rho^2 X + W333 H^3 X^3
         + W420 H^4 rho^2 + W422 H^4 X^2 + W511 H^5 X

in waves and in the coordinates of `dgno.optics.seidel`: all terms of sixth degree together in field and pupil that a
lens with an axis can have, but for the piston W600: H^i rho^j cos^k with i + j = 6, k at most i and j, and i - k even,
as turning or mirroring lens and object together changes nothing. Names as in Wyant and Creath 1992, Basic Wavefront
Aberration Theory for Optical Metrology.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from dgno.checks import refuse_number
from dgno.errors import ConfigError
from dgno.optics.diffraction import Samples
from dgno.optics.seidel import Seidel


@dataclass(frozen=True)
class SixthOrder:
    """Coefficients in waves, named by the powers of H, rho and X / rho; with those of Seidel in front."""

    seidel: Seidel = field(default_factory=Seidel)
    w060: float = 0.0
    w151: float = 0.0
    w240: float = 0.0
    w242: float = 0.0
    w331: float = 0.0
    w333: float = 0.0
    w420: float = 0.0
    w422: float = 0.0
    w511: float = 0.0

    def __post_init__(self) -> None:
        problems = [p for name, value in self._own() for p in refuse_number(name, value, -math.inf)]
        if problems:
            raise ConfigError("these are no coefficients of sixth order", why="; ".join(problems))

    def _own(self) -> list[tuple[str, float]]:
        return [(f.name, getattr(self, f.name)) for f in fields(self)[1:]]

    def waves(self, x: Samples, y: Samples, field: float) -> Samples:
        """W at pupil coordinates x (along the field direction) and y, for the field point at distance `field`."""
        total = self.seidel.waves(x, y, field)
        for name, value in self._own():
            of_field, of_pupil, of_cosine = map(int, name[1:])
            total = total + value * field**of_field * (x**2 + y**2) ** ((of_pupil - of_cosine) // 2) * x**of_cosine
        return total

    def steepest(self, field: float) -> float:
        """A bound of the slope of W over the pupil, see `Seidel.steepest`."""
        own = sum(int(name[2]) * abs(value) * field ** int(name[1]) for name, value in self._own())
        return self.seidel.steepest(field) + own
