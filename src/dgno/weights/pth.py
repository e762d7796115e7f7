"""Read a third-party `.pth` file without trusting it.

The file is a zip archive with a pickle inside. Its directory is checked before anything is unpacked; then torch's
weights-only reader, which runs no code, reads it in a process of its own with a bound on memory, and hands the tensors
over as safetensors. There is no other way of reading a pickle in this project.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dgno.errors import CheckpointMismatch, CorruptCheckpoint, UnsafeCheckpoint
from dgno.weights.store import LARGEST_FILE

MOST_TENSORS = 100_000
HEADROOM = 6 * 2**30  # bytes of address space that torch itself takes, generously
TIME_LIMIT = 600  # seconds


def read_params(path: Path) -> dict[str, Tensor]:
    """The tensors under the key `params` of a checkpoint.

    Raises CorruptCheckpoint (not a whole archive), UnsafeCheckpoint (it wants to run code, or unpacks to more than it
    is), CheckpointMismatch (other contents).
    """
    check_archive(path)
    with tempfile.TemporaryDirectory(prefix="dgno-import-") as folder:  # -P: never a module of the current folder
        handed_over = Path(folder) / "params.safetensors"
        command = [sys.executable, "-P", "-m", "dgno.weights.pth", str(path.resolve()), str(handed_over)]
        try:
            child = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
        except subprocess.TimeoutExpired as error:
            raise UnsafeCheckpoint(
                "reading the checkpoint took too long", path=path, why=f"over {TIME_LIMIT} s"
            ) from error
        if child.returncode == 0:
            return load_file(handed_over)
    said = (child.stderr.strip().splitlines() or ["it was killed"])[-1]
    if child.returncode == _MISMATCH:
        raise CheckpointMismatch(
            "not a DGNO checkpoint", path=path, why=said, hint="wanted a dict with the key 'params'"
        )
    if child.returncode == _UNSAFE:
        hint = "only tensors are read, never code; ask its author for a file that torch.load(weights_only=True) reads"
        raise UnsafeCheckpoint("the checkpoint is not only tensors", path=path, why=said, hint=hint)
    raise CorruptCheckpoint("the checkpoint cannot be read", path=path, why=said, hint="get the file again")


def check_archive(path: Path) -> None:
    """Check size and directory of the archive: whole, stored uncompressed, no names that leave a folder."""
    size = path.stat().st_size
    if size == 0 or size > LARGEST_FILE:
        raise CorruptCheckpoint("not a checkpoint", path=path, why=f"it has {size} bytes")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        hint = "wanted a zip archive as torch.save writes it since version 1.6; get the file again"
        raise CorruptCheckpoint("not a whole checkpoint", path=path, why=str(error), hint=hint) from error
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
            raise UnsafeCheckpoint(
                "the checkpoint unpacks to more than it is", path=path, why=f"entry {entry.filename!r}"
            )
        if entry.filename.startswith("/") or ".." in Path(entry.filename).parts:
            raise UnsafeCheckpoint(
                "the checkpoint names places outside itself", path=path, why=f"entry {entry.filename!r}"
            )
    if len(entries) > MOST_TENSORS or sum(entry.file_size for entry in entries) > size:
        raise UnsafeCheckpoint(
            "the checkpoint's directory does not fit its size", path=path, why=f"{len(entries)} entries"
        )


_MISMATCH, _UNSAFE = 10, 11  # exit statuses of the child


def _child(source: str, target: str) -> int:
    """Read one checkpoint and write its tensors; runs in a process of its own."""
    _limit_memory(2 * Path(source).stat().st_size)
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a hostile file makes the reader raise
        text = str(error)
        print(
            next((line for line in text.splitlines() if "Unsupported" in line or "GLOBAL" in line), text[:300]),
            file=sys.stderr,
        )
        return _UNSAFE if "weights_only" in text.lower() or "weights only" in text.lower() else 1
    params = loaded.get("params") if isinstance(loaded, dict) else None
    if not isinstance(params, dict) or not all(isinstance(k, str) for k in params):
        keys = ", ".join(map(str, list(loaded)[:5])) if isinstance(loaded, dict) else type(loaded).__name__
        print(f"it holds {keys}", file=sys.stderr)
        return _MISMATCH
    strange = [
        k for k, v in params.items() if not isinstance(v, torch.Tensor) or v.layout != torch.strided or v.is_quantized
    ]
    if strange:
        print(f"{strange[0]} is not a plain tensor", file=sys.stderr)
        return _MISMATCH
    if sum(tensor.numel() * tensor.element_size() for tensor in params.values()) > Path(source).stat().st_size:
        print("the tensors unpack to more than the file holds", file=sys.stderr)
        return _UNSAFE
    save_file({name: tensor.clone().contiguous() for name, tensor in params.items()}, target)
    return 0


def _limit_memory(extra: int) -> None:
    try:
        import resource
    except ImportError:  # not on every system
        return

    resource.setrlimit(resource.RLIMIT_AS, (HEADROOM + extra, HEADROOM + extra))


if __name__ == "__main__":
    sys.exit(_child(sys.argv[1], sys.argv[2]))
