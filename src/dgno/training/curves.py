"""How a run went, as a picture: the loss of every step, smoothed, and what the validation crops scored."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dgno.io.atomic import write_bytes

SMOOTHED = 50  # windows that the curve of the loss is cut into, at most


def draw_curves(log: Path, picture: Path) -> None:
    """Draw the log of a run (`log.jsonl`) as a PNG. Raises OutputError."""
    from matplotlib.figure import Figure

    entries = [json.loads(line) for line in log.read_text().splitlines()]
    figure = Figure(figsize=(9, 3.4), layout="tight")
    left, right = figure.subplots(1, 2)
    steps = [entry["step"] for entry in entries]
    losses = [entry["loss"] for entry in entries]
    left.plot(steps, losses, color="0.8", linewidth=0.6)
    left.plot(*smoothed(steps, losses), color="C0")
    left.set(xlabel="step", ylabel="loss", yscale="log")
    for key, style in (("psnr_restored", "C0.-"), ("psnr_blurred", "k:"), ("accuracy", "C0.-")):
        if validated := [entry for entry in entries if key in entry]:
            scores = [entry[key] for entry in validated]
            right.plot([entry["step"] for entry in validated], scores, style, label=key.removeprefix("psnr_"))
    what = "share told right" if any("accuracy" in entry for entry in entries) else "PSNR, dB"
    right.set(xlabel="step", ylabel=f"validation crops: {what}")
    if right.has_data():
        right.legend(frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    write_bytes(picture, drawn.getvalue())


def smoothed(steps: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Medians of consecutive windows: one wild step does not bend the curve."""
    parts = np.array_split(np.arange(len(steps)), min(SMOOTHED, len(steps)) or 1)
    kept = [part for part in parts if len(part)]
    return [float(np.mean(np.take(steps, p))) for p in kept], [float(np.median(np.take(values, p))) for p in kept]
