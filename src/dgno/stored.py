"""What a file says beside its pixels, as far as writing it back needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Shaped


@dataclass(frozen=True)
class PlaneFacts:
    """What a file says of the planes of a stack. None, or nothing, where it does not.

    z_step : um from plane to plane of Z
    time_step : s from frame to frame
    colours : that channels are shown in, one a channel, as "RRGGBB"
    shown : the values that are shown as black and as the full colour, one pair a channel
    origin : (z, row, column) of the first pixel, in um
    """

    z_step: float | None = None
    time_step: float | None = None
    colours: tuple[str, ...] = ()
    shown: tuple[tuple[float, float], ...] = ()
    origin: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Stored:
    """How the file stored the image: what writing back needs, and the pixels do not say.

    format : "tiff", "ome-tiff", "imagej-tiff", "png", "jpeg" or "bmp"; empty for an image that was never a file
    orientation : TIFF and EXIF orientation, 1-8; the pixels are as stored, not turned
    min_is_white : the file stores white as 0; `pixels` are turned over already
    interleaved_channels : the channels are samples of one pixel in the file
    resolution : what the file says (x, y, unit as in TIFF), also where that is no pixel size
    colour_table : (3, n) look-up table of pseudo-colours, which the values pass through for display only
    description : the free text of a plain TIFF
    ome_xml, ome_image : the OME metadata of the file, and the number of the <Image> that describes this one
    imagej : the ImageJ metadata of the file
    exif : the EXIF block, starting at its byte order
    png_colour : chunks of a PNG file, by kind, that say how its values are to be seen
    planes : steps along Z and T, and how channels are shown
    display : what OME-Zarr says beside that of how it is shown, "channels" and "rdefs" of omero
    """

    format: str = ""
    orientation: int = 1
    min_is_white: bool = False
    interleaved_channels: bool = False
    resolution: tuple[float, float, int] | None = None
    colour_table: Shaped[np.ndarray, "3 n"] | None = None
    description: str = ""
    ome_xml: bytes = b""
    ome_image: int = 0
    imagej: Mapping[str, Any] = field(default_factory=dict)  # Any: ImageJ keeps text, numbers and tables there
    exif: bytes = b""
    png_colour: Mapping[bytes, bytes] = field(default_factory=dict)
    planes: PlaneFacts = field(default_factory=PlaneFacts)
    display: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON
