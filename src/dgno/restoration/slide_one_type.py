"""One type of blur for a whole plane of a slide, as `Assessment.as_one` has it for images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dgno.optics.blur_types import BLUR_TYPES
from dgno.restoration.feather import Weights
from dgno.restoration.slide_summary import summarise
from dgno.restoration.slide_survey import PlaneSurvey
from dgno.restoration.tiling import Span


@dataclass(frozen=True)
class OneType:
    """A plane that is all of the type with this number in BLUR_TYPES, the empty ground included."""

    kind: int

    @classmethod
    def of(cls, plane: PlaneSurvey, *, is_bright: bool) -> OneType:
        """The likeliest type of the plane's tissue; in focus if there is none, or none is likely enough."""
        return cls(BLUR_TYPES.index(summarise([plane], is_bright=is_bright).type))

    def touches(self, wanted: int, rows: Span, columns: Span) -> bool:
        """Is it this type?"""
        return wanted == self.kind

    def weights_in(self, wanted: int, blurred: Sequence[int], rows: Span, columns: Span) -> Weights:
        """All of this type's treatment, none of the others'."""
        return np.full((rows.length, columns.length), float(wanted == self.kind), np.float32)
