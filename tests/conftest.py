"""What all tests share: shape annotations are checked while they run, and where the shared data lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("dgno", "typechecker.checked")
os.environ.setdefault("TRITON_INTERPRET", "1")  # its kernels run on the CPU; Triton reads it when it is imported

import torch  # noqa: E402 - after the hook

torch.set_num_threads(1)  # many small tensors: more threads wait for each other more than they work


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of shared images: the variable DGNO_SHARED, or `shared/data` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ["DGNO_SHARED"]) / "data" if "DGNO_SHARED" in os.environ else beside
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder} is missing and DGNO_SHARED does not name another place")
    return folder
