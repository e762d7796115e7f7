"""One slide on its way from an input to an output, in steps: look at it, restore its blocks, write the result.

From the first block to the finished output, `.NAME.dgno-work` beside it holds what is done, so that a run that was
killed can go on. Each step is a function of the slide, the options and that folder alone: the steps may run in one
process, or each on another machine.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any  # of options that two functions share

import torch

from dgno.arrays import Image, Plane
from dgno.errors import OutOfMemory
from dgno.io.atomic import name_beside
from dgno.io.checksum import file_sha256
from dgno.io.image_slide import ImageSlide
from dgno.io.open_slide import is_slide, open_slide
from dgno.io.slide import Slide, SlideFacts
from dgno.optics.blur_types import BLUR_TYPES, DEFOCUS
from dgno.restorable import check_light
from dgno.restoration.assessment import BLURRED
from dgno.restoration.back_off import BackOff
from dgno.restoration.batch import Job
from dgno.restoration.from_weights import on_cpu
from dgno.restoration.image import Normalizer, Progress, fit_channels, tiling_of
from dgno.restoration.journal import Identity, refuse_another
from dgno.restoration.nonfinite import MASK, REFUSE
from dgno.restoration.options import IMAGE, OFF
from dgno.restoration.selection import stand_in
from dgno.restoration.slide import (
    EVERYTHING,
    Blurred,
    Restored,
    SlideWork,
    Treatment,
    read_block,
    restore_block,
)
from dgno.restoration.slide_finite import FiniteSlide
from dgno.restoration.slide_look import sample_slide, survey_slide
from dgno.restoration.slide_one_type import OneType
from dgno.restoration.slide_plan import Block, SlidePlan, needed_blocks, plan_blocks
from dgno.restoration.slide_survey import FACTS, SlideSurvey
from dgno.restoration.tiling import largest_tile
from dgno.weights.store import find_weights

if TYPE_CHECKING:
    from dgno.restoration.workbench import Workbench

WORK = ".dgno-work"
SURVEY, JOURNAL = "survey", "journal"  # folders in it
INPUT_STATE = "input state"  # key of an identity: inode, size and time of the input
AHEAD = 2  # blocks that are read while one is restored


def work_folder(target: Path) -> Path:
    """Where a run that makes `target` keeps what is done."""
    return name_beside(target, ".", WORK)


class SlideRun:
    """See above. Closed by `with`.

    job : the slide and its output
    bench : the loaded weights and the options
    route : what is restored: the default for slides is another than for images, which may be written as slides, too
    steps : what was changed to go on when memory ran out, in words
    threads : that halve and encode while the result is written
    """

    def __init__(self, job: Job, bench: Workbench) -> None:
        self.job, self.bench, self.options = job, bench, bench.options
        self.folder = work_folder(job.target)
        is_scanned = job.source.is_dir() or is_slide(job.source, limits=bench.limits)
        self.route = self.options.slide_route if is_scanned else self.options.route
        self.slide: Slide = (
            open_slide(job.source, on_bad_tile=self.options.on_bad_tile, limits=bench.limits)
            if is_scanned
            else ImageSlide(job.source, limits=bench.limits)
        )
        self.before = self.slide.fingerprint()
        self.steps: list[str] = []
        self.threads = torch.get_num_threads()

    def __enter__(self) -> SlideRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.slide.close()

    @cached_property
    def planes(self) -> frozenset[int]:
        """The numbers of the planes that are restored."""
        return self.options.selection.of([stand_in(self.slide.facts)])[0]

    @property
    def is_routed(self) -> bool:
        return self.route != OFF

    @cached_property
    def _restorers(self) -> dict[int, tuple[BackOff, Normalizer]]:
        """For each type of blur what restores it, and how values are brought to [0, 1] for that."""
        kinds = {BLUR_TYPES.index(name): name for name in BLURRED} if self.is_routed else {EVERYTHING: DEFOCUS}
        may_move = self.options.device == "auto" and torch.cuda.is_available()
        restorers: dict[int, tuple[BackOff, Normalizer]] = {}
        for kind, name in kinds.items():
            remedy = self.bench.remedy_of(self.sample, name)
            back_off = BackOff(
                remedy.restorer,
                overlap=self.options.overlap,
                fixed=self.options.is_tile_fixed,
                on_cpu=partial(on_cpu, remedy.restorer) if may_move else None,
                tell=self.steps.append,
            )
            restorers[kind] = back_off, remedy.normalize
        return restorers

    @cached_property
    def treatments(self) -> tuple[Treatment, ...]:
        """What is done to each type of blur, or to everything."""
        replicate = self.options.replicate
        return tuple(
            Treatment(
                kind,
                fit_channels(restorer, self.sample, replicate=replicate)[0],
                {channel: self.survey.affine(channel, normalize) for channel in self.survey.samples},
                self.survey.flat,
            )
            for kind, (restorer, normalize) in self._restorers.items()
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not given to the weights as it is, in words."""
        fitted = (
            fit_channels(one, self.sample, replicate=self.options.replicate) for one, _ in self._restorers.values()
        )
        return tuple(dict.fromkeys(note for _, note in fitted if note))

    @cached_property
    def tiling(self) -> dict[str, int]:
        """One grid of tiles for all restorers: the arguments of `plan_blocks`."""
        facts, options = self.slide.facts, self.options
        restorers = [one for one, _ in self._restorers.values()]
        each = [tiling_of(one, options.tile_size, options.overlap) for one in restorers]
        overlap, blend = (max(one[name] for one in each) for name in ("overlap", "blend"))
        multiple = math.lcm(*(one["multiple"] for one in each))
        size = min(one["tile_size"] for one in each)  # 0 if any restorer takes the whole at once
        hunger = max(one.bytes_per_pixel for one in restorers)
        whole = facts.shape[0] * facts.shape[1]
        if size == 0 and (whole > self.bench.limits.pixels or whole * hunger > self.bench.max_bytes):
            hint = "say --tile 1024, or choose a method that works in tiles"
            raise OutOfMemory(f"{facts.shape[1]} x {facts.shape[0]} px at once are too many", hint=hint)
        if size and self.bench.max_bytes < math.inf:
            room = {"max_bytes": self.bench.max_bytes, "bytes_per_pixel": hunger}
            size = largest_tile(size, overlap=overlap, multiple=multiple, **room)  # type: ignore[arg-type]
        return {"tile_size": size, "overlap": overlap, "blend": blend, "multiple": multiple}

    def check(self) -> None:
        """Refuse tiles that memory does not suffice for, and weights for other channels, before anything is kept."""
        _ = self.tiling, self.notes

    def look(self, progress: Progress = lambda share: None) -> SlideSurvey:
        """Where and how the slide is blurred, and its scales; looked at once in a run, and kept in its folder.

        Raises ResumeError if what is kept is of another slide, or was looked at with other options.
        """
        kept = self.folder / SURVEY
        if (kept / FACTS).exists():
            found = SlideSurvey.load(kept)
            refuse_another(found.facts, self._looked_with, kept)
            return found
        more: dict[str, Any] = {"facts": self._looked_with}
        if not self.options.allow_labels:
            more["check"] = check_light
        if self.is_routed:
            routing = self.bench.slide_routing
            found = survey_slide(
                self._looked_at,
                routing.reader,
                planes=self.planes,
                min_confidence=routing.min_confidence,
                tile_size=routing.reading_tile,
                scratch=self.folder,
                progress=progress,
                **more,
            )
        else:
            found = sample_slide(self._looked_at, self.planes, **more)
        found.save(kept)
        return SlideSurvey.load(kept)

    @cached_property
    def _looked_with(self) -> dict[str, str]:
        """What a look at the slide depends on."""
        options = json.dumps(self.options.decisive_for_slides(self.route), sort_keys=True)
        reader = {"reader": file_sha256(find_weights(self.options.reader))} if self.is_routed else {}
        return {"input state": json.dumps(self.before), "options": options, **reader}

    @property
    def _looked_at(self) -> Slide:
        """The slide, with something in place of values that are NaN or infinite if these may be there."""
        return FiniteSlide(self.slide) if self.options.nonfinite != REFUSE else self.slide

    @cached_property
    def survey(self) -> SlideSurvey:
        return self.look()

    @cached_property
    def sample(self) -> Image:
        """What the first channel is like; the same whether the slide was looked at before or not."""
        is_looked_at = (self.folder / SURVEY / FACTS).exists()
        samples = (self.survey if is_looked_at else sample_slide(self._looked_at, self.planes)).samples
        return samples[min(samples)]

    @cached_property
    def plan(self) -> SlidePlan:
        """The blocks of the slide."""
        return plan_blocks(self.slide.facts.shape, self.planes, **self.tiling)

    @cached_property
    def work(self) -> SlideWork:
        """How the blocks are restored. Looks at the slide if that was not done."""
        return SlideWork(
            self.plan,
            self.treatments,
            self._blur,
            overlap=self.tiling["overlap"],
            multiple=self.tiling["multiple"],
            nonfinite=self.options.nonfinite,
        )

    @property
    def _blur(self) -> Mapping[int, Blurred] | None:
        """Where each plane is blurred how: by region, or all of it as its likeliest type (`--route image`)."""
        planes, is_bright = self.survey.planes, self.survey.is_bright
        if self.route == IMAGE:
            return {number: OneType.of(plane, is_bright=is_bright) for number, plane in planes.items()}
        return planes if self.is_routed else None

    def needed(self) -> list[int]:
        """Numbers of the blocks that there is something to do in."""
        return needed_blocks(self.plan, lambda block: self.work.is_needed(self.slide, block))

    def compute(self, numbers: Iterable[int]) -> Iterator[tuple[Block, Restored]]:
        """Restore these blocks, in their order; the next ones are read meanwhile."""
        waiting: deque[tuple[Block, Future[Plane]]] = deque()
        rest = iter(numbers)
        with ThreadPoolExecutor(1) as reader:
            while True:
                for number in itertools.islice(rest, AHEAD - len(waiting)):
                    block = self.plan.block(number)
                    waiting.append((block, reader.submit(read_block, self.slide, block)))
                if not waiting:
                    return
                block, seen = waiting.popleft()
                yield block, restore_block(self.slide, self.work, block, seen.result())

    @property
    def sides(self) -> dict[str, int]:
        """The tiles that restorers work in within their blocks, by the type of blur: 0 until memory runs out."""
        return {str(kind): restorer.side for kind, (restorer, _) in self._restorers.items()}

    def go_on_with(self, notes: Iterable[Mapping[str, object]]) -> None:
        """Take the tiles that the run had come to before it ended."""
        for note in notes:
            sides = note.get("sides")
            for kind, side in sides.items() if isinstance(sides, dict) else ():
                self._restorers[int(kind)][0].side = int(side)

    @cached_property
    def provenance(self) -> dict[str, str]:
        """What the output says of how it was made; see `Workbench.provenance`."""
        return self.bench.slide_provenance(self.job.source, self.sample, self.route)

    @cached_property
    def identity(self) -> Identity:
        """What must be the same for a run to go on with what another has done."""
        tiling = json.dumps(self.tiling, sort_keys=True)
        return {**self.provenance, "tiling": tiling, INPUT_STATE: json.dumps(self.before)}

    @cached_property
    def facts(self) -> SlideFacts:
        """What the output is: as the input, but for a pixel size that the user knows better, and NaN that is masked."""
        facts, size = self.slide.facts, self.options.pixel_size
        if self.options.nonfinite == MASK and not math.isfinite(facts.fill):
            facts = replace(facts, fill=facts.value_range[0])
        return facts if size is None else replace(facts, pixel_size=(size, size))
