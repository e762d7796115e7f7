"""Run-length coding of BMP palettes (BI_RLE8 and BI_RLE4 in `BITMAPINFOHEADER` of the Windows documentation)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt8

from dgno.errors import TruncatedInput, UnreadableInput

END_OF_LINE, END_OF_IMAGE, MOVE = 0, 1, 2


def decoded_runs(data: bytes, width: int, height: int, bits: int) -> tuple[UInt8[np.ndarray, "h w"], int]:
    """Palette indices of 8 or 4 bits, first row of the file first, and how many pixels the data leave out (index 0).

    Data that end early raise TruncatedInput; runs beyond the end of a row or of the image, UnreadableInput.
    """
    indices, is_set = np.zeros((height, width), np.uint8), np.zeros((height, width), bool)
    place = row = column = 0
    while True:
        if place + 2 > len(data):
            raise TruncatedInput("the run-length data of the BMP file end too early")
        count, value = data[place], data[place + 1]
        place += 2
        if count == 0 and value == END_OF_IMAGE:
            break
        if count == 0 and value == END_OF_LINE:
            row, column = row + 1, 0
        elif count == 0 and value == MOVE:
            column, row, place = column + _at(data, place), row + _at(data, place + 1), place + 2
        else:
            run, place = _literal(data, place, value, bits) if count == 0 else (_repeated(value, count, bits), place)
            if row >= height or column + len(run) > width:
                raise UnreadableInput(f"a run of {len(run)} px at row {row}, column {column} leaves the BMP image")
            indices[row, column : column + len(run)] = run
            is_set[row, column : column + len(run)] = True
            column += len(run)
    return indices, int((~is_set).sum())


def _at(data: bytes, place: int) -> int:
    return data[place] if place < len(data) else 0


def _repeated(value: int, count: int, bits: int) -> Shaped[np.ndarray, " n"]:
    return np.resize([value >> 4, value & 15], count) if bits == 4 else np.full(count, value)


def _literal(data: bytes, place: int, count: int, bits: int) -> tuple[Shaped[np.ndarray, " n"], int]:
    """`count` indices as they are; their bytes are padded to an even number."""
    length = (count * bits + 7) // 8
    run = np.frombuffer(data[place : place + length], np.uint8)
    if len(run) < length:
        raise TruncatedInput("the run-length data of the BMP file end too early")
    run = np.stack([run >> 4, run & 15], axis=1).ravel()[:count] if bits == 4 else run
    return run, place + length + length % 2
