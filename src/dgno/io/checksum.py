"""What tells one file from every other: the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dgno.io.opening import naming


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises InputError."""
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
