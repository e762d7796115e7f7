"""What compiled libraries are made of, as a hash: setup.py writes it into them, and `compiled.py` compares it with the
sources that lie beside them. The Python structures that mirror those of C change with the sources; a library that was
compiled from others would take lengths for addresses.

It imports nothing of dgno, so that setup.py can run it by itself.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path


def source_files(folder: Path) -> list[Path]:
    """The C sources and headers in a folder, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".c", ".h"))


@functools.cache
def fingerprint(folder: Path) -> str:
    """A hash of the names and texts of all C sources and headers in a folder; empty if there are none."""
    files, digest = source_files(folder), hashlib.sha256()
    for path in files:
        text = path.read_bytes()
        digest.update(f"{path.name} {len(text)}\n".encode() + text)
    return digest.hexdigest() if files else ""
