"""A cluster of Dask workers: one that runs somewhere, or one of processes of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from dgno.checks import refuse_workers
from dgno.errors import ConfigError, SchedulerUnavailable

if TYPE_CHECKING:
    from distributed import Client

CONNECTING = 5  # seconds
LOST = 3  # workers that may die of one task before the scheduler gives it up


@contextlib.contextmanager
def connected(scheduler: str | None, workers: int | None) -> Iterator[Client]:
    """A client of the scheduler at this address, or of a cluster of so many workers on this machine.

    Workers of this machine share its cores, listen on the loopback alone and end with this process. They may take as
    much memory as there is: the limits of Dask would make a worker wait for memory that nobody gives back.
    Raises ConfigError (no distributed, no address, no number of workers), SchedulerUnavailable.
    """
    if problems := refuse_workers(workers, 1) if workers is not None else []:
        raise ConfigError("no cluster can be made so", why=problems[0])
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        hint = "install it: pip install 'dgno[cluster]'"
        raise ConfigError("the package `distributed` is missing", why=str(error), hint=hint) from error
    if scheduler:
        with _client_of(scheduler) as client:
            yield client
        return
    threads = max(1, torch.get_num_threads() // (workers or 1))
    settings = {"distributed.scheduler.allowed-failures": LOST, "distributed.scheduler.worker-saturation": 1.0}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # else a second cluster warns of port 8787
            memory_limit=0,
            preload=["dgno.restoration.cluster_tasks"],
            env={name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")},
            silence_logs=50,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _client_of(scheduler: str) -> Client:
    from distributed import Client

    class Attempt(Client):
        """A client that, where it finds no scheduler, does not wait for it at its end, and complain."""

        def start(self, **how: object) -> None:
            try:
                super().start(**how)
            except BaseException:
                self.status = "closed"
                raise

    refuse_address(scheduler)
    try:
        return Attempt(scheduler, timeout=CONNECTING, set_as_default=False)
    except Exception as error:  # each kind of address has errors of its own
        why, hint = str(error) or "it does not answer", "start one with `dask scheduler`, or correct its address"
        raise SchedulerUnavailable(f"no scheduler at {scheduler}", why=why, hint=hint) from error


def refuse_address(scheduler: str) -> None:
    """Raise ConfigError for what is no address, which Dask would try for seconds."""
    from distributed.comm.addressing import parse_address
    from distributed.comm.registry import get_backend

    kind, place = parse_address(scheduler)
    try:
        backend = get_backend(kind)
        backend.get_address_host(place)
        with contextlib.suppress(NotImplementedError):  # not all have a port
            host, port = backend.get_address_host_port(place)
            if not host or not 0 < port < 2**16:
                raise ValueError("wanted a host, and a port from 1 to 65535")
    except (ValueError, FutureWarning) as error:  # the second for kinds that Dask has given up
        hint = "give tcp://HOST:PORT, as `dask scheduler` prints it"
        raise ConfigError(f"no address of a scheduler: {scheduler!r}", why=str(error), hint=hint) from error
