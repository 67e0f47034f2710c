"""The clock, the slots that have closed, and the corrections of closed ones."""

from typing import Any

from projections.bulk_rows import array, copy_lines, nullable
from projections.database_cursor import Cursor
from projections.told_facts import Facts, slot_at
from write_side.events import (
    ClockAdvanced,
    ClockAdvanceFinished,
    ClockAdvanceOrdered,
    GridFounded,
    SlotClosed,
    SlotsCorrected,
)

NAME = "slots"
FACTS = (ClockAdvanced, ClockAdvanceFinished, ClockAdvanceOrdered, GridFounded, SlotClosed, SlotsCorrected)

TABLES = """
create table if not exists clock (
    id bool primary key default true check (id), now timestamptz not null, simulated bool not null,
    first_slot int not null, target timestamptz, stride text);
create table if not exists closed_slot (
    slot int primary key, position bigint not null, closed_at timestamptz not null,
    missing_partitions smallint[] not null, silent_sources text[] not null);
create index if not exists closed_slot_position on closed_slot (position);
create table if not exists correction (
    position bigint primary key, community_id uuid, household_ids uuid[] not null, first_slot int not null,
    last_slot int not null, slots int not null, consumption_wh_change bigint not null,
    production_wh_change bigint not null, run bigint not null)
"""
LATER = ("closed_slot_pkey", "closed_slot_position", "correction_pkey")


def apply(db: Cursor, facts: Facts) -> None:
    """What a batch of facts changes."""
    for _, _, told in facts.of(GridFounded):
        db.execute(
            "insert into clock (now, simulated, first_slot) values (%s, %s, %s)",
            (told.fact.first_slot_start, told.fact.simulated, slot_at(told.fact.first_slot_start)),
        )
    _move_clock(db, facts)
    _close(db, facts)
    _correct(db, facts)


def _move_clock(db: Cursor, facts: Facts) -> None:
    """Where the batch leaves the clock: what it shows, and where it is heading."""
    changed: dict[str, Any] = {}
    for _, kind, told in facts.of(ClockAdvanceOrdered, ClockAdvanced, ClockAdvanceFinished):
        if kind == ClockAdvanced.__name__:
            changed["now"] = told.fact.to
        elif kind == ClockAdvanceOrdered.__name__:
            changed |= {"target": told.fact.to, "stride": told.fact.stride}
        else:
            changed |= {"target": None, "stride": None}
    if "now" in changed:
        db.execute("update clock set now = %s", (changed["now"],))
    if "target" in changed:
        db.execute("update clock set target = %s, stride = %s", (changed["target"], changed["stride"]))


def _close(db: Cursor, facts: Facts) -> None:
    closed = facts.of(SlotClosed)
    if closed:
        with db.copy("copy closed_slot from stdin") as copy:
            for position, _, told in closed:
                fact = told.fact
                missing, silent = list(fact.missing_partitions), list(fact.silent_sources)
                copy.write_row((slot_at(fact.slot_start), position, told.recorded_at, missing, silent))


def _correct(db: Cursor, facts: Facts) -> None:
    lines = []
    for position, _, told in facts.of(SlotsCorrected):
        fact = told.fact
        lines.append(
            f"{position}\t{nullable(fact.community_id)}\t{array(fact.household_ids)}\t"
            f"{slot_at(fact.first_slot_start)}\t{slot_at(fact.last_slot_start)}\t{fact.slots}\t"
            f"{fact.consumption_wh_change}\t{fact.production_wh_change}\t{fact.run}"
        )
    copy_lines(db, "correction", lines)
