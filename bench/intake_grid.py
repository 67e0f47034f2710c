"""A grid of the intake benches' own: the servers and the parts a reading passes, with homes founded in it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from bench.metered_load import Community, found
from deploy.grid import Grid
from projections.partition_ownership import PARTITION_LOCK

_PATIENCE_S = 120.0
_POLL_S = 0.05


@contextmanager
def intake_grid(workers: int, made: list[Community]) -> Iterator[Grid]:
    """So many metering workers, all of which know the homes; nobody closes slots, readings come faster."""
    parts = [f"metering-{number}" for number in range(workers)]
    with Grid(parts=["device-access", *parts]) as grid:
        grid.wait_for_servers()
        _until_there(grid.database_url, workers, 0)
        _until_there(grid.database_url, workers, found(grid.database_url, made))
        yield grid


def _until_there(database_url: str, workers: int, facts: int) -> None:
    """Until every worker has its share of the partitions and every partition has the facts."""
    deadline = time.monotonic() + _PATIENCE_S
    with psycopg.connect(database_url, autocommit=True) as connection:
        while not _are_there(connection, workers, facts):
            if time.monotonic() > deadline:
                raise TimeoutError("the metering workers do not know the homes")
            time.sleep(_POLL_S)


def _are_there(connection: psycopg.Connection[Any], workers: int, facts: int) -> bool:
    if connection.execute("select to_regclass('metering.metering_position')").fetchone() == (None,):
        return False
    known = connection.execute("select min(facts) from metering.metering_position").fetchone()
    owners = connection.execute(
        "select count(distinct pid) from pg_locks where locktype = 'advisory' and granted and classid = %s",
        (PARTITION_LOCK,),
    ).fetchone()
    return known is not None and known[0] >= facts and owners == (workers,)
