"""The derived tables of metering built afresh from the readings and the facts: to be swapped in, or compared.

A build is one snapshot of the truth, taken while the workers go on; what they commit meanwhile is caught up
at the end, for a moment alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from psycopg import sql

from projections.binary_copy import MISSING, Connection, Ints, read_columns, stage
from projections.metered_homes import Homes
from projections.metering import note_newest, recompute
from projections.metering_batch import Partitions, dirty_keys, unsettled
from projections.metering_facts import UNUSED, Changes, apply_facts
from projections.metering_tables import DERIVED, NAME, VALUES, create_tables
from projections.readings import KEY_TYPES, Rows, value_types
from projections.schemas import connect, drop_schema, search_path, swap, swap_lock_key
from projections.settling import settle
from projections.told_facts import Facts
from write_side.settings import PARTITIONS

_NEXT = f"{NAME}_next"
_OLD = f"{NAME}_old"
_COMPARED = f"{NAME}_compared"
_KEYS_AT_ONCE = 300_000
_HOUSEHOLDS_AT_ONCE = 5_000
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
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read")
            state = _build(connection, _NEXT)
        with connection.transaction():
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
        _build(connection, _COMPARED)
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


def _build(connection: Connection, schema: str) -> Partitions:
    """All tables at the position of the snapshot; what a worker of all partitions would have in memory."""
    create_tables(connection, schema)
    _use(connection, schema)
    live = _live(connection)
    state = Partitions(facts=dict.fromkeys(range(PARTITIONS), 0))
    _take_facts(connection, state, live)
    _copy_positions(connection, schema)
    span = _span(connection)
    for households, slots in _windows(state.homes, span):
        fresh = _read_readings(connection, state.homes, households, slots)
        recompute(connection, state.homes, state.homes.devices["household"][fresh.device], fresh.slot, fresh)
    note_newest(state.homes, *_newest(connection, state.homes))
    state.stream, state.created, state.marks = live.stream, live.created, live.marks
    _settle_all(connection, state, span)
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


def _span(connection: Connection) -> range:
    """The slots that were measured."""
    row = connection.execute("select coalesce(min(slot), 0), coalesce(max(slot), -1) from reading").fetchone()
    assert row is not None
    return range(row[0], row[1] + 1)


def _windows(homes: Homes, span: range) -> Iterator[tuple[Ints, range]]:
    """All households and slots, in portions."""
    count = homes.households.count
    width = max(1, _KEYS_AT_ONCE // max(1, min(count, _HOUSEHOLDS_AT_ONCE)))
    for begin in range(span.start, span.stop, width):
        for start in range(0, count, _HOUSEHOLDS_AT_ONCE):
            households = np.arange(start, min(start + _HOUSEHOLDS_AT_ONCE, count))
            yield households, range(begin, min(begin + width, span.stop))


def _read_readings(connection: Connection, homes: Homes, households: Ints, slots: range) -> Rows:
    """The readings of all devices of these households in these slots."""
    device = np.flatnonzero(np.isin(homes.devices["household"], households))
    numbers = homes.devices["number"][device]
    source = stage(
        connection,
        "asked",
        {"place": "integer", **KEY_TYPES},
        {"place": device, "device": numbers, "slot": np.full(len(device), slots.start)},
    )
    found = read_columns(
        connection,
        f"""select a.place, r.* from {source} a join reading r
              on r.device = a.device and r.slot >= a.slot and r.slot < %s""",
        {"place": "integer", "slot": "integer", **value_types(VALUES)},
        (slots.stop,),
    )
    return _rows(found["place"], found)


def _rows(device: Ints, found: dict[str, Ints]) -> Rows:
    values = np.stack([found[name] for name in VALUES], axis=1)
    nothing = np.zeros(len(device), dtype=np.int64)
    return Rows(device, found["slot"], values, nothing, nothing, nothing)


def _settle_all(connection: Connection, state: Partitions, span: range) -> None:
    """Settles each partition in the order of slots, as far as its mark."""
    homes, until = state.homes, state.settled_until()
    sizes = np.bincount(homes.households["partition"], minlength=PARTITIONS)
    for partition in np.flatnonzero(sizes).tolist():
        width = max(1, _KEYS_AT_ONCE // int(sizes[partition]))
        for begin in range(span.start, min(span.stop, int(until[partition]) + 1), width):
            reached = np.minimum(until, begin + width - 1)
            _settle_between(connection, homes, [partition], np.full(PARTITIONS, begin - 1), reached)


def _settle_between(
    connection: Connection, homes: Homes, partitions: list[int], before: Ints, until: Ints
) -> None:
    household, slot = unsettled(connection, homes, partitions, before, until)
    settle(connection, homes, household, slot, np.full(len(household), MISSING), until)


def _newest(connection: Connection, homes: Homes) -> tuple[Ints, Ints]:
    numbers = homes.households["number"]
    found = read_columns(
        connection,
        "select household, max(slot) as slot from household_energy group by household",
        {"household": "bigint", "slot": "integer"},
    )
    order = np.argsort(numbers)
    return order[np.searchsorted(numbers[order], found["household"])], found["slot"]


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
    found = read_columns(
        connection,
        """select * from reading where sequence > %s
             or device in (select device from meter_device where device_id = any(%s::uuid[]))""",
        {**KEY_TYPES, **value_types(VALUES)},
        (min(state.stream.values()), changes.attached),
    )
    devices = state.homes.devices
    known = np.isin(found["device"], devices["number"])
    order = np.argsort(devices["number"])
    device = order[np.searchsorted(devices["number"][order], found["device"][known])]
    return _rows(device, {name: column[known] for name, column in found.items()})
