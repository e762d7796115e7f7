"""Restore image files: read, restore, write, and say in the output how it was made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dgno.errors import about
from dgno.restoration.batch import Job, Outcome, is_single, plan_jobs, refuse_repetition, run_jobs
from dgno.restoration.batch_report import prepare_folders, write_report
from dgno.restoration.image import Progress
from dgno.restoration.inputs import find_inputs, refuse_pipe
from dgno.restoration.options import RestoreOptions
from dgno.restoration.workbench import Workbench


@dataclass(frozen=True)
class Folder:
    """Where the outputs of several inputs go, and what was no input, in words."""

    out: Path
    left_out: tuple[str, ...]


def restore_files(
    inputs: Sequence[Path],
    out: Path,
    options: RestoreOptions,
    *,
    is_folder: bool = False,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress = lambda share: None,
    size: Callable[[float], None] = lambda megapixels: None,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Restore files and folders.

    One file that fails raises its error; of several, or in a folder, the failed ones are among the outcomes and in
    `out`/report.json.

    is_folder : is `out` a folder, even if it is named like an image and not there yet?
    scheduler, workers : the address of a Dask scheduler, or how many worker processes to start on this machine; if
        neither is given, all is done in this process
    size : told how many megapixels there were in all, if every file were like the slide in hand
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    refuse_pipe(out, "output")
    found = find_inputs(inputs, out)
    jobs = plan_jobs(inputs, out, output_format=options.output_format, is_folder=is_folder, found=found)
    folder = None if is_single(inputs) else Folder(out, found.left_out)
    if folder and not (options.resume or options.overwrite):
        refuse_repetition(jobs, out)
    if scheduler or workers:
        return _on_cluster(jobs, folder, options, (scheduler, workers), progress, report)
    bench = Workbench(options, inputs=[job.source for job in jobs])
    position = {job: i for i, job in enumerate(jobs)}
    outcomes: list[Outcome] = []

    def work(job: Job) -> Outcome:
        with about(job.source):
            return bench.restore(
                job,
                progress=lambda share: progress((position[job] + share) / len(jobs)),
                size=lambda megapixels: size(len(jobs) * megapixels),
            )

    def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)
        report(outcome)

    if folder is None:
        keep(work(jobs[0]))
        return outcomes
    prepare_folders(out, jobs)
    try:
        run_jobs(jobs, work, fail_fast=options.fail_fast, report=keep)
    finally:
        write_report(out, outcomes, folder.left_out)
    return outcomes


def _on_cluster(
    jobs: Sequence[Job],
    folder: Folder | None,
    options: RestoreOptions,
    where: tuple[str | None, int | None],
    progress: Progress,
    report: Callable[[Outcome], None],
) -> list[Outcome]:
    """`restore_files` on the workers of a cluster."""
    from dgno.restoration.cluster import ClusterRun
    from dgno.restoration.cluster_client import connected

    if folder:
        prepare_folders(folder.out, jobs)
    with connected(*where) as client:
        run = ClusterRun(jobs, options, client, progress=progress, report=report)
        try:
            run.run()
        finally:
            if folder:
                write_report(folder.out, run.outcomes, folder.left_out)
    if run.failures and (folder is None or options.fail_fast):
        raise run.failures[0].as_error()
    return run.outcomes
