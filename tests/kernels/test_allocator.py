"""Freed memory stays with a process that restores files."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.connection import Connection

import pytest


def faults_of_large_blocks(keep: bool, answer: Connection) -> None:
    """Page faults while a large block is taken and freed again and again."""
    import resource

    import torch

    from dgno.kernels.allocator import keep_freed_memory

    if keep:
        assert keep_freed_memory()

    def chain() -> None:  # as the layers of a network take and free them
        x = torch.ones(2**24)  # 64 MiB: glibc alone would always ask the system for so much
        for _ in range(8):
            x = x + 1

    chain()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        chain()
    answer.send(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone can be told")
def test_pages_are_not_given_back_and_taken_again() -> None:
    found = {}
    for keep in (False, True):
        here, there = multiprocessing.get_context("spawn").Pipe()
        child = multiprocessing.get_context("spawn").Process(target=faults_of_large_blocks, args=(keep, there))
        child.start()
        found[keep] = here.recv()
        child.join()
    assert found[True] < found[False] / 2, found
