"""Restore image files: read, restore, write, and say in the output how it was made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from dgno.errors import about
from dgno.restoration.batch import Job, Outcome, is_single, plan_jobs, prepare_folders, run_jobs, write_report
from dgno.restoration.image import Progress
from dgno.restoration.options import RestoreOptions
from dgno.restoration.workbench import Workbench


def restore_files(
    inputs: Sequence[Path],
    out: Path,
    options: RestoreOptions,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress = lambda share: None,
    size: Callable[[float], None] = lambda megapixels: None,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Restore files and folders.

    One file that fails raises its error; of several, or in a folder, the failed ones are among the outcomes and in
    `out`/report.json.

    scheduler, workers : the address of a Dask scheduler, or how many worker processes to start on this machine; if
        neither is given, all is done in this process
    size : told how many megapixels there were in all, if every file were like the slide in hand
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    jobs = plan_jobs(inputs, out, output_format=options.output_format)
    if scheduler or workers:
        return _on_cluster(jobs, inputs, out, options, (scheduler, workers), progress, report)
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

    if is_single(inputs):
        keep(work(jobs[0]))
        return outcomes
    prepare_folders(out, jobs)
    try:
        run_jobs(jobs, work, fail_fast=options.fail_fast, report=keep)
    finally:
        write_report(out, outcomes)
    return outcomes


def _on_cluster(
    jobs: Sequence[Job],
    inputs: Sequence[Path],
    out: Path,
    options: RestoreOptions,
    where: tuple[str | None, int | None],
    progress: Progress,
    report: Callable[[Outcome], None],
) -> list[Outcome]:
    """`restore_files` on the workers of a cluster."""
    from dgno.restoration.cluster import ClusterRun
    from dgno.restoration.cluster_client import connected

    single = is_single(inputs)
    if not single:
        prepare_folders(out, jobs)
    with connected(*where) as client:
        run = ClusterRun(jobs, options, client, progress=progress, report=report)
        try:
            run.run()
        finally:
            if not single:
                write_report(out, run.outcomes)
    if run.failures and (single or options.fail_fast):
        raise run.failures[0].as_error()
    return run.outcomes
