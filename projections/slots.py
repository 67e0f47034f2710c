"""The clock, the slots that have closed, and the corrections of closed ones."""

from projections.cursor import Cursor
from write_side.events import (
    ClockAdvanced,
    ClockAdvanceFinished,
    ClockAdvanceOrdered,
    GridFounded,
    Recorded,
    SlotClosed,
    SlotsCorrected,
)
from write_side.rules.timeslots import slot_of

NAME = "slots"

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


def apply(db: Cursor, recorded: Recorded) -> None:
    """What one fact changes; facts of other stories change nothing here."""
    match recorded.fact:
        case GridFounded() as fact:
            db.execute(
                "insert into clock (now, simulated, first_slot) values (%s, %s, %s)",
                (fact.first_slot_start, fact.simulated, slot_of(fact.first_slot_start)),
            )
        case ClockAdvanceOrdered() as fact:
            db.execute("update clock set target = %s, stride = %s", (fact.to, fact.stride))
        case ClockAdvanced() as fact:
            db.execute("update clock set now = %s", (fact.to,))
        case ClockAdvanceFinished():
            db.execute("update clock set target = null, stride = null")
        case SlotClosed() as fact:
            _close(db, recorded, fact)
        case SlotsCorrected() as fact:
            _correct(db, recorded.position, fact)


def _close(db: Cursor, recorded: Recorded, fact: SlotClosed) -> None:
    db.execute(
        """insert into closed_slot (slot, position, closed_at, missing_partitions, silent_sources)
           values (%s, %s, %s, %s, %s)""",
        (
            slot_of(fact.slot_start),
            recorded.position,
            recorded.recorded_at,
            list(fact.missing_partitions),
            list(fact.silent_sources),
        ),
    )


def _correct(db: Cursor, position: int, fact: SlotsCorrected) -> None:
    db.execute(
        """insert into correction (position, community_id, household_ids, first_slot, last_slot, slots,
             consumption_wh_change, production_wh_change, run) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            position,
            fact.community_id,
            list(fact.household_ids),
            slot_of(fact.first_slot_start),
            slot_of(fact.last_slot_start),
            fact.slots,
            fact.consumption_wh_change,
            fact.production_wh_change,
            fact.run,
        ),
    )
