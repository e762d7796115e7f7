"""Labels of instances that stand beside the pairs of a data set: one whole number a pixel, 0 for none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from dgno.data.records import Record, by_key, images_in
from dgno.data.registration import inside
from dgno.errors import ConfigError
from dgno.evaluation.downstream.average_precision import Labels
from dgno.io.image import read_image

HINT = "labels lie in labels/ beside the pairs, in the manifest's column labels, or in --labels FOLDER"


def with_labels(records: Sequence[Record], folder: Path | None = None) -> list[Record]:
    """The records, each with the file of its labels.

    folder : where they are, instead of what the records say: a file has the stem of the sharp image, or what that has
        before an underscore (a01_s1.png for a01_s1_w1.tif)
    Raises ConfigError if labels are missing, or as `read_labels` does if some are not of their sharp image's size.
    """
    files = {} if folder is None else by_key(images_in(folder))
    found = [record if folder is None else replace(record, labels=_of(record, files)) for record in records]
    missing = [record.target for record in found if record.labels is None]
    if missing:
        why = f"so it is for {len(missing)} of {len(found)} pairs"
        raise ConfigError("a sharp image has no labels", path=missing[0], why=why, hint=HINT)
    for record in found:
        read_labels(record)
    return found


def _of(record: Record, files: Mapping[str, Sequence[Path]]) -> Path | None:
    """The file of the longest name that fits."""
    parts = record.target.stem.split("_")
    for n in range(len(parts), 0, -1):
        fitting = files.get("_".join(parts[:n]), ())
        if len(fitting) > 1:
            why = f"{fitting[0].name} and {fitting[1].name}"
            raise ConfigError("an image has labels twice", path=record.target, why=why, hint="remove one")
        if fitting:
            return fitting[0]
    return None


def read_labels(record: Record) -> Labels:
    """The labels of a record, cut as `evaluation.pairs` cuts a pair that is registered.

    Raises ConfigError for anything but one whole number a pixel, another size than the sharp image's, and for a mask
    of 0 and one value that holds instances together; and what reading an image raises.
    """
    assert record.labels is not None
    image = read_image(record.labels)
    if image.plane_count != 1 or image.samples != 1 or image.pixels.dtype.kind not in "ui":
        why = f"{image.pixels.dtype} of shape {image.pixels.shape}"
        raise ConfigError("labels are one whole number a pixel", path=record.labels, why=why)
    labels = next(image.planes())[..., 0].astype(np.int64)
    height, width = wanted = read_image(record.target).shape_without_samples[-2:]
    if labels.shape != wanted:
        why = f"{labels.shape} against {wanted}"
        raise ConfigError("the labels have another size than the sharp image", path=record.labels, why=why)
    if set(np.unique(labels)) <= {0, 255} and ndimage.label(labels)[1] > 1:
        hint = "give every instance a number of its own"
        raise ConfigError("the labels are a mask: 0 and 255", path=record.labels, hint=hint)
    rows, columns = inside((height, width), record.shift)
    return labels[rows, columns]
