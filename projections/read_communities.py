"""Reading communities: one, a page by founding, a page by how they stand with autarky."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from projections.visibility import Scope

Connection = AsyncConnection[Any]


@dataclass(frozen=True, kw_only=True)
class CommunityRow:
    """A community as an asker may see it; `is_own` where the asker's household is a member.

    `rank` orders by autarky: communities that have reached it first, the longest standing before the others.
    """

    community_id: UUID
    area_id: UUID
    founded_at: datetime
    members: int
    is_own: bool
    rank: int
    since_slot: int


_COMMUNITIES: LiteralString = """
with visible as (
  select c.community_id, c.area_id, c.founded_at, c.members,
         exists (select from household h where h.household_id = %(own)s
                 and h.community_id = c.community_id) as is_own,
         case s.state when 'REACHED' then 0 when 'NOT_REACHED' then 1 else 2 end as rank,
         coalesce(s.since_slot, 2147483647) as since_slot
  from community c left join autarky_state s on s.subject_id = c.community_id)
select * from visible where (%(everything)s or is_own) """


async def community(db: Connection, scope: Scope, community_id: UUID) -> CommunityRow | None:
    """One community, None where there is none in the scope."""
    statement = _COMMUNITIES + "and community_id = %(community_id)s"
    async with db.cursor(row_factory=class_row(CommunityRow)) as cursor:
        await cursor.execute(statement, {**scope.parameters(), "community_id": community_id})
        return await cursor.fetchone()


async def communities_by_founding(
    db: Connection, scope: Scope, *, behind: tuple[datetime, UUID] | None, limit: int
) -> list[CommunityRow]:
    """Up to `limit` communities behind a founding and id, the oldest first."""
    statement = (
        _COMMUNITIES
        + """and (%(id)s::uuid is null or (founded_at, community_id) > (%(at)s, %(id)s))
             order by founded_at, community_id limit %(limit)s"""
    )
    at, behind_id = behind or (None, None)
    wanted = {**scope.parameters(), "at": at, "id": behind_id, "limit": limit}
    async with db.cursor(row_factory=class_row(CommunityRow)) as cursor:
        await cursor.execute(statement, wanted)
        return await cursor.fetchall()


async def communities_by_autarky(
    db: Connection, scope: Scope, *, behind: tuple[int, int, UUID] | None, limit: int
) -> list[CommunityRow]:
    """Up to `limit` communities behind a rank, since and id: those that have reached autarky first."""
    statement = (
        _COMMUNITIES
        + """and (%(id)s::uuid is null
                  or (rank, since_slot, community_id) > (%(rank)s, %(since)s, %(id)s))
             order by rank, since_slot, community_id limit %(limit)s"""
    )
    rank, since, behind_id = behind or (None, None, None)
    wanted = {**scope.parameters(), "rank": rank, "since": since, "id": behind_id, "limit": limit}
    async with db.cursor(row_factory=class_row(CommunityRow)) as cursor:
        await cursor.execute(statement, wanted)
        return await cursor.fetchall()


async def members_among(
    db: Connection, community_ids: Sequence[UUID], households: Sequence[UUID]
) -> dict[UUID, list[UUID]]:
    """Which of these households are members of each of these communities now."""
    cursor = await db.execute(
        """select community_id, array_agg(household_id) from household
           where community_id = any(%s) and household_id = any(%s) group by community_id""",
        (list(community_ids), list(households)),
    )
    return dict(await cursor.fetchall())


async def count_communities(db: Connection, scope: Scope) -> int:
    """How many communities there are in the scope."""
    statement: LiteralString = "select count(*) from (" + _COMMUNITIES + ") as visible"
    cursor = await db.execute(statement, scope.parameters())
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
