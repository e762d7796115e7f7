"""The fixture of a run that trains in seconds, and what keeps it at that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dgno.training import objectives
from training_run import run_folder

__all__ = ["run_folder"]


@pytest.fixture(autouse=True, scope="module")
def judged_by_few_crops() -> Iterator[None]:
    """Two of 64 px, or two batches, in place of sixteen of 128 px and eight: judging took half of a small run's time.
    The runs of tests/cli are judged in full."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"VALIDATION_CROPS": 2, "VALIDATION_TYPED": 32, "VALIDATION_SIZE": 64}.items():
            patch.setattr(objectives, name, value)
        yield
