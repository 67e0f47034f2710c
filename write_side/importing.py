"""Import in bulk: households with their devices, many to a group, by the same commands and deciders.

A household and its devices stand or fall together under one key, so a file that is sent again adds
nothing, and a refusal names the command that broke a rule.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any
from uuid import uuid4

import msgspec
import psycopg

from write_side.app import utc_now
from write_side.clock import FOUNDING, GRID_STREAM
from write_side.command_group import Job, Outcome, decide_group
from write_side.commands import AttachDevice, RegisterHousehold
from write_side.connection import WriterConnection
from write_side.past import Past

LARGEST_GROUP = 300
LOCK_PATIENCE_S = 1.5
PATIENCE_S = 30.0
_PAUSE_S = 0.5


class Newcomer(msgspec.Struct, frozen=True):
    """A household and what is attached in it, under the key that tells it from all others."""

    key: str
    household: RegisterHousehold
    devices: tuple[AttachDevice, ...]


def import_newcomers(
    database_url: str, newcomers: Iterable[Newcomer], *, by: str
) -> Iterator[Sequence[tuple[Newcomer, Outcome]]]:
    """What became of each newcomer, group by group; each group is on disk when it is answered.

    A group that was not answered is sent again for 30 s, then psycopg.Error: the keys tell what stood.
    """
    correlation, following = str(uuid4()), iter(newcomers)
    with closing(_Writer(database_url)) as writer, ThreadPoolExecutor(1) as beside:
        group = list(islice(following, LARGEST_GROUP))
        while group:
            jobs = [Job(each.household, by, each.key, None, correlation, each.devices) for each in group]
            deciding = beside.submit(writer.decided, jobs)
            # While PostgreSQL writes one group, the next is read.
            behind = list(islice(following, LARGEST_GROUP))
            yield list(zip(group, deciding.result(), strict=True))
            group = behind


class _Writer:
    """A connection that is opened again when it breaks."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection = self._connected()
        self._simulated = Past(self._connection, utc_now()).fold(GRID_STREAM, FOUNDING).simulated

    def decided(self, jobs: Sequence[Job]) -> list[Outcome]:
        """What became of a group; psycopg.Error after 30 s without an answer."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self._connection.closed:
                    self._connection = self._connected()
                return decide_group(
                    self._connection,
                    jobs,
                    utc_now(),
                    simulated=self._simulated,
                    patience_s=LOCK_PATIENCE_S,
                )
            except psycopg.Error:
                self.close()
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _connected(self) -> psycopg.Connection[Any]:
        return WriterConnection.connect(self._database_url, autocommit=True, connect_timeout=3)
