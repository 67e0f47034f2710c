"""A rebuild's work shared out: each process builds the totals of some partitions, all from one snapshot."""

import logging
import mmap
import os
import sys
import threading
from collections.abc import Callable

import numpy as np

from projections.binary_copy import Connection, Ints
from projections.fresh_totals import FreshTotals
from projections.metering_batch import Partitions
from projections.rebuilt_readings import StoredReadings, days
from projections.schemas import connect
from write_side.settings import PARTITIONS

log = logging.getLogger(__name__)

MOST_PROCESSES = 2
WORTH_A_PROCESS = 500_000  # readings


class RebuildFailed(Exception):
    """A process of a rebuild did not come to its end; its log says why."""


def build_totals(connection: Connection, state: Partitions, partitions: Ints | None = None) -> None:
    """Builds what follows from the readings of these partitions (None: all) on this connection."""
    totals = FreshTotals(connection, state.homes, state.settled_until())
    readings = StoredReadings(connection, state.homes)
    for devices, part, fresh in readings.portions(days(connection), partitions):
        totals.add_days(devices, fresh, part)
    totals.finish()


def build_totals_together(connection: Connection, database_url: str, schema: str, state: Partitions) -> None:
    """As build_totals, in several processes where that is worth it; each commits for itself.

    The tables of `schema` have been committed; the connection's transaction is the snapshot.
    """
    shares = _shares(connection, state)
    if len(shares) < 2:
        build_totals(connection, state)
        return
    row = connection.execute("select pg_export_snapshot()").fetchone()
    assert row is not None
    newest = state.homes.households["newest"]
    shared = np.frombuffer(mmap.mmap(-1, 8 * len(newest)), dtype=np.int64)
    shared[:] = newest

    def build(partitions: Ints) -> None:
        with connect(database_url, schema) as own, own.transaction():
            own.execute("set transaction isolation level repeatable read")
            own.execute(f"set transaction snapshot '{row[0]}'")
            build_totals(own, state, partitions)
        built = np.isin(state.homes.households["partition"], partitions)
        shared[built] = state.homes.households["newest"][built]

    children = [_forked(build, partitions) for partitions in shares]
    ended = [os.waitpid(child, 0)[1] for child in children]
    if any(ended):
        raise RebuildFailed(f"{sum(map(bool, ended))} of {len(ended)} processes ended early")
    newest[:] = shared


def _shares(connection: Connection, state: Partitions) -> list[Ints]:
    """Partitions for each process, as many devices for one as for the other."""
    row = connection.execute(
        """select coalesce((select sum(readings) from sealed_day), 0)
                  + (select greatest(reltuples, 0) from pg_class where oid = 'reading'::regclass)"""
    ).fetchone()
    worth = int(row[0]) // WORTH_A_PROCESS if row else 0
    # A process is a copy of this one: that is safe where nobody else runs in it.
    can_fork = sys.platform == "linux" and threading.active_count() == 1
    processes = min(MOST_PROCESSES, os.cpu_count() or 1, worth) if can_fork else 1
    homes = state.homes
    owner = homes.households["partition"][homes.devices["household"]]
    devices = np.bincount(owner, minlength=PARTITIONS)
    shares: list[list[int]] = [[] for _ in range(max(processes, 1))]
    for partition in np.argsort(-devices).tolist():
        min(shares, key=lambda share: int(devices[share].sum())).append(partition)
    return [np.array(share, dtype=np.int64) for share in shares]


def _forked(work: Callable[[Ints], None], partitions: Ints) -> int:
    """The process that does this work; it leaves everything alone that it shares with its parent."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work(partitions)
        status = 0
    except BaseException:
        log.exception("the rebuild of the partitions %s failed", partitions.tolist())
    finally:
        os._exit(status)
