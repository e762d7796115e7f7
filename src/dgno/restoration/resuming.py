"""Is the output that stands there already of this run?"""

from __future__ import annotations

from pathlib import Path

from dgno.errors import ResumeError
from dgno.io.provenance import differences, read_provenance


def refuse_another_run(target: Path, provenance: dict[str, str]) -> None:
    """Raise ResumeError unless the output was made from the same input, weights and options."""
    found = read_provenance(target) or {}
    differing = differences(found, provenance)
    if differing:
        why = f"it differs in {', '.join(differing)}" if found else "it was not written by dgno"
        hint = "say --overwrite instead of --resume, or choose another output"
        raise ResumeError("the output that exists is not of this run", path=target, why=why, hint=hint)
