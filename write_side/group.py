"""One transaction for a group of commands: what stands, what is refused, what was answered before."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import psycopg

from write_side.clock import grid_time
from write_side.commands import Command, InvalidInput, KeyReused
from write_side.deciders import decide
from write_side.log import CHANNEL, LOG_LOCK, Row, append, head
from write_side.past import Decision, Past
from write_side.stored_form import encode


@dataclass(frozen=True)
class Job:
    """A command and the envelope its facts will carry."""

    command: Command
    by: str
    key: str
    cause: int | None
    correlation: str


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
    rows: list[Row]


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
        outcomes: list[Outcome | _Standing] = []
        for job in jobs:
            outcome = _decide_one(past, job, known, simulated=simulated)
            outcomes.append(outcome)
        standing = list({id(entry): entry for entry in outcomes if isinstance(entry, _Standing)}.values())
        receipts = _append(connection, standing)
        return [receipts[id(outcome)] if isinstance(outcome, _Standing) else outcome for outcome in outcomes]


def _known_keys(connection: psycopg.Connection[Any], jobs: Sequence[Job]) -> Keys:
    rows = connection.execute(
        """select principal, key, input_hash, position, answer, at from log.command_key
           where (principal, key) in (select * from unnest(%s::text[], %s::text[]))""",
        ([job.by for job in jobs], [job.key for job in jobs]),
    )
    return {(row[0], row[1]): _Kept(bytes(row[2]), Receipt(row[3], row[4], True, row[5])) for row in rows}


def _decide_one(past: Past, job: Job, known: Keys, *, simulated: bool) -> Outcome | _Standing:
    try:
        digest = _input_hash(job.command)
    except UnicodeEncodeError:
        return InvalidInput("a text holds half of a surrogate pair")
    earlier = known.get((job.by, job.key))
    if earlier is not None:
        if earlier.input_hash != digest:
            return KeyReused("this idempotency key was used with other input")
        return earlier if isinstance(earlier, _Standing) else earlier.receipt
    past.at = grid_time(past) if simulated else past.wall_now
    try:
        decision = decide(job.command, past)
    except psycopg.Error:
        raise
    except Exception as refusal:
        return refusal
    past.take(decision.facts)
    standing = _Standing(job, decision, digest, past.at, _rows(past, job, decision))
    known[(job.by, job.key)] = standing
    return standing


def _rows(past: Past, job: Job, decision: Decision) -> list[Row]:
    rows = []
    for stream, fact in decision.facts:
        topic, state = encode(
            fact,
            at=past.at,
            recorded_at=past.wall_now,
            by=job.by,
            key=job.key,
            cause=job.cause,
            correlation=job.correlation,
        )
        rows.append((stream, past.next_version(stream), topic, state))
    for statement, parameters in decision.sql:
        past.connection.execute(statement, parameters)
    return rows


def _append(connection: psycopg.Connection[Any], standing: Sequence[_Standing]) -> dict[int, Receipt]:
    rows = [row for entry in standing for row in entry.rows]
    positions = append(connection, rows) if rows else []
    latest = positions[-1] if positions else head(connection)
    receipts, keys, taken = {}, [], 0
    for entry in standing:
        first = positions[taken] if entry.rows else latest + 1
        taken += len(entry.rows)
        position = positions[taken - 1] if entry.rows else latest
        receipts[id(entry)] = Receipt(position, entry.decision.answer, False, entry.at)
        keys.append(_key_row(entry, first, position))
    _keep_keys(connection, keys)
    if rows:
        connection.execute(f"notify {CHANNEL}")
    return receipts


def _key_row(entry: _Standing, first: int, position: int) -> tuple[Any, ...]:
    job, answer = entry.job, json.dumps(entry.decision.answer)
    return job.by, job.key, entry.input_hash, job.correlation, first, position, answer, entry.at


def _keep_keys(connection: psycopg.Connection[Any], keys: Sequence[tuple[Any, ...]]) -> None:
    if not keys:
        return
    columns = [list(column) for column in zip(*keys, strict=True)]
    connection.execute(
        """insert into log.command_key
             (principal, key, input_hash, correlation, first_position, position, answer, at)
           select * from unnest(%s::text[], %s::text[], %s::bytea[], %s::text[], %s::bigint[], %s::bigint[],
                                %s::jsonb[], %s::timestamptz[])""",
        columns,
    )


def _input_hash(command: Command) -> bytes:
    body = msgspec.json.encode(command, order="sorted")
    return hashlib.sha256(type(command).__name__.encode() + b"\0" + body).digest()
