"""What the fixture that writes pairs gives."""

from __future__ import annotations

from collections.abc import Callable

from dgno.data.records import Record

MakePairs = Callable[..., list[Record]]
