"""Rows of tables that no method makes."""

from __future__ import annotations

from dataclasses import replace

from dgno.arrays import Image
from dgno.data.records import Record
from dgno.evaluation.pairs import read_pair


def the_sharp_image(image: Image, record: Record) -> Image:
    """The sharp image itself, black and white its extremes: what detection finds without any blur."""
    sharp = read_pair(record).sharp
    return replace(sharp, value_range=(float(sharp.pixels.min()), float(sharp.pixels.max())))
