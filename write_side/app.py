"""The write side's one door: a command in, a receipt or a refusal out.

One thread per process groups the commands that wait into one transaction: lock, keys, decide one
after the other, append, commit. A lost connection is no answer: the group is tried again, and the
keys tell which commands stood already.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4, uuid5

import psycopg

from write_side.command_group import Job, Receipt, decide_group
from write_side.commands import Command, InvalidInput, is_storable
from write_side.connection import WriterConnection

log = logging.getLogger(__name__)

LONGEST_KEY = 200
LARGEST_GROUP = 500
LONGEST_QUEUE = 2000
GROUPS_APART_S = 0.005  # while several wait: a group costs some milliseconds, however small it is
PATIENCE_S = 1.5  # a caller is promised an answer within two seconds
TIMEOUTS_MS = {"idle_in_transaction_session_timeout": 1000, "statement_timeout": 1400}

_IDS = UUID("0b2f6a63-6d0e-4c3a-9f4e-5b7f8f6f1a11")


class NotReady(Exception):
    """The database did not answer in time; whether the command stood, its key will tell."""


class _Submitted(NamedTuple):
    job: Job
    deadline: float
    future: Future[Receipt]


def derived_id(by: str, key: str, what: str) -> UUID:
    """The id a command creates: the same for the same principal and key, so that repeats agree."""
    return uuid5(_IDS, f"{by}\0{key}\0{what}")


def utc_now() -> datetime:
    """The wall's time."""
    return datetime.now(UTC)


class App:
    """Sends commands to the log; safe from any thread."""

    def __init__(
        self, database_url: str, *, simulated: bool = True, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._database_url = database_url
        self._simulated = simulated
        self._now = now
        self._queue: queue.SimpleQueue[_Submitted | None] = queue.SimpleQueue()
        self._in_hand = 0  # taken from the queue and not answered yet
        self._connection: psycopg.Connection[Any] | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def send(
        self,
        command: Command,
        *,
        by: str,
        key: str | None = None,
        cause: int | None = None,
        correlation: str | None = None,
    ) -> "Future[Receipt]":
        """Queues a command; the future answers a Receipt or raises a Refusal or NotReady within 2 s."""
        job = Job(command, by, key or str(uuid4()), cause, correlation or str(uuid4()))
        submitted = _Submitted(job, time.monotonic() + PATIENCE_S, Future())
        if not all(is_storable(text, LONGEST_KEY) for text in (job.by, job.key, job.correlation)):
            refusal = InvalidInput(f"idempotencyKey: at most {LONGEST_KEY} characters that can be stored")
            submitted.future.set_exception(refusal)
            return submitted.future
        if self._queue.qsize() + self._in_hand >= LONGEST_QUEUE:
            submitted.future.set_exception(NotReady("too many commands are waiting"))
        else:
            self._queue.put(submitted)
        return submitted.future

    def close(self) -> None:
        """Finishes what is queued and ends the thread, within five seconds."""
        self._queue.put(None)
        self._thread.join(5)
        self._drop_connection()

    def _run(self) -> None:
        next_at = 0.0
        while True:
            first = self._queue.get()
            if first is None:
                return
            began = time.monotonic()
            if began < next_at:
                time.sleep(next_at - began)
                began = next_at
            group = [first]
            while len(group) < LARGEST_GROUP:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    self._queue.put(None)
                    break
                group.append(following)
            self._in_hand = len(group)
            # Whoever has cancelled is not decided for; from here on nobody can cancel any more.
            self._answer([entry for entry in group if entry.future.set_running_or_notify_cancel()])
            self._in_hand = 0
            next_at = began + GROUPS_APART_S if len(group) > 1 else 0.0

    def _answer(self, group: list[_Submitted]) -> None:
        while group := self._without_expired(group):
            try:
                outcomes = decide_group(
                    self._connected(),
                    [entry.job for entry in group],
                    self._now(),
                    simulated=self._simulated,
                    patience_s=min(entry.deadline for entry in group) - time.monotonic(),
                )
            except psycopg.Error as error:
                log.warning("the group is tried again: %s", error)
                self._drop_connection()
                time.sleep(0.05)
                continue
            except Exception as fault:
                log.exception("a group of commands failed")
                self._drop_connection()
                outcomes = [fault] * len(group)
            for entry, outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, Receipt):
                    entry.future.set_result(outcome)
                else:
                    entry.future.set_exception(outcome)
            return

    def _without_expired(self, group: list[_Submitted]) -> list[_Submitted]:
        now = time.monotonic()
        for entry in group:
            if entry.deadline <= now:
                entry.future.set_exception(NotReady("the database does not answer"))
        return [entry for entry in group if entry.deadline > now]

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = None
            connection = WriterConnection.connect(
                self._database_url,
                autocommit=True,
                connect_timeout=2,
                options=" ".join(f"-c {name}={ms}ms" for name, ms in TIMEOUTS_MS.items()),
            )
            self._connection = connection
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
