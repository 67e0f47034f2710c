"""One transaction for a group of commands: what stands, what is refused, what was answered before."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import psycopg

from write_side.arrays import byte_strings, ints, texts
from write_side.clock import grid_time
from write_side.commands import Command, InvalidInput, KeyReused, Refusal
from write_side.deciders import ask_ahead, decide
from write_side.log import CHANNEL, LOG_LOCK, Row, append_at, head, take_positions, taken_positions
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
    # Statements are sent on without waiting for each: three waits in all, one of them for the disk.
    with connection.pipeline(), connection.transaction():
        connection.execute(
            "select set_config('lock_timeout', %s, true), pg_advisory_xact_lock(%s)",
            (f"{max(int(patience_s * 1000), 1)}ms", LOG_LOCK),
        )
        past = Past(connection, wall_now)
        kept = _ask_for_keys(connection, jobs)
        ask_ahead(past, [command for job in jobs for command in job.commands])
        known: Keys = {(row[0], row[1]): _Kept(row[2], Receipt(row[3], row[4], True, row[5])) for row in kept}
        past.take_up()
        outcomes = [_decide_one(past, job, known, simulated=simulated) for job in jobs]
        standing = list({id(entry): entry for entry in outcomes if isinstance(entry, _Standing)}.values())
        receipts = _append(past, standing)
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


def _append(past: Past, standing: Sequence[_Standing]) -> dict[int, Receipt]:
    if not standing:
        return {}
    connection = past.connection
    count = sum(len(entry.decision.facts) for entry in standing)
    asked = take_positions(connection, count) if count else None
    versions = iter(past.next_versions(stream for entry in standing for stream, _ in entry.decision.facts))
    rows: list[Row] = []
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
    positions = range(0) if asked is None else taken_positions(asked, count)
    receipts = _receipts(standing, positions, positions[-1] if positions else head(connection))
    past.places.write(connection)
    if positions:
        append_at(connection, positions, rows)
        connection.execute(f"notify {CHANNEL}")
    _keep_keys(connection, standing, receipts)
    return {id(entry): receipt for entry, receipt in zip(standing, receipts, strict=True)}


def _receipts(standing: Sequence[_Standing], positions: range, latest: int) -> list[Receipt]:
    receipts, taken = [], 0
    for entry in standing:
        taken += len(entry.decision.facts)
        position = positions[taken - 1] if entry.decision.facts else latest
        receipts.append(Receipt(position, entry.decision.answer, False, entry.at))
    return receipts


def _keep_keys(
    connection: psycopg.Connection[Any], standing: Sequence[_Standing], receipts: Sequence[Receipt]
) -> None:
    # A command that changed nothing has its first fact behind its position: there is none of it.
    firsts = (
        receipt.position - len(entry.decision.facts) + 1
        for entry, receipt in zip(standing, receipts, strict=True)
    )
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
            ints(firsts),
            ints(receipt.position for receipt in receipts),
            texts(msgspec.json.encode(receipt.answer).decode() for receipt in receipts),
            texts(receipt.at.isoformat() for receipt in receipts),
        ),
    )


def _input_hash(job: Job) -> bytes:
    digest = hashlib.sha256()
    for command in job.commands:
        digest.update(type(command).__name__.encode() + b"\0" + msgspec.json.encode(command, order="sorted"))
    return digest.digest()
