"""What is wrong with the fields of a record, in sentences: one ConfigError can then name all of it.

Every function gives a list, empty if nothing is wrong.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

MOST_THREADS = 1024  # some machines crash, others hang, where more are asked for
MOST_PROCESSES = MOST_THREADS  # each of which takes memory as well


def refuse_choice(name: str, value: object, known: Iterable[str]) -> list[str]:
    """Anything but one of the known names; the nearest of them is suggested."""
    known = tuple(known)
    if value in known:
        return []
    nearest = difflib.get_close_matches(str(value), known, n=1)
    meant = f"did you mean {nearest[0]!r}? " if nearest else ""
    return [f"{name} is {value!r}, {meant}known: {', '.join(known)}"]


def refuse_count(name: str, value: object, lowest: int, highest: float = math.inf) -> list[str]:
    """Anything but a whole number between the two."""
    if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
        return []
    most = "" if highest == math.inf else f" and at most {highest:g}"
    return [f"{name} is {value!r}, wanted a whole number of at least {lowest}{most}"]


def refuse_flag(name: str, value: object) -> list[str]:
    """Anything but True and False: a text such as "no" would count as true."""
    return [] if isinstance(value, bool) else [f"{name} is {value!r}, wanted True or False"]


def refuse_number(
    name: str, value: object, lowest: float, highest: float = math.inf, *, above_lowest: bool = False
) -> list[str]:
    """Anything but a finite number between the two; `above_lowest` leaves the lowest itself out."""
    if _is_number(value, lowest, highest) and not (above_lowest and value == lowest):
        return []
    return [f"{name} is {value!r}, wanted {_bounds(lowest, highest, above_lowest)}"]


def refuse_interval(
    name: str, value: object, lowest: float, highest: float = math.inf, *, above_lowest: bool = False
) -> list[str]:
    """Anything but two finite numbers (smallest, largest), in this order, between the bounds."""
    is_pair = isinstance(value, tuple) and len(value) == 2 and all(_is_number(v, lowest, highest) for v in value)
    if is_pair and value[0] <= value[1] and not (above_lowest and value[0] == lowest):  # type: ignore[index]
        return []
    return [f"{name} is {value!r}, wanted (smallest, largest), each {_bounds(lowest, highest, above_lowest)}"]


def _is_number(value: object, lowest: float, highest: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and lowest <= value <= highest  # type: ignore[arg-type, operator]


def _bounds(lowest: float, highest: float, above_lowest: bool) -> str:
    low = "" if lowest == -math.inf else f" {'above' if above_lowest else 'of at least'} {lowest:g}"
    high = "" if highest == math.inf else f"{' and' if low else ''} at most {highest:g}"
    return f"a finite number{low}{high}".replace("number at", "number of at")


def refuse_workers(value: object, lowest: int) -> list[str]:
    """More processes than any machine can feed, or fewer than the lowest number."""
    return refuse_count("workers", value, lowest, MOST_PROCESSES)


def refuse_threads(value: int | None) -> list[str]:
    """More threads than any machine starts, or fewer than none; None and 0 stand for all cores."""
    return refuse_count("threads", value, 0, MOST_THREADS) if value is not None else []
