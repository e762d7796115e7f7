"""Assess image files: read, find the blur, and write down where it is."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from dgno.errors import ConfigError, InputChanged, about, printable
from dgno.evaluation.assessing.findings import Finding, csv_lines, region_lines
from dgno.evaluation.assessing.options import AssessOptions
from dgno.evaluation.assessing.outputs import check_outputs, write_outputs
from dgno.evaluation.assessing.regions import Region
from dgno.evaluation.assessing.rescan import Checked, is_wanted, rescan_lines
from dgno.evaluation.assessing.scenes import Scene, Viewer, scenes_of
from dgno.evaluation.assessing.slides import SlideScene, assess_slide
from dgno.evaluation.saving import save_csv
from dgno.io.atomic import make_folder
from dgno.io.checksum import file_sha256
from dgno.io.image import read_images
from dgno.io.limits import Limits
from dgno.io.open_slide import is_slide
from dgno.io.output import check_place
from dgno.io.pixel_size import overruled
from dgno.io.provenance import software
from dgno.restoration.batch import Job, Outcome, is_single, mirrored, run_jobs
from dgno.restoration.from_weights import make_reader
from dgno.restoration.image import Progress
from dgno.restoration.workbench import RESEARCH_USE, fingerprint, pixels_of
from dgno.weights.store import FILE_SHA256, find_weights

ASSESSED = "assessed"
Looked = tuple[list[tuple[Path, Sequence[Scene]]], int, tuple[str, ...]]
TABLES = ("assessment.csv", "regions.csv", "rescan.csv")


def assess_files(
    inputs: Sequence[Path],
    out: Path | None,
    options: AssessOptions,
    *,
    progress: Progress = lambda share: None,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[list[Finding], list[Outcome]]:
    """Assess files and folders; with `out`, tables and pictures are written into that folder.

    One file that fails raises its error; of several, or in a folder, the failed ones are among the outcomes and in
    `out`/assessment.csv. Where nothing could be assessed no table is written, so that nothing stands in the way of the
    next attempt.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    if out is not None and out.suffix.lower() in (".csv", ".json", ".geojson", ".png", ".tif", ".tiff"):
        raise ConfigError("the output of assess is a folder", path=out, hint=f"for instance {out.with_suffix('')}")
    jobs = mirrored(inputs, out, _stem)
    if out is not None:
        for table in TABLES:
            check_place(out / table, inputs=[job.source for job in jobs], overwrite=options.overwrite)
    desk = Desk(options, jobs, out is not None)
    position = {job: i for i, job in enumerate(jobs)}
    outcomes: list[Outcome] = []

    def work(job: Job) -> Outcome:
        with about(job.source):
            return desk.assess(job, progress=lambda share: progress((position[job] + share) / len(jobs)))

    def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)
        report(outcome)

    try:
        if is_single(inputs):
            keep(work(jobs[0]))
        else:
            run_jobs(jobs, work, fail_fast=options.fail_fast, report=keep)
    finally:
        if out is not None and any(outcome.status == ASSESSED for outcome in outcomes):
            _write_tables(out, desk, outcomes)
    return desk.findings, outcomes


def _stem(path: Path) -> Path:
    """The name that the outputs of an input begin with."""
    return path.with_name(path.name.removesuffix(path.suffix).removesuffix(".ome"))


def _write_tables(out: Path, desk: Desk, outcomes: Sequence[Outcome]) -> None:
    failed = {one.input: one.error for one in outcomes if one.error}
    save_csv(out / TABLES[0], csv_lines(desk.findings, failed))
    save_csv(out / TABLES[1], region_lines(desk.regions))
    if is_wanted(desk.checked, failed):
        options = desk.options
        save_csv(
            out / TABLES[2], rescan_lines(desk.checked, failed, above=options.rescan_above, strength=options.strength)
        )


class Desk:
    """Assesses one file after the other, and keeps what was found.

    jobs : all of the run; no output may replace any of their inputs
    is_writing : are there to be files?
    """

    def __init__(self, options: AssessOptions, jobs: Sequence[Job], is_writing: bool) -> None:
        self.options, self.inputs, self.is_writing = options, [job.source for job in jobs], is_writing
        self.viewer = Viewer(make_reader(options.reader, options.device), options)
        self.limits = Limits(pixels=options.max_pixels)
        self.findings: list[Finding] = []
        self.checked: list[Checked] = []
        self.regions: list[tuple[str, str, Region]] = []

    def assess(self, job: Job, *, progress: Progress) -> Outcome:
        """Read and assess one file, and write its pictures, maps and polygons."""
        started, name = time.monotonic(), printable(job.source)
        look = self._look_at_slide if is_slide(job.source, limits=self.limits) else self._look_at_images
        found, pixels, notes = look(job, progress)
        for i, (stem, scenes) in enumerate(found):
            if self.is_writing and scenes:
                make_folder(stem.parent)
                facts = self.provenance(job.source)
                write_outputs(stem, scenes, facts, inputs=self.inputs, overwrite=self.options.overwrite)
            self._keep(name, f"image {i} " if len(found) > 1 else "", scenes)
        return Outcome(name, printable(job.target), ASSESSED, time.monotonic() - started, pixels / 1e6, notes)

    def _look_at_images(self, job: Job, progress: Progress) -> Looked:
        """The scenes of every image of a file, each with what the names of its outputs begin with; its pixels; and what
        reading it noted."""
        before = fingerprint(job.source)
        images = read_images(job.source, limits=self.limits)
        wanted = self.options.selection.of(images)
        stems = [
            job.target.with_name(job.target.name + (f".{i}" if len(images) > 1 else "")) for i in range(len(images))
        ]
        for stem, image, planes in zip(stems, images, wanted, strict=True):
            self._check(stem, len(scenes_of(image, planes)))
        found = [
            self.viewer.scenes(image, planes, progress=lambda share, i=i: progress((i + share) / len(images)))  # type: ignore[misc]
            for i, (image, planes) in enumerate(zip(images, wanted, strict=True))
        ]
        if fingerprint(job.source) != before:
            raise InputChanged("the input changed while it was assessed", path=job.source, hint="assess it again")
        shown = [image for image, planes in zip(images, wanted, strict=True) if planes]
        notes = tuple(dict.fromkeys(note for image in shown for note in image.notes))
        notes = notes if self.options.pixel_size is None else overruled(notes)
        return list(zip(stems, found, strict=True)), sum(map(pixels_of, images, wanted)), notes

    def _look_at_slide(self, job: Job, progress: Progress) -> Looked:
        """The same of a slide."""
        scenes, pixels, notes = assess_slide(
            job.source,
            self.viewer.reader,
            self.options,
            check=lambda count: self._check(job.target, count),
            with_pictures=self.is_writing,
            progress=progress,
        )
        return [(job.target, scenes)], pixels, notes

    def _check(self, stem: Path, scenes: int) -> None:
        """Refuse outputs that could not be written, before anything is computed."""
        if self.is_writing and scenes:
            check_outputs(stem, scenes, inputs=self.inputs, overwrite=self.options.overwrite)

    def _keep(self, name: str, which: str, scenes: Sequence[Scene]) -> None:
        for scene in scenes:
            label = (which + scene.label).strip()
            self.findings.append(scene.finding(name, label))
            if isinstance(scene, SlideScene):
                self.checked.append(scene.checked(self.findings[-1], self.options.strength))
            self.regions += [(name, label, region) for region in scene.regions]

    def provenance(self, source: Path) -> dict[str, str]:
        """What the outputs say of how they were made. No paths, no times: the same run writes the same bytes."""
        return {
            "software": software(),
            "operation": "assess",
            "input": source.name.encode("utf-8", "backslashreplace").decode(),
            "input sha256": input_sha256(source),
            f"reader {FILE_SHA256}": file_sha256(find_weights(self.options.reader)),
            "options": json.dumps(self.options.decisive(), sort_keys=True),
            "use": RESEARCH_USE,
        }


def input_sha256(path: Path) -> str:
    """Of a file; of the folder of a slide, of the names and hashes of its files."""
    if not path.is_dir():
        return file_sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = [f"{file.relative_to(path).as_posix()} {file_sha256(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
