"""The derived tables of metering built afresh from the readings and the facts: to be swapped in, or compared.

A build is one snapshot of the truth, taken while the workers go on; what they commit meanwhile is caught up
at the end, for a moment alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from psycopg import sql

from projections.binary_copy import MISSING, Connection, Ints
from projections.metered_homes import Homes
from projections.metering import note_newest, recompute
from projections.metering_batch import Partitions, dirty_keys, unsettled
from projections.metering_facts import UNUSED, Changes, apply_facts
from projections.metering_tables import DERIVED, NAME, create_tables
from projections.readings import Rows
from projections.rebuild_processes import build_totals, build_totals_together
from projections.rebuilt_readings import StoredReadings
from projections.schemas import connect, drop_schema, keys_later, search_path, swap, swap_lock_key
from projections.settling import settle
from projections.told_facts import Facts
from write_side.settings import PARTITIONS

_NEXT = f"{NAME}_next"
_OLD = f"{NAME}_old"
_COMPARED = f"{NAME}_compared"
_FACTS_AT_ONCE = 10_000
_MOST_DIFFERENCES = 50
_POSITION = "metering_position"


class RebuildInterrupted(Exception):
    """The intake stream was made anew during the rebuild: it has to begin again."""


@dataclass
class _Live:
    """How far the live tables are, by partition."""

    facts: dict[int, int]
    stream: dict[int, int]
    created: dict[int, datetime | None]
    marks: dict[int, int]


def rebuild(database_url: str) -> None:
    """Builds the tables anew beside the live ones and puts them in their place; queries go on meanwhile.

    RebuildInterrupted where the intake was made anew under way; the live tables are untouched then.
    """
    with connect(database_url) as connection:
        drop_schema(connection, _NEXT)
        drop_schema(connection, _OLD)
        create_tables(connection, _NEXT)
        connection.execute("set maintenance_work_mem = '256MB'")
        with keys_later(connection, _NEXT), connection.transaction():
            connection.execute("set transaction isolation level repeatable read")
            state = _begin(connection, _NEXT)
            build_totals_together(connection, database_url, _NEXT, state)
        with connection.transaction():  # a day may be sealed or opened between two statements
            connection.execute("set transaction isolation level repeatable read")
            _use(connection, _NEXT)
            _catch_up(connection, state)
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", (swap_lock_key(NAME),))
            _use(connection, _NEXT)
            _catch_up(connection, state)
            _copy_positions(connection, _NEXT)
            swap(connection, NAME)
        drop_schema(connection, _OLD)


def compare(database_url: str) -> list[str]:
    """The rows in which the live tables differ from rebuilt ones at the same position, as text; bounded."""
    with connect(database_url) as connection, connection.transaction(force_rollback=True):
        connection.execute("set transaction isolation level repeatable read")
        create_tables(connection, _COMPARED)
        with keys_later(connection, _COMPARED):
            build_totals(connection, _begin(connection, _COMPARED))
        differences: list[str] = []
        for table in DERIVED:
            if table != _POSITION:  # the position is where both are compared
                differences += _differences(connection, table)
        return differences[:_MOST_DIFFERENCES]


def _differences(connection: Connection, table: str) -> list[str]:
    live, built = sql.Identifier(NAME, table), sql.Identifier(_COMPARED, table)
    found: list[str] = []
    for label, one, other in (("only live", live, built), ("only rebuilt", built, live)):
        query = sql.SQL("select t::text from (select * from {} except all select * from {}) t limit {}")
        rows = connection.execute(query.format(one, other, _MOST_DIFFERENCES))
        found += [f"{table}: {label}: {row[0]}" for row in rows]
    return found


def _use(connection: Connection, schema: str) -> None:
    connection.execute(f"set local search_path to {search_path(schema)}")


def _live(connection: Connection) -> _Live:
    live = _Live({}, {}, {}, {})
    rows = connection.execute(
        f"""select partition, facts, stream, stream_created, slot
            from {NAME}.{_POSITION} left join intake.mark using (partition)"""
    )
    for partition, facts, stream, created, slot in rows:
        live.facts[partition], live.stream[partition], live.created[partition] = facts, stream, created
        if slot is not None:
            live.marks[partition] = slot
    return live


def _copy_positions(connection: Connection, schema: str) -> None:
    connection.execute(f"delete from {schema}.{_POSITION}")
    connection.execute(f"insert into {schema}.{_POSITION} select * from {NAME}.{_POSITION}")


def _begin(connection: Connection, schema: str) -> Partitions:
    """The facts at the position of the snapshot; what a worker of all partitions would have in memory."""
    _use(connection, schema)
    live = _live(connection)
    state = Partitions(facts=dict.fromkeys(range(PARTITIONS), 0))
    _take_facts(connection, state, live)
    _copy_positions(connection, schema)
    state.stream, state.created, state.marks = live.stream, live.created, live.marks
    return state


def _take_facts(connection: Connection, state: Partitions, live: _Live) -> Changes:
    """The facts each partition of the live tables has, and this state has not."""
    changes = Changes()
    for target in sorted(set(live.facts.values())):
        behind = {p: at for p, at in state.facts.items() if at < target <= live.facts[p]}
        for facts in _facts(connection, min(behind.values(), default=target), target):
            found = apply_facts(connection, state.homes, state.clock, behind, facts)
            changes.attached += found.attached
            changes.dirty += found.dirty
            behind = {p: max(at, facts.position) for p, at in behind.items()}
        state.facts |= dict.fromkeys(behind, target)
    return changes


def _facts(connection: Connection, after: int, until: int) -> Iterator[Facts]:
    while after < until:
        facts = Facts.read(connection, after, until, UNUSED, _FACTS_AT_ONCE)
        yield facts
        after = facts.position


def _settle_between(
    connection: Connection, homes: Homes, partitions: list[int], before: Ints, until: Ints
) -> None:
    household, slot = unsettled(connection, homes, partitions, before, until)
    settle(connection, homes, household, slot, np.full(len(household), MISSING), until)


def _catch_up(connection: Connection, state: Partitions) -> None:
    """Brings built tables from their position to the live tables'. RebuildInterrupted for another stream."""
    live = _live(connection)
    if live.created != state.created:
        raise RebuildInterrupted("the intake stream was made anew")
    before = state.settled_until()
    changes = _take_facts(connection, state, live)
    rows = _changed_readings(connection, state, changes)
    household, slot = dirty_keys(connection, state.homes, changes, rows)
    note_newest(state.homes, household, slot)
    changed = recompute(connection, state.homes, household, slot, rows)
    state.stream, state.marks = live.stream, live.marks
    until = state.settled_until()
    late = changed.slot <= until[state.homes.households["partition"][changed.household]]
    former = changed.old.community[late]
    settle(connection, state.homes, changed.household[late], changed.slot[late], former, until)
    _settle_between(connection, state.homes, list(range(PARTITIONS)), before, until)


def _changed_readings(connection: Connection, state: Partitions, changes: Changes) -> Rows:
    """What came behind the position, and all readings of devices that were attached since."""
    attached = np.array([state.homes.device_index[str(one)] for one in changes.attached], dtype=np.int64)
    return StoredReadings(connection, state.homes).changed(min(state.stream.values()), attached)
