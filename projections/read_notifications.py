"""Reading what people were told: pages of it, the newest first, and what came behind a position."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from projections.visibility import Scope

Connection = AsyncConnection[Any]
Key = tuple[int, UUID, str]


@dataclass(frozen=True, kw_only=True)
class NotificationRow:
    """What one household was told; position, household and kind name it.

    `device_name` is that of the device it is about, where it is about one.
    """

    position: int
    household_id: UUID
    kind: str
    at: datetime
    recorded_at: datetime
    slot: int | None
    subject_id: UUID | None
    body: dict[str, Any]
    device_name: str | None
    read: bool

    @property
    def key(self) -> Key:
        """Its place in the order of all notifications."""
        return self.position, self.household_id, self.kind


_NOTIFICATIONS: LiteralString = """
select position, household_id, kind, at, recorded_at, slot, subject_id, body,
  case kind when 'ORDER_EXPIRED' then (select name from device where device_id = subject_id) end
    as device_name, read
from notification where (%(everything)s or household_id = %(own)s) """


async def notification(db: Connection, scope: Scope, key: Key) -> NotificationRow | None:
    """One notification, None where there is none in the scope."""
    statement = (
        _NOTIFICATIONS + "and (position, household_id, kind) = (%(position)s, %(household_id)s, %(kind)s)"
    )
    position, household_id, kind = key
    wanted = {"position": position, "household_id": household_id, "kind": kind}
    async with db.cursor(row_factory=class_row(NotificationRow)) as cursor:
        await cursor.execute(statement, {**scope.parameters(), **wanted})
        return await cursor.fetchone()


async def latest_notifications(
    db: Connection,
    scope: Scope,
    *,
    before: Key | None,
    limit: int,
    unread_only: bool = False,
    household_id: UUID | None = None,
) -> list[NotificationRow]:
    """Up to `limit` notifications older than a key, the newest first; of one household if given."""
    statement = (
        _NOTIFICATIONS
        + """and (%(household_id)s::uuid is null or household_id = %(household_id)s)
             and not (%(unread_only)s and read)
             and (%(position)s::bigint is null
                  or (position, household_id, kind) < (%(position)s, %(before_household)s, %(kind)s))
             order by position desc, household_id desc, kind desc limit %(limit)s"""
    )
    position, before_household, kind = before or (None, None, None)
    wanted = {
        **scope.parameters(),
        "household_id": household_id,
        "unread_only": unread_only,
        "position": position,
        "before_household": before_household,
        "kind": kind,
        "limit": limit,
    }
    async with db.cursor(row_factory=class_row(NotificationRow)) as cursor:
        await cursor.execute(statement, wanted)
        return await cursor.fetchall()


async def notifications_behind(
    db: Connection, scope: Scope, *, behind: Key, limit: int
) -> list[NotificationRow]:
    """Up to `limit` notifications behind a key, the oldest first."""
    statement = (
        _NOTIFICATIONS
        + """and (position, household_id, kind) > (%(position)s, %(household_id)s, %(kind)s)
             order by position, household_id, kind limit %(limit)s"""
    )
    position, household_id, kind = behind
    wanted = {"position": position, "household_id": household_id, "kind": kind, "limit": limit}
    async with db.cursor(row_factory=class_row(NotificationRow)) as cursor:
        await cursor.execute(statement, {**scope.parameters(), **wanted})
        return await cursor.fetchall()


async def count_notifications(
    db: Connection, scope: Scope, *, unread_only: bool, household_id: UUID | None
) -> int:
    """How many notifications there are in the scope; of one household if given."""
    cursor = await db.execute(
        """select count(*) from notification where (%(everything)s or household_id = %(own)s)
             and (%(household_id)s::uuid is null or household_id = %(household_id)s)
             and not (%(unread_only)s and read)""",
        {**scope.parameters(), "household_id": household_id, "unread_only": unread_only},
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
