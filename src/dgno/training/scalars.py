"""The log of a run for TensorBoard, where it is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dgno.errors import ConfigError

Write = Callable[[Mapping[str, float]], None]


@contextlib.contextmanager
def scalar_writer(folder: Path, *, wanted: bool) -> Iterator[Write]:
    """Gives a function that writes an entry of the log to `folder`/tensorboard; one that does nothing if not wanted.

    Raises ConfigError where TensorBoard is missing.
    """
    if not wanted:
        yield lambda entry: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("TensorBoard is not installed", hint="pip install 'dgno[train]'") from error
    writer = SummaryWriter(str(folder / "tensorboard"))

    def write(entry: Mapping[str, float]) -> None:
        for name, value in entry.items():
            if name != "step":
                writer.add_scalar(name, value, int(entry["step"]))

    try:
        yield write
    finally:
        writer.close()
