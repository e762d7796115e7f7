"""Weights as an ONNX file that is known to compute the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dgno.errors import ConfigError, NotExportable
from dgno.io.atomic import write_atomically
from dgno.io.output import check_place
from dgno.kernels import backends
from dgno.networks.dbmid import DBMIDNet
from dgno.networks.dgno import DGNO
from dgno.weights.store import embedded_names, find_weights, hashes, load_network, restores

if TYPE_CHECKING:
    from dgno.export.agreement import Agreement

EXTRA = "pip install 'dgno[onnx]'"


@dataclass(frozen=True)
class Exported:
    """What was written, and how it compares with PyTorch.

    size : height and width in px; None: any
    seconds : of one image on one thread, by way of computing; empty if it was not measured
    """

    path: Path
    bytes: int
    opset: int
    size: tuple[int, int] | None
    agreement: Agreement
    seconds: dict[str, float]

    @property
    def slowness(self) -> float | None:
        """onnxruntime's time in units of PyTorch's."""
        return self.seconds["onnxruntime"] / self.seconds["pytorch"] if self.seconds else None


def export_onnx(
    weights: str | Path,
    path: Path,
    *,
    size: tuple[int, int] | None = None,
    opset: int | None = None,
    overwrite: bool = False,
    is_timed: bool = True,
) -> Exported:
    """Write weights, by name or path, as an ONNX network of images in [0, 1]; the file stands there only if onnxruntime
    gives what PyTorch's references give.

    size : height and width in px that images must have; None: any
    opset : version of the ONNX operators; by default `model.OPSET`
    Raises ConfigError (no onnx; size, opset), the errors of `check_place` and of `load_network`, NotExportable.
    """
    try:
        from dgno.export import agreement, model
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("onnx", "onnxruntime"):
            raise
        raise ConfigError(f"the package {error.name} is missing", hint=f"install it: {EXTRA}") from error
    form = model.Form(size, model.OPSET if opset is None else opset)
    source = find_weights(weights)
    check_place(path, inputs=[source], overwrite=overwrite)
    network, card = load_network(source)
    if not isinstance(network, DGNO | DBMIDNet):
        hint = f"give weights that restore: {', '.join(name for name in embedded_names() if restores(name))}"
        raise NotExportable("weights that tell the blur are not exported", path=source, hint=hint)
    facts = model.describe(card, source.stem, hashes(source), form)
    data = model.make_model(network, form, facts).SerializeToString(deterministic=True)
    agreed: list[Agreement] = []

    def write(file: BinaryIO) -> None:
        file.write(data)

    def check(written: Path) -> None:
        with backends.without_compiled():
            agreed.append(agreement.compared(agreement.open_session(written), network, form, network.channels))

    write_atomically(path, write, check)
    seconds = agreement.timed(agreement.open_session(path), network, form, network.channels) if is_timed else {}
    return Exported(path, len(data), form.opset, size, agreed[0], seconds)
