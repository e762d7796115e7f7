"""What a slide was found to be, what was done to it, and how well its tiles fit: for machines, and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dgno.optics.blur_types import BLUR_TYPES, DEFOCUS
from dgno.restoration.account import Account, Blur
from dgno.restoration.assessment import BLURRED
from dgno.restoration.image import cut_in_words
from dgno.restoration.journal import Journal
from dgno.restoration.nonfinite import Filled
from dgno.restoration.options import IMAGE, OFF
from dgno.restoration.slide import RestoredSlide, read_block, restore_block
from dgno.restoration.slide_one_type import OneType
from dgno.restoration.slide_seams import TileDelta, border_count, seam_index, shifted_block, tile_delta

if TYPE_CHECKING:
    from dgno.restoration.slide_run import SlideRun

STEEP = 1.05  # seam index from which borders show
ENOUGH = 16  # borders, of fewer the index is left to chance
LARGEST_RMS, LARGEST_PERCENTILE = 2e-3, 1e-2  # of the value range: tile deltas up to which nothing shows


def report_of(run: SlideRun, journal: Journal, result: RestoredSlide, account: Account) -> dict[str, Any]:
    """All that is known after a slide was written."""
    facts, tiling = run.slide.facts, run.tiling
    saturated = result.saturated + sum(int(one.facts["saturated"]) for one in journal.entries.values())
    filled = Filled(result.filled, run.options.nonfinite, facts.value_range[0])  # what is read below was read before
    delta = _delta(run, journal, result)
    seam = seam_index(_before(run), result.read, run.plan, journal.__contains__)  # NaN where a pixel is
    return {
        "shape": list(facts.shape),
        "planes": facts.plane_count,
        "restored_planes": sorted(run.planes),
        "format": run.slide.format,
        "reader": run.slide.reader,
        **account.facts,
        "blocks": len(run.plan),
        "blocks_restored": len(journal.entries),
        "tile": tiling["tile_size"],
        "overlap": tiling["overlap"],
        "seam_index": seam if seam is not None and math.isfinite(seam) else None,
        "borders": border_count(run.plan, journal.__contains__),
        "tile_delta": asdict(delta) if delta is not None and math.isfinite(delta.rms) else None,
        "saturated": saturated,
        "saturated_at": list(facts.ends),
        **({"nonfinite": asdict(filled)} if filled.count else {}),
        "values": len(run.planes) * facts.shape[0] * facts.shape[1] * facts.samples,
        "bad_tiles": [asdict(tile) for tile in run.slide.bad_tiles],
        "memory": list(run.steps),
    }


def in_words(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What of it a user wants to read."""
    words = [f"{facts['blocks_restored']:,} of {facts['blocks']:,} tiles restored"]
    if "blurred" in facts:
        parts = ", ".join(f"{name} {100 * share:.3g} %" for name, share in facts["blurred"].items() if share)
        words.append(f"tissue {100 * facts['tissue']:.3g} % of the slide, of it blurred: {parts or 'nothing'}")
    if seams_show(facts):
        words.append("borders of tiles may show: see seam_index and tile_delta in the report")
    if facts["saturated"] and "values" in facts:  # not in reports of older versions
        words.append(cut_in_words(facts["saturated"], facts["values"], facts["saturated_at"]))
    if "nonfinite" in facts:
        words.append(Filled(**facts["nonfinite"]).in_words())
    if bad := facts["bad_tiles"]:
        first = bad[0]
        place = f"rows {first['rows'][0]} to {first['rows'][1] - 1}, columns {first['columns'][0]} to "
        what = "1 tile could not be read," if len(bad) == 1 else f"{len(bad)} tiles could not be read, the first"
        words.append(f"{what} at {place}{first['columns'][1] - 1}")
    return (*words, *facts["memory"])


def seams_show(facts: Mapping[str, Any]) -> bool:
    """Do the two measures of seams say that tiles can be seen?"""
    delta, index = facts["tile_delta"], facts["seam_index"]
    if delta is not None and (delta["rms"] > LARGEST_RMS or delta["percentile"] > LARGEST_PERCENTILE):
        return True
    return index is not None and facts["borders"] >= ENOUGH and index > STEEP


def account_of(run: SlideRun) -> Account:
    """By which weights, on which scale, and to how strong a blur it was done."""
    account, bench, survey = Account(run.options, run.route), run.bench, run.survey
    for plane in survey.planes.values() if run.is_routed else ():
        counted = account.blur.squares + plane.squares[0] * plane.squares[1]
        for rows, columns in plane.windows():
            account.blur.add(plane.assessment(rows, columns))
        account.blur.squares = counted  # with those that hold no tissue
    used = _types(run, account.blur)
    normalizers = {bench.remedy_of(run.sample, name).normalize for name in used}
    affines = [survey.affine(channel, one) for channel in sorted(survey.samples) for one in normalizers]
    account.treated({name: bench.names_of(run.sample, name) for name in used}, normalizers, affines)
    return account


def _types(run: SlideRun, blur: Blur) -> list[str]:
    """The types of blur that something was done about."""
    if run.route == OFF:
        return [DEFOCUS]
    if run.route == IMAGE:
        planes = run.survey.planes.values()
        kinds = {OneType.of(plane, is_bright=run.survey.is_bright).kind for plane in planes}
        return [name for name in BLURRED if BLUR_TYPES.index(name) in kinds]
    return [name for name, share in blur.shares.items() if share]


def _before(run: SlideRun) -> Any:  # Any: a `Reading` of the slide as it was
    return lambda rows, columns, plane: run.slide.read(rows, columns, plane=plane)


def _delta(run: SlideRun, journal: Journal, result: RestoredSlide) -> TileDelta | None:
    """How much a tile shifted by half would differ; None where no four restored tiles meet."""
    tiling = {name: run.tiling[name] for name in ("tile_size", "overlap", "multiple")}
    block = shifted_block(run.plan, journal.__contains__, **tiling)
    if block is None:
        return None
    window = (block.tile.rows.write, block.tile.columns.write)
    again = restore_block(run.slide, run.work, block, read_block(run.slide, block)).pixels
    if run.plan.is_blended:
        again = again + run.slide.read(*window, plane=block.plane)
    return tile_delta(result.read(*window, block.plane), again, run.slide.facts.value_range)
