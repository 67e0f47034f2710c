"""One transaction for a group of commands: what stands, what is refused, what was answered before."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from write_side.clock import grid_time
from write_side.commands import Command, InvalidInput, KeyReused
from write_side.deciders import decide, read_ahead
from write_side.log import CHANNEL, LOG_LOCK, append, head
from write_side.past import Decision, Past
from write_side.stored_form import behind, head_of


@dataclass(frozen=True)
class Job:
    """A command and the envelope its facts will carry; the commands in `more` stand or fall with it."""

    command: Command
    by: str
    key: str
    cause: int | None
    correlation: str
    more: tuple[Command, ...] = ()

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
    with connection.transaction():
        connection.execute(
            "select set_config('lock_timeout', %s, true), pg_advisory_xact_lock(%s)",
            (f"{max(int(patience_s * 1000), 1)}ms", LOG_LOCK),
        )
        past = Past(connection, wall_now)
        known = _known_keys(connection, jobs)
        fresh = [job for job in jobs if (job.by, job.key) not in known]
        read_ahead(past, [command for job in fresh for command in job.commands])
        outcomes = [_decide_one(past, job, known, simulated=simulated) for job in jobs]
        standing = list({id(entry): entry for entry in outcomes if isinstance(entry, _Standing)}.values())
        receipts = _append(past, standing)
        return [receipts[id(outcome)] if isinstance(outcome, _Standing) else outcome for outcome in outcomes]


def _known_keys(connection: psycopg.Connection[Any], jobs: Sequence[Job]) -> Keys:
    # Each key is looked up by itself: a plan for the whole set may choose to read the whole table.
    rows = connection.execute(
        """select k.* from json_array_elements(%s) wanted, lateral (
             select principal, key, input_hash, position, answer, at from log.command_key
             where principal = wanted ->> 0 and key = wanted ->> 1 limit 1) k""",
        (msgspec.json.encode([(job.by, job.key) for job in jobs]).decode(),),
        binary=True,
    )
    return {(row[0], row[1]): _Kept(bytes(row[2]), Receipt(row[3], row[4], True, row[5])) for row in rows}


def _decide_one(past: Past, job: Job, known: Keys, *, simulated: bool) -> Outcome | _Standing:
    try:
        digest = _input_hash(job)
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
        for command in job.commands:
            decision = decide(command, past)
            past.take(decision)
            whole.facts += decision.facts
            whole.answer |= decision.answer
    return whole


def _append(past: Past, standing: Sequence[_Standing]) -> dict[int, Receipt]:
    if not standing:
        return {}
    connection = past.connection
    past.places.write(connection)
    versions = iter(past.next_versions(stream for entry in standing for stream, _ in entry.decision.facts))
    rows = []
    for entry in standing:
        job = entry.job
        envelope = head_of(
            at=entry.at,
            recorded_at=past.wall_now,
            by=job.by,
            key=job.key,
            cause=job.cause,
            correlation=job.correlation,
        )
        rows += [(stream, next(versions), *behind(envelope, fact)) for stream, fact in entry.decision.facts]
    positions = append(connection, rows) if rows else []
    receipts = _keep_keys(connection, standing, positions)
    if rows:
        connection.execute(f"notify {CHANNEL}")
    return receipts


def _keep_keys(
    connection: psycopg.Connection[Any], standing: Sequence[_Standing], positions: Sequence[int]
) -> dict[int, Receipt]:
    latest = positions[-1] if positions else head(connection)
    receipts, taken = {}, 0
    columns = "principal, key, input_hash, correlation, first_position, position, answer, at"
    with connection.cursor().copy(f"copy log.command_key ({columns}) from stdin (format binary)") as copy:
        copy.set_types(["text", "text", "bytea", "text", "int8", "int8", "jsonb", "timestamptz"])
        for entry in standing:
            job, facts, answer = entry.job, len(entry.decision.facts), entry.decision.answer
            first = positions[taken] if facts else latest + 1
            taken += facts
            position = positions[taken - 1] if facts else latest
            receipts[id(entry)] = Receipt(position, answer, False, entry.at)
            kept = Jsonb(answer, dumps=msgspec.json.encode)
            identity = (job.by, job.key, entry.input_hash, job.correlation)
            copy.write_row((*identity, first, position, kept, entry.at))
    return receipts


def _input_hash(job: Job) -> bytes:
    digest = hashlib.sha256()
    for command in job.commands:
        digest.update(type(command).__name__.encode() + b"\0" + msgspec.json.encode(command, order="sorted"))
    return digest.digest()
