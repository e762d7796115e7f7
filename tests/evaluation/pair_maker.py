"""What the fixture that writes pairs gives."""

from __future__ import annotations

from collections.abc import Callable

from dgno.data.pairs import PairFiles

MakePairs = Callable[..., list[PairFiles]]
