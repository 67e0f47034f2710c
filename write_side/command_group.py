"""One transaction for a group of commands: what stands, what is refused, what was answered before."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import psycopg

from write_side.arrays import byte_strings, ints, texts
from write_side.clock import grid_time
from write_side.commands import Command, InvalidInput, KeyReused, Refusal
from write_side.deciders import ask_ahead, decide
from write_side.log import (
    CHANNEL,
    LOG_LOCK,
    append_at,
    ask_newest_taken,
    head,
    keep_newest_taken,
    newest_taken,
)
from write_side.past import Decision, Past
from write_side.stored_form import behind, head_of

APPENDED_AT_ONCE = 400  # facts: PostgreSQL writes them while the next jobs are decided


@dataclass(frozen=True)
class Job:
    """A command and the envelope its facts will carry; the commands in `more` stand or fall with it.

    `input_hash` is that of all its commands, where somebody has worked it out before.
    """

    command: Command
    by: str
    key: str
    cause: int | None
    correlation: str
    more: tuple[Command, ...] = ()
    input_hash: bytes | None = None

    @property
    def commands(self) -> tuple[Command, ...]:
        """All its commands, in the order in which they are decided."""
        return (self.command, *self.more)


@dataclass(frozen=True)
class Receipt:
    """The position up to which a command's facts stand, and its answer."""

    position: int
    answer: dict[str, str]
    repeated: bool
    at: datetime


@dataclass
class _Standing:
    job: Job
    decision: Decision
    input_hash: bytes
    at: datetime
    first_position: int = 0
    position: int = 0  # of its last fact; 0 until it is appended, and without any


@dataclass(frozen=True)
class _Kept:
    input_hash: bytes
    receipt: Receipt


Outcome = Receipt | Exception
Keys = dict[tuple[str, str], _Kept | _Standing]


def decide_group(
    connection: psycopg.Connection[Any],
    jobs: Sequence[Job],
    wall_now: datetime,
    *,
    simulated: bool,
    patience_s: float = 1.5,
) -> list[Outcome]:
    """Decides jobs one after the other under the log's lock, for which it waits `patience_s`, and commits.

    Answers a Receipt, a Refusal or the unexpected exception per job; psycopg.Error when the
    transaction did not come to its end.
    """
    # Statements are sent on without waiting for each: three waits in all, one of them for the disk.
    with connection.pipeline(), connection.transaction():
        connection.execute(
            "select set_config('lock_timeout', %s, true), pg_advisory_xact_lock(%s)",
            (f"{max(int(patience_s * 1000), 1)}ms", LOG_LOCK),
        )
        taken = ask_newest_taken(connection)
        past = Past(connection, wall_now)
        kept = _ask_for_keys(connection, jobs)
        ask_ahead(past, [command for job in jobs for command in job.commands])
        known: Keys = {(row[0], row[1]): _Kept(row[2], Receipt(row[3], row[4], True, row[5])) for row in kept}
        past.take_up()
        appending = _Appending(past, newest_taken(taken))
        outcomes: list[Outcome | _Standing] = []
        for job in jobs:
            outcomes.append(_decide_one(past, job, known, simulated=simulated))
            appending.take(outcomes[-1])
        receipts = appending.finish()
    return [receipts[id(outcome)] if isinstance(outcome, _Standing) else outcome for outcome in outcomes]


def _ask_for_keys(connection: psycopg.Connection[Any], jobs: Sequence[Job]) -> psycopg.Cursor[Any]:
    # Each key is looked up by itself: a plan for the whole set may choose to read the whole table.
    return connection.execute(
        """select k.* from unnest(%b, %b) wanted (by, named), lateral (
             select principal, key, input_hash, position, answer, at from log.command_key
             where principal = wanted.by and key = named limit 1) k""",
        (texts(job.by for job in jobs), texts(job.key for job in jobs)),
        binary=True,
    )


def _decide_one(past: Past, job: Job, known: Keys, *, simulated: bool) -> Outcome | _Standing:
    try:
        digest = job.input_hash or input_hash(job.commands)
    except UnicodeEncodeError:
        return InvalidInput("a text holds half of a surrogate pair")
    earlier = known.get((job.by, job.key))
    if earlier is not None:
        if earlier.input_hash != digest:
            return KeyReused("this idempotency key was used with other input")
        return earlier if isinstance(earlier, _Standing) else earlier.receipt
    past.at = grid_time(past) if simulated else past.wall_now
    try:
        decision = _decided(past, job)
    except psycopg.Error:
        raise
    except Exception as refusal:
        return refusal
    standing = _Standing(job, decision, digest, past.at)
    known[(job.by, job.key)] = standing
    return standing


def _decided(past: Past, job: Job) -> Decision:
    if not job.more:
        decision = decide(job.command, past)
        past.take(decision)
        return decision
    whole = Decision()
    with past.all_or_nothing():
        for number, command in enumerate(job.commands):
            try:
                decision = decide(command, past)
            except Refusal as refusal:
                refusal.command_number = number
                raise
            past.take(decision)
            whole.facts += decision.facts
            whole.answer |= decision.answer
    return whole


class _Appending:
    """The facts of a group on their way into the log, some while the next are decided."""

    def __init__(self, past: Past, newest: int) -> None:
        self._past = past
        self._newest = self._before = newest
        self._standing: dict[int, _Standing] = {}
        self._rows: list[_NewRow] = []
        self._later: list[_NewRow] = []  # on streams whose version is not known without asking

    def take(self, decided: Outcome | _Standing) -> None:
        """Takes the facts of what stands, and sends on those that are enough by now, without waiting."""
        if isinstance(decided, _Standing) and id(decided) not in self._standing:
            self._standing[id(decided)] = decided
            self._rows += self._rows_of(decided)
            if len(self._rows) >= APPENDED_AT_ONCE:
                rows, self._rows = self._rows, []
                self._later += [row for row in rows if not self._past.is_versioned(row[1])]
                self._send([row for row in rows if self._past.is_versioned(row[1])])

    def finish(self) -> dict[int, Receipt]:
        """Sends on what is left of the group; the receipts by the identity of what stands."""
        if not self._standing:
            return {}
        connection, standing = self._past.connection, list(self._standing.values())
        self._send(self._later + self._rows)
        self._past.places.write(connection)
        if self._newest > self._before:
            keep_newest_taken(connection, self._newest)
            connection.execute(f"notify {CHANNEL}")
        # A command that changed nothing has its first fact behind its position: there is none of it.
        latest = self._newest if self._newest > self._before else head(connection)
        for entry in standing:
            if not entry.decision.facts:
                entry.first_position, entry.position = latest + 1, latest
        _keep_keys(connection, standing)
        return {
            id(entry): Receipt(entry.position, entry.decision.answer, False, entry.at) for entry in standing
        }

    def _rows_of(self, entry: _Standing) -> list["_NewRow"]:
        job = entry.job
        envelope = head_of(
            at=entry.at,
            recorded_at=self._past.wall_now,
            by=job.by,
            key=job.key,
            cause=job.cause,
            correlation=job.correlation,
        )
        entry.first_position = self._newest + 1
        self._newest = entry.position = self._newest + len(entry.decision.facts)
        return [
            (position, stream, *behind(envelope, fact))
            for position, (stream, fact) in enumerate(entry.decision.facts, entry.first_position)
        ]

    def _send(self, rows: Sequence["_NewRow"]) -> None:
        if rows:
            positions, streams, topics, states = zip(*rows, strict=True)
            versions = self._past.next_versions(streams)
            append_at(
                self._past.connection,
                positions,
                list(zip(streams, versions, topics, states, strict=True)),
            )


_NewRow = tuple[int, str, str, bytes]  # position, stream, topic, state


def _keep_keys(connection: psycopg.Connection[Any], standing: Sequence[_Standing]) -> None:
    connection.execute(
        """insert into log.command_key
             (principal, key, input_hash, correlation, first_position, position, answer, at)
           select principal, key, input_hash, correlation, first, position, answer::jsonb, at::timestamptz
           from unnest(%b, %b, %b, %b, %b, %b, %b, %b)
             k (principal, key, input_hash, correlation, first, position, answer, at)""",
        (
            texts(entry.job.by for entry in standing),
            texts(entry.job.key for entry in standing),
            byte_strings(entry.input_hash for entry in standing),
            texts(entry.job.correlation for entry in standing),
            ints(entry.first_position for entry in standing),
            ints(entry.position for entry in standing),
            texts(msgspec.json.encode(entry.decision.answer).decode() for entry in standing),
            texts(entry.at.isoformat() for entry in standing),
        ),
    )


def input_hash(commands: Iterable[Command]) -> bytes:
    """By which input under one key is told from other; UnicodeEncodeError for half a surrogate pair."""
    digest = hashlib.sha256()
    for command in commands:
        digest.update(type(command).__name__.encode() + b"\0" + msgspec.json.encode(command, order="sorted"))
    return digest.digest()
