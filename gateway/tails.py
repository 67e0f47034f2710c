"""What can be followed: changes of autarky, notifications, closings; who may see each of their rows."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from gateway.database import Database
from gateway.tail import Tail
from gateway.waiting import Views
from projections import read_autarky, read_clock, read_communities, read_notifications
from projections.read_autarky import ChangeRow
from projections.read_clock import ClosedSlotRow
from projections.read_notifications import NotificationRow
from projections.visibility import Scope

LAST_ID = UUID(int=2**128 - 1)  # behind every row of a position
_EVERYTHING = Scope(everything=True)


class Tails:
    """One of each for a gateway process."""

    def __init__(self, database: Database, views: Views) -> None:
        self._database = database
        self.autarky = Tail(
            views,
            "autarky",
            lambda position: (position, LAST_ID),
            self._changes,
            lambda row: row.key,
            self._concerned_by_changes,
        )
        self.notifications = Tail(
            views,
            "notifications",
            lambda position: (position, LAST_ID, ""),
            self._notifications,
            lambda row: row.key,
            _concerned_by_notifications,
        )
        self.slots = Tail(
            views, "slots", int, self._closings, lambda row: row.position, _concerned_by_closings
        )

    def close(self) -> None:
        """Ends them."""
        for tail in (self.autarky, self.notifications, self.slots):
            tail.close()

    async def _changes(self, behind: read_autarky.Key, limit: int) -> list[ChangeRow]:
        return await self._database.read(
            read_autarky.changes_behind, _EVERYTHING, behind=behind, limit=limit, subjects=None
        )

    async def _notifications(self, behind: read_notifications.Key, limit: int) -> list[NotificationRow]:
        return await self._database.read(
            read_notifications.notifications_behind, _EVERYTHING, behind=behind, limit=limit
        )

    async def _closings(self, behind: int, limit: int) -> list[ClosedSlotRow]:
        return await self._database.read(read_clock.closed_slots, behind=behind, limit=limit)

    async def _concerned_by_changes(
        self, rows: Sequence[ChangeRow], households: Sequence[UUID]
    ) -> list[Iterable[UUID]]:
        """A household its own change, the members of a community its change too."""
        communities = [row.subject_id for row in rows if row.is_community]
        members: dict[UUID, list[UUID]] = {}
        if communities and households:
            members = await self._database.read(read_communities.members_among, communities, households)
        return [members.get(row.subject_id, ()) if row.is_community else (row.subject_id,) for row in rows]


async def _concerned_by_notifications(
    rows: Sequence[NotificationRow], _households: Sequence[UUID]
) -> list[Iterable[UUID]]:
    return [(row.household_id,) for row in rows]


async def _concerned_by_closings(
    rows: Sequence[ClosedSlotRow], _households: Sequence[UUID]
) -> list[Iterable[UUID]]:
    """Closings are for everybody, and whoever follows them has a seat for everything."""
    return [()] * len(rows)
