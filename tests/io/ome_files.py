"""TIFF files whose description is OME-XML."""

from __future__ import annotations

import numpy as np
import tifffile

RNG = np.random.default_rng(0)


STACK = RNG.integers(0, 4000, (6, 9, 8), dtype=np.uint16)


OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'


IMAGE = (
    '<Image ID="Image:0" Name="cells"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="8" SizeY="9"'
    ' SizeC="{c}" SizeZ="{z}" SizeT="{t}" {more}>{inside}</Pixels></Image>'
)


def ome(inside: str = "<TiffData/>", *, c: int = 2, z: int = 3, t: int = 1, more: str = "") -> str:
    return OME.format(IMAGE.format(c=c, z=z, t=t, more=more, inside=inside))


def write_ome(path, text: str | bytes, pages: np.ndarray = STACK, **arguments) -> None:
    data = text.encode() if isinstance(text, str) else text
    tifffile.imwrite(path, pages, photometric="minisblack", description=data, metadata=None, **arguments)
