"""Is the output that stands there already of this run?"""

from __future__ import annotations

from pathlib import Path

from dgno.errors import InputError, ResumeError
from dgno.io.provenance import differences, read_provenance


def refuse_another_run(target: Path, provenance: dict[str, str]) -> None:
    """Raise ResumeError unless the output was made from the same input, weights and options, and can be read."""
    try:
        found = read_provenance(target) or {}
    except InputError as error:  # it would send the user to the source of the input
        hint = "say --overwrite instead of --resume to make it anew"
        raise ResumeError("the output that exists is damaged", path=target, why=error.what, hint=hint) from error
    differing = differences(found, provenance)
    if differing:
        why = f"it differs in {', '.join(differing)}" if found else "it was not written by dgno"
        hint = "say --overwrite instead of --resume, or choose another output"
        raise ResumeError("the output that exists is not of this run", path=target, why=why, hint=hint)
