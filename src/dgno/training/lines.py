"""In which lines of a TOML file its keys stand: the parser of the standard library does not tell.

Lines are looked at one by one. What stands within lists and inline tables takes the line where these begin; a file with
texts over several lines, which may look like keys, takes none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

NAME = r"(?:[\w-]+|\"[^\"=]*\"|'[^'=]*')"
DOTTED = rf"{NAME}(?:[ \t]*\.[ \t]*{NAME})*"
KEY = re.compile(rf"[ \t]*({DOTTED})[ \t]*=")
TABLE = re.compile(rf"[ \t]*\[[ \t]*({DOTTED})[ \t]*\][ \t]*(?:#.*)?$")
TABLES = re.compile(rf"[ \t]*\[\[[ \t]*({DOTTED})[ \t]*\]\][ \t]*(?:#.*)?$")
TEXT, COMMENT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'"), re.compile(r"#.*")
LONGEST_LINE = 1000
PATH = r"[\w.\[\]-]+"
SAID = re.compile(rf"(?:unknown key ')?({PATH})")
RECORD = re.compile(rf"({PATH}): [^:]*: ")  # what a record refuses: its path, that it does, and why


def lines_of(text: str) -> dict[str, int]:
    """Numbers of lines by path, such as "seed", "blur", "blur.sigma", "sources[1].glob"."""
    if '"""' in text or "'''" in text:
        return {}
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    depth = 0  # of lists and inline tables that go on
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):  # TOML knows no other ends of lines
        if len(line) > LONGEST_LINE:
            continue
        if depth or KEY.match(line):
            within, depth = depth > 0, max(0, depth + _opened(line))
            if within:
                continue
        if several := TABLES.match(line):
            *above, last = _parts(several[1])
            path = _joined(_path(above, counts), last)
            counts[path] = counts.get(path, -1) + 1
            table = f"{path}[{counts[path]}]"
            found.setdefault(path, number)
            found.setdefault(table, number)
        elif one := TABLE.match(line):
            table = _path(_parts(one[1]), counts)
            found.setdefault(table, number)
        elif key := KEY.match(line):
            found.setdefault(_joined(table, ".".join(_parts(key[1]))), number)
    return found


def _opened(line: str) -> int:
    """Brackets that a line opens and does not close, those of its texts and of its comment aside."""
    bare = COMMENT.sub("", TEXT.sub("", line))
    return sum(bare.count(bracket) for bracket in "[{") - sum(bare.count(bracket) for bracket in "]}")


def with_lines(problem: str, lines: Mapping[str, int]) -> str:
    """The problem, or the several that a record has, each behind the line of the key that it begins with.

    If the first is not found, it takes the line of what it stands in; others may be no keys, but what to do.
    """
    record = RECORD.match(problem)
    head = record[0] if record else ""
    table = record[1] if record and record[1] != "configuration" else ""
    first, *others = problem[len(head) :].split("; ") if record else [problem]
    found = _line(_above(_path_in(first, table)), lines) + head + first
    return "; ".join([found, *(_line([_path_in(part, table)], lines) + part for part in others)])


def _path_in(part: str, table: str) -> str:
    said = SAID.match(part)
    return _joined(table, said[1]) if said else table


def _line(paths: Sequence[str], lines: Mapping[str, int]) -> str:
    """The line of the first of the paths that is known."""
    return next((f"line {lines[path]}: " for path in paths if path in lines), "")


def _above(path: str) -> list[str]:
    """The paths that lead to one, itself and the longest first: "a[0].b", "a[0]", "a"."""
    ends = [match.start() for match in re.finditer(r"[.\[]", path)]
    return [path, *(path[:end] for end in reversed(ends))]


def _parts(name: str) -> list[str]:
    return [part.strip(" \t\"'") for part in name.split(".")]


def _joined(table: str, key: str) -> str:
    return f"{table}.{key}" if table else key


def _path(parts: list[str], counts: Mapping[str, int]) -> str:
    """The path of a table; of a list of tables the last is meant."""
    path = ""
    for part in parts:
        path = _joined(path, part)
        path += f"[{counts[path]}]" if path in counts else ""
    return path
