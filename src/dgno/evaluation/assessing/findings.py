"""What an assessment says of an image, in one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from dgno.evaluation.assessing.regions import Region
from dgno.restoration.assessment import Assessment

NO_TISSUE = "no tissue"


@dataclass(frozen=True)
class Finding:
    """How one scene of a file is blurred: an image, a plane of a stack, or a moment of a time series.

    type, in_focus : of the tissue as a whole; "no tissue" and None without any, or blank images would count as sharp
    scene : its place in the file, such as "z 3"; empty if there is one only
    confidence : probability of the type, for the tissue as a whole
    tissue : share of the squares that are tissue
    blurred, unsure : shares of the tissue that are of a type of blur, and that were too unsure to be
    in_focus_share, defocus_share, motion_share, mixed_share : of the tissue
    strength : px, median over the blurred squares; 0 without any
    strength_um : the same in um; None if the pixel size is unknown
    defocus : um from focus, median over the squares out of focus; None if optics are unknown
    """

    input: str
    scene: str
    type: str
    in_focus: bool | None
    confidence: float
    tissue: float
    blurred: float
    unsure: float
    in_focus_share: float
    defocus_share: float
    motion_share: float
    mixed_share: float
    strength: float
    strength_um: float | None
    defocus: float | None


def find(
    name: str, scene: str, assessment: Assessment, *, defocus: np.ndarray | None, pixel_size: float | None
) -> Finding:
    """The line of one scene.

    defocus : um, (rows, columns)
    pixel_size : um
    """
    tissue, shares = int(assessment.tissue.sum()), list(assessment.shares.values())
    deep = None if defocus is None else defocus[assessment.sigma > 0]
    return Finding(
        input=name,
        scene=scene,
        type=assessment.type if tissue else NO_TISSUE,
        in_focus=assessment.in_focus if tissue else None,
        confidence=assessment.confidence,
        tissue=tissue / assessment.types.size,
        blurred=sum(shares[1:]),
        unsure=float(assessment.abstained.sum()) / max(tissue, 1),
        in_focus_share=shares[0],
        defocus_share=shares[1],
        motion_share=shares[2],
        mixed_share=shares[3],
        strength=assessment.median_strength,
        strength_um=None if pixel_size is None else assessment.median_strength * pixel_size,
        defocus=None if deep is None else (float(np.median(deep)) if deep.size else 0.0),
    )


TABLE = ("image", "type", "confidence", "tissue", "blurred", "strength px", "strength um", "defocus um")
REGIONS = ("input", "scene", "type", "left", "top", "right", "bottom", "area", "strength", "defocus", "confidence")


def table(findings: Sequence[Finding]) -> list[list[object]]:
    """The lines for a terminal, below TABLE."""
    return [
        [
            f"{found.input} {found.scene}".strip(),
            found.type,
            round(found.confidence, 2) if found.tissue else None,
            f"{100 * found.tissue:.0f}%",
            f"{100 * found.blurred:.0f}%",
            round(found.strength, 2) if found.blurred else None,
            round(found.strength_um, 2) if found.blurred and found.strength_um is not None else None,
            None if found.defocus is None else round(found.defocus, 2),
        ]
        for found in findings
    ]


def csv_lines(findings: Iterable[Finding], failed: Mapping[str, Mapping[str, object]]) -> list[list[object]]:
    """The lines of assessment.csv, the header first.

    failed : errors by input, with their code, message and hint
    """
    names = [field.name for field in fields(Finding)]
    lines = [[*(plain(getattr(found, name)) for name in names), "", ""] for found in findings]
    lines += [[name, *[""] * (len(names) - 1), error["code"], told(error)] for name, error in failed.items()]
    return [[*names, "error", "message"], *lines]


def told(error: Mapping[str, object]) -> str:
    """What an error, as of `DgnoError.as_json`, says and advises."""
    return "; ".join(str(error[part]) for part in ("message", "hint") if error[part])


def region_lines(regions: Iterable[tuple[str, str, Region]]) -> list[list[object]]:
    """The lines of regions.csv, the header first; regions with their input and scene."""
    lines: list[list[object]] = [list(REGIONS)]
    for name, scene, region in regions:
        x, y = zip(*region.rings[0], strict=True)
        box = [min(x), min(y), max(x), max(y)]
        values = [region.area, region.strength, region.defocus, region.confidence]
        lines.append([name, scene, region.type, *box, *map(plain, values)])
    return lines


def plain(value: object) -> object:
    """Numbers with as many digits as mean anything; nothing for None."""
    return "" if value is None else (f"{value:.6g}" if isinstance(value, float) else value)
