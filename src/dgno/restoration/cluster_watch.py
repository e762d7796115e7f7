"""Watches the workers of a cluster: how many there are, and which of them hang.

Tasks of blocks take about equally long. A worker that has nothing but such tasks and has ended none for far longer than
they take hangs: on a disk that does not answer, or in a library. Other tasks take as long as their slide is large, so
that no limit is known for them.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dgno.errors import DgnoWarning

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Patience:
    """When a worker is taken for hung: after `times` the median of its own tasks, but at least `least` s; `unknown` s,
    or `times` the median of all, while it has ended none. Looked at every `poll` s."""

    least: float = 60.0
    unknown: float = 600.0
    times: float = 20.0
    poll: float = 5.0


class Watch:
    """See above.

    threads : that the workers have, all together
    """

    def __init__(self, client: Client, patience: Patience) -> None:
        self.client, self.patience, self.threads = client, patience, 1
        self.seconds: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=100))
        self._seen: dict[str, tuple[frozenset[str], float]] = {}
        self._looked, self._alone = -patience.poll, False

    def told(self, worker: str, seconds: float) -> None:
        """A task of blocks took a worker so long."""
        self.seconds[worker].append(seconds)

    def look(self, timed: Collection[str]) -> dict[str, frozenset[str]]:
        """The workers that hang, by their addresses, and the tasks they have. timed : the keys of tasks of blocks"""
        now = time.monotonic()
        if now < self._looked + self.patience.poll:
            return {}
        self._looked = now
        self._count()
        found = {worker: frozenset(map(str, keys)) for worker, keys in self.client.processing().items()}
        self._seen = {
            worker: self._seen[worker] if self._seen.get(worker, ((),))[0] == keys else (keys, now)
            for worker, keys in found.items()
        }
        return {
            worker: keys
            for worker, (keys, since) in self._seen.items()
            if keys and keys <= set(timed) and now - since > self.limit_of(worker)
        }

    def limit_of(self, worker: str) -> float:
        """s after which a worker that has ended no task hangs."""
        known = self.seconds.get(worker)
        median = statistics.median(known or [one for each in self.seconds.values() for one in each] or [0.0])
        return max(self.patience.least if known else self.patience.unknown, self.patience.times * median)

    def _count(self) -> None:
        threads = sum(self.client.nthreads().values())
        if not threads and not self._alone:
            hint = "start some with `dask worker ADDRESS`"
            warnings.warn(DgnoWarning(f"the scheduler has no workers: waiting for some; {hint}"), stacklevel=2)
        self._alone, self.threads = not threads, max(threads, 1)
