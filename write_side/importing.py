"""Import in bulk: households with their devices, many to a group, by the same commands and deciders.

A household and its devices stand or fall together under one key, so a file that is sent again adds
nothing, and a refusal names the command that broke a rule.
"""

import gc
import multiprocessing
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any
from uuid import uuid4

import msgspec
import psycopg

from write_side.app import utc_now
from write_side.clock import FOUNDING, GRID_STREAM
from write_side.command_group import Job, Outcome, Receipt, decide_group, input_hash
from write_side.commands import AttachDevice, Refusal, RegisterHousehold
from write_side.connection import WriterConnection
from write_side.past import Past

LARGEST_GROUP = 300
LOCK_PATIENCE_S = 1.5
PATIENCE_S = 30.0
_PAUSE_S = 0.5
_END_S = 10.0


class Newcomer(msgspec.Struct, frozen=True):
    """A household and what is attached in it, under the key that tells it from all others."""

    key: str
    household: RegisterHousehold
    devices: tuple[AttachDevice, ...]


class _Sent(msgspec.Struct, frozen=True, array_like=True):
    newcomer: Newcomer
    input_hash: bytes


_groups = msgspec.msgpack.Decoder(list[_Sent])


def import_newcomers(
    database_url: str, newcomers: Iterable[Newcomer], *, by: str
) -> Iterator[Sequence[tuple[Newcomer, Outcome]]]:
    """What became of each newcomer, group by group; each group is on disk when it is answered.

    A process of its own decides and writes, so that what is read here takes nothing from it. A group that
    was not answered is sent again for 30 s, then psycopg.Error: the keys tell what stood.
    """
    following = iter(newcomers)
    with closing(_WriterProcess(database_url, by)) as writer, ThreadPoolExecutor(1) as beside:
        group = list(islice(following, LARGEST_GROUP))
        writing = beside.submit(writer.decided, _packed(group))
        while group:
            behind = list(islice(following, LARGEST_GROUP))
            packed = _packed(behind)
            outcomes = writing.result()
            if behind:
                writing = beside.submit(writer.decided, packed)
            yield list(zip(group, outcomes, strict=True))
            group = behind


def _packed(group: Sequence[Newcomer]) -> bytes:
    return msgspec.msgpack.encode(
        [_Sent(each, input_hash((each.household, *each.devices))) for each in group]
    )


class _WriterProcess:
    """The process that decides and writes, from here; it ends when this one does."""

    def __init__(self, database_url: str, by: str) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawning.Pipe()
        self._process = spawning.Process(target=_write, args=(theirs, database_url, by), daemon=True)
        self._process.start()
        theirs.close()

    def decided(self, group: bytes) -> list[Outcome]:
        """What became of a group; psycopg.Error where it cannot be known."""
        try:
            self._pipe.send_bytes(group)
            answer: list[Outcome] | psycopg.Error = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise psycopg.OperationalError(f"the process that writes has ended: {error}") from error
        if isinstance(answer, psycopg.Error):
            raise answer
        return answer

    def close(self) -> None:
        """Ends the process once it has written what it was given."""
        self._pipe.close()
        self._process.join(_END_S)
        self._process.kill()
        self._process.join()
        self._process.close()


def _write(pipe: Connection, database_url: str, by: str) -> None:
    """Decides group after group until nobody sends any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever sends decides when it is over
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)  # half a million small objects, none of them in a circle
    correlation = str(uuid4())
    try:
        with closing(_Writer(database_url)) as writer:
            while True:
                group = _groups.decode(pipe.recv_bytes())
                jobs = [_job(sent.newcomer, by, correlation, sent.input_hash) for sent in group]
                pipe.send([_tellable(outcome) for outcome in writer.decided(jobs)])
    except psycopg.Error as error:
        pipe.send(psycopg.OperationalError(str(error)))
    except (EOFError, BrokenPipeError):
        pass


def _job(newcomer: Newcomer, by: str, correlation: str, input_hash: bytes) -> Job:
    return Job(newcomer.household, by, newcomer.key, None, correlation, newcomer.devices, input_hash)


def _tellable(outcome: Outcome) -> Outcome:
    """What another process can be told of: of an unexpected exception its words."""
    return outcome if isinstance(outcome, Receipt | Refusal) else RuntimeError(repr(outcome))


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
