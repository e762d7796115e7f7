"""A way to run the command line in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from slide_site import Site

from command_line import Cli, commands
from slide_files import tissue, write_pyramid
from tiny_weights import save_tiny


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `dgno` with these arguments."""
    return commands(capsys)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights for colours, whose blocks take some hundredths of a second."""
    return save_tiny(tmp_path_factory.mktemp("tiny"), 3, halo=16)


@pytest.fixture
def site(cli: Cli, tmp_path: Path, tiny: Path) -> Site:
    """See `Site`."""
    slide = write_pyramid(tmp_path / "slide.tif", tissue(150, 200), tile=64, compression="jpeg")
    (tmp_path / "out").mkdir()
    return Site(cli, tmp_path / "out", slide, tiny)
