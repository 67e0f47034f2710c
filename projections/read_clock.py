"""Reading the clock: the grid's time, where it is heading, the slots that have closed."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from write_side.rules.timeslots import slot_of

Connection = AsyncConnection[Any]


@dataclass(frozen=True, kw_only=True)
class ClockRow:
    """The grid's time; `target` while an ordered advance lasts; None in `last_closed` before any closing."""

    now: datetime
    simulated: bool
    first_slot: int
    target: datetime | None
    last_closed: int | None

    @property
    def slot(self) -> int:
        """The slot that runs now."""
        return slot_of(self.now)


@dataclass(frozen=True, kw_only=True)
class ClosedSlotRow:
    """A closed slot; `closed_at` is wall time."""

    slot: int
    position: int
    closed_at: datetime
    missing_partitions: list[int]
    silent_sources: list[str]


async def clock(db: Connection) -> ClockRow | None:
    """The clock, None before the grid is founded; on the wall clock its time is the wall's."""
    async with db.cursor(row_factory=class_row(ClockRow)) as cursor:
        await cursor.execute(
            """select case when simulated then now else %s end as now, simulated, first_slot, target,
                      (select max(slot) from closed_slot) as last_closed from clock""",
            (datetime.now(UTC),),
        )
        return await cursor.fetchone()


async def closed_slots(db: Connection, *, behind: int, limit: int) -> list[ClosedSlotRow]:
    """Up to `limit` slots that closed behind a position, in the order they closed."""
    async with db.cursor(row_factory=class_row(ClosedSlotRow)) as cursor:
        await cursor.execute(
            """select slot, position, closed_at, missing_partitions, silent_sources from closed_slot
               where position > %s order by position limit %s""",
            (behind, limit),
        )
        return await cursor.fetchall()


async def count_closed(db: Connection, *, behind: int, before: datetime) -> int:
    """How many slots before a time closed behind a position."""
    cursor = await db.execute(
        "select count(*) from closed_slot where position > %s and slot < %s", (behind, slot_of(before))
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
