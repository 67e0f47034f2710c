"""Reading the log itself: what was decided, by whom, and what caused it."""

from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection

from projections.visibility import Scope
from write_side.events import Recorded
from write_side.stored_form import decode

Connection = AsyncConnection[Any]

# A household's streams carry its id in their names.
_FACTS: LiteralString = """
select f.notification_id, f.originator_id, f.originator_version, f.topic, f.state from fact f
where (%(everything)s or position(%(own)s::text in f.originator_id) > 0) """


async def fact(db: Connection, position: int) -> Recorded | None:
    """The fact at a position."""
    cursor = await db.execute(
        """select notification_id, originator_id, originator_version, topic, state from fact
           where notification_id = %s""",
        (position,),
    )
    row = await cursor.fetchone()
    return None if row is None else decode(*row)


async def facts(
    db: Connection,
    scope: Scope,
    *,
    behind: int,
    limit: int,
    correlation: str | None = None,
    household_id: UUID | None = None,
) -> list[Recorded]:
    """Up to `limit` facts behind a position; of one correlation or of one household's streams if given."""
    statement = (
        _FACTS
        + """and f.notification_id > %(behind)s
             and (%(household_id)s::text is null or position(%(household_id)s in f.originator_id) > 0)
             and (%(correlation)s::text is null or exists (
                   select from command_key k where k.correlation = %(correlation)s
                   and f.notification_id between k.first_position and k.position))
             order by f.notification_id limit %(limit)s"""
    )
    wanted = {
        **scope.parameters(),
        "behind": behind,
        "limit": limit,
        "correlation": correlation,
        "household_id": None if household_id is None else str(household_id),
    }
    cursor = await db.execute(statement, wanted)
    return [decode(*row) for row in await cursor.fetchall()]
