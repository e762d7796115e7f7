"""What tells one file from every other: the SHA-256 of its bytes; of a large one, of samples of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dgno.io.opening import naming


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises InputError."""
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


LARGE = 2**30  # bytes; of larger slides samples are read
HEAD, SAMPLE, SAMPLES = 2**20, 2**16, 64


def slide_digest(path: Path) -> tuple[str, str]:
    """What the digest of a slide is of, "input sha256" or "input sampled sha256", and the digest. Raises InputError.

    Of a file up to LARGE bytes it is the SHA-256; of a larger one that of its size, head, tail and SAMPLES pieces at
    equal steps; of a folder that of the names and sizes of its files, and of what those up to SAMPLE bytes hold.
    """
    if path.is_dir():
        return "input sampled sha256", _of_folder(path)
    with naming(path), path.open("rb") as file:
        size = path.stat().st_size
        if size <= LARGE:
            return "input sha256", hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(str(size).encode())
        steps = [HEAD + i * (size - 2 * HEAD) // SAMPLES for i in range(SAMPLES)]
        for start, count in ((0, HEAD), *((step, SAMPLE) for step in steps), (size - HEAD, HEAD)):
            file.seek(start)
            digest.update(file.read(count))
    return "input sampled sha256", digest.hexdigest()


def _of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    with naming(folder):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            size = path.stat().st_size
            digest.update(f"{path.relative_to(folder)}|{size}|".encode("utf-8", "surrogateescape"))
            if size <= SAMPLE:
                digest.update(path.read_bytes())
    return digest.hexdigest()
