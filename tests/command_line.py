"""What running the command line in this process gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from dgno.cli.main import status_of


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # whatever the command printed
        return json.loads(self.out)


Cli = Callable[..., Result]


def commands(capsys: pytest.CaptureFixture[str]) -> Cli:
    """What runs `dgno` with some arguments in this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        status = status_of([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run
