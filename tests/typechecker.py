"""The checker of annotations while tests run: beartype, with `int` where `float` is written, as in PEP 484."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
