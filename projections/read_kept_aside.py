"""Reading what could not be used: messages and readings kept aside, with their reason."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from projections.visibility import Scope

Connection = AsyncConnection[Any]


@dataclass(frozen=True, kw_only=True)
class KeptAsideRow:
    """A message or reading that could not be used; sequence, item, slot and reason name it."""

    sequence: int
    item: int
    reason: str
    subject: str
    household_id: UUID | None
    device_id: UUID | None
    slot: int | None
    raw: bytes
    received_at: datetime

    @property
    def key(self) -> tuple[int, int, int, str]:
        """Its place in the order of all that was kept aside."""
        return self.sequence, self.item, -1 if self.slot is None else self.slot, self.reason


async def kept_aside(
    db: Connection,
    scope: Scope,
    *,
    before: tuple[int, int, int, str] | None,
    limit: int,
    reason: str | None = None,
) -> list[KeptAsideRow]:
    """Up to `limit` entries older than a key, the newest first; of one reason if given."""
    sequence, item, slot, behind_reason = before or (None, None, None, None)
    wanted = {
        **scope.parameters(),
        "reason": reason,
        "sequence": sequence,
        "item": item,
        "slot": slot,
        "behind": behind_reason,
        "limit": limit,
    }
    async with db.cursor(row_factory=class_row(KeptAsideRow)) as cursor:
        await cursor.execute(
            """select sequence, item, reason, subject, household_id, device_id, slot, raw, received_at
               from kept_aside
               where (%(everything)s or household_id = %(own)s)
                 and (%(reason)s::text is null or reason = %(reason)s)
                 and (%(sequence)s::bigint is null or (sequence, item, coalesce(slot, -1), reason)
                      < (%(sequence)s, %(item)s, %(slot)s, %(behind)s))
               order by sequence desc, item desc, coalesce(slot, -1) desc, reason desc limit %(limit)s""",
            wanted,
        )
        return await cursor.fetchall()


async def count_kept_aside(db: Connection, scope: Scope) -> dict[str, int]:
    """How many entries there are in the scope, by reason; for the whole grid with those no longer kept."""
    cursor = await db.execute(
        """select reason, sum(entries)::bigint from (
             select reason, count(*) as entries from kept_aside
             where (%(everything)s or household_id = %(own)s) group by reason
             union all
             select reason, dropped from kept_aside_dropped where %(everything)s) as counted
           group by reason order by reason""",
        scope.parameters(),
    )
    return {reason: int(entries) for reason, entries in await cursor.fetchall()}
