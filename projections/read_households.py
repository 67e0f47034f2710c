"""Reading who there is: households, one or a page, and their consent."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from projections.visibility import Scope

Connection = AsyncConnection[Any]


@dataclass(frozen=True, kw_only=True)
class HouseholdRow:
    """A household; `number` is its place in the order of registration and its name in the meter tables."""

    household_id: UUID
    number: int
    area_id: UUID
    community_id: UUID | None
    name: str
    subscribed_power_w: int
    registered_at: datetime


@dataclass(frozen=True, kw_only=True)
class ConsentRow:
    """What a household's data may be used for, and how fine."""

    purpose: str
    granularity: str
    version: int
    given_at: datetime


_HOUSEHOLDS: LiteralString = """
select h.household_id, h.number, h.area_id, h.community_id, coalesce(p.name, '') as name,
       h.subscribed_power_w, h.registered_at
from household h left join place p on p.household_id = h.household_id
where (%(everything)s or h.household_id = %(own)s) """


async def household(db: Connection, scope: Scope, household_id: UUID) -> HouseholdRow | None:
    """One household, None where there is none in the scope."""
    statement = _HOUSEHOLDS + "and h.household_id = %(household_id)s"
    async with db.cursor(row_factory=class_row(HouseholdRow)) as cursor:
        await cursor.execute(statement, {**scope.parameters(), "household_id": household_id})
        return await cursor.fetchone()


async def households(
    db: Connection, scope: Scope, *, behind: int, limit: int, community_id: UUID | None = None
) -> list[HouseholdRow]:
    """Up to `limit` households behind a number, in the order of registration; of one community if given."""
    statement = (
        _HOUSEHOLDS
        + """and h.number > %(behind)s
             and (%(community_id)s::uuid is null or h.community_id = %(community_id)s)
             order by h.number limit %(limit)s"""
    )
    wanted = {**scope.parameters(), "behind": behind, "limit": limit, "community_id": community_id}
    async with db.cursor(row_factory=class_row(HouseholdRow)) as cursor:
        await cursor.execute(statement, wanted)
        return await cursor.fetchall()


async def count_households(db: Connection, scope: Scope, community_id: UUID | None = None) -> int:
    """How many households there are in the scope; of one community if given."""
    cursor = await db.execute(
        """select count(*) from household h where (%(everything)s or h.household_id = %(own)s)
             and (%(community_id)s::uuid is null or h.community_id = %(community_id)s)""",
        {**scope.parameters(), "community_id": community_id},
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def consents(db: Connection, household_id: UUID) -> list[ConsentRow]:
    """What a household has consented to."""
    async with db.cursor(row_factory=class_row(ConsentRow)) as cursor:
        await cursor.execute(
            """select purpose, granularity, version, given_at from consent
               where household_id = %s order by purpose""",
            (household_id,),
        )
        return await cursor.fetchall()
