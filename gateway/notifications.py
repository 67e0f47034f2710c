"""Notifications: what people are told, as a list and as it comes, and why."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import strawberry
from strawberry import relay

from gateway import refusals
from gateway.access import Principal
from gateway.communities import Community, visible_community
from gateway.context import Context, Info
from gateway.described import listed, taken, told
from gateway.facts import Cause, cause_at
from gateway.following import follow
from gateway.global_ids import raw_id
from gateway.households import Household, visible_household
from gateway.pages import Connection, checked_first, cursor, edges, key_of
from gateway.permission import guarded, inside
from gateway.positions import Place, read, written
from gateway.scalars import Position
from gateway.sending import key_of as idempotency_key_of
from gateway.sending import own_household, send
from gateway.tails import LAST_ID
from gateway.wording import wording
from projections import read_notifications
from projections.read_notifications import Key, NotificationRow
from write_side import commands
from write_side.rules.timeslots import slot_start


@listed
class NotificationKind(StrEnum):
    """What a notification is about."""

    AUTARKY_REACHED = "AUTARKY_REACHED"
    AUTARKY_LOST = "AUTARKY_LOST"
    COMMUNITY_AUTARKY_REACHED = "COMMUNITY_AUTARKY_REACHED"
    COMMUNITY_AUTARKY_LOST = "COMMUNITY_AUTARKY_LOST"
    ORDER_EXPIRED = "ORDER_EXPIRED"
    SLOTS_CORRECTED = "SLOTS_CORRECTED"


@guarded
class Notification(relay.Node):
    """What one household was told."""

    notification_id: relay.NodeID[str]
    row: strawberry.Private[NotificationRow]

    def seen_by(self, principal: Principal) -> bool:
        """The people of the household and whoever sees every household."""
        return principal.sees_every_household or principal.household_id == self.row.household_id

    @told
    def position(self) -> Position:
        """Resume behind it with `after`; `markRead` takes it as `upTo`."""
        return written(self.row.position, str(self.row.household_id), self.row.kind)

    @told
    def at(self) -> datetime:
        """The grid's time."""
        return self.row.at

    @told
    def recorded_at(self) -> datetime:
        """The wall time at which it was stated."""
        return self.row.recorded_at

    @told
    def kind(self) -> NotificationKind:
        """What it is about."""
        return NotificationKind(self.row.kind)

    @told
    def title(self) -> str:
        """One line."""
        return wording(self.row).title

    @told
    def text(self) -> str:
        """The whole of it, with figures and local times."""
        return wording(self.row).text

    @told
    def read(self) -> bool:
        """Whether its people have read it."""
        return self.row.read

    @told
    def slot_start(self) -> datetime | None:
        """The slot it is about; null where it is about none."""
        return None if self.row.slot is None else slot_start(self.row.slot)

    @told
    def self_sufficiency_percent(self) -> Decimal | None:
        """The self-sufficiency it is about, percent; null where it is about none."""
        told = self.row.body.get("selfSufficiencyPercent")
        return None if told is None else Decimal(told)

    @told
    async def household(self, info: Info) -> Household | None:
        """The household that was told; null where the asker may not see it any more."""
        return await visible_household(info.context, self.row.household_id)

    @told
    async def community(self, info: Info) -> Community | None:
        """The community it is about; null where it is about none."""
        if not self.row.kind.startswith("COMMUNITY"):
            return None
        return await visible_community(info.context, self.row.subject_id)

    @told
    async def cause(self, info: Info) -> Cause:
        """The fact that brought it."""
        return await cause_at(info.context, self.row.position)


@taken
class MarkReadInput:
    """Notifications that have been read."""

    household_id: relay.GlobalID = strawberry.field(description="The household.")
    up_to: Position = strawberry.field(description="The newest notification that was read: its position.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="Repeated with the same input it answers the first answer."
    )


@inside
class MarkReadPayload:
    """What is left to read."""

    position: Position = strawberry.field(description="The receipt: `after` takes it.")
    unread_count: int = strawberry.field(description="Notifications the household has not read.")


MarkReadResult = Annotated[
    MarkReadPayload
    | refusals.HouseholdUnknown
    | refusals.InvalidInput
    | refusals.KeyReused
    | refusals.NotPermitted,
    strawberry.union("MarkReadResult", description="What is left, or the rule it would have broken."),
]


async def mark_read(info: Info, input: MarkReadInput) -> MarkReadResult:
    """Marks a household's notifications as read up to a position."""
    context, household_id = info.context, own_household(info, input.household_id)
    command = commands.MarkRead(household_id=household_id, up_to_position=read(input.up_to).position)
    receipt = await send(info, command, idempotency_key_of(input.idempotency_key))
    await context.parts.views.reached("notifications", receipt.position)
    unread = await context.read(
        read_notifications.count_notifications, context.scope, unread_only=True, household_id=household_id
    )
    return MarkReadPayload(position=written(receipt.position), unread_count=unread)


def node_of(row: NotificationRow) -> Notification:
    """A notification under its global id."""
    return Notification(notification_id=f"{row.position}.{row.household_id}.{row.kind}", row=row)


async def visible_notification(context: Context, node_id: str) -> Notification | None:
    """The notification as the asker may see it."""
    try:
        position, household_id, kind = node_id.split(".")
        key = (int(position), UUID(household_id), kind)
    except ValueError:
        return None
    row = await context.read(read_notifications.notification, context.scope, key)
    return None if row is None else node_of(row)


async def notifications_page(
    context: Context, first: int, after: str | None, unread_only: bool, household_id: relay.GlobalID | None
) -> Connection[Notification]:
    """A page of the notifications the asker may see, the newest first; of one household if given."""
    wanted: dict[str, Any] = {"unread_only": unread_only, "household_id": None}
    if household_id is not None:
        # No household has the nil id, so another type's id finds nothing.
        wanted["household_id"] = raw_id(household_id, "Household") or UUID(int=0)
    rows = await context.read(
        read_notifications.latest_notifications,
        context.scope,
        before=key_of(after, int, UUID, str),
        limit=checked_first(first) + 1,
        **wanted,
    )
    made, place = edges(rows, first, node_of, lambda row: cursor(*row.key), behind=after)
    total = await context.read(read_notifications.count_notifications, context.scope, **wanted)
    return Connection(edges=made, page_info=place, total_count=total)


async def notification_events(context: Context, after: Place | None) -> AsyncIterator[Notification]:
    """Every notification the asker may see behind a place, as they come."""
    start: Key | None = None
    if after is not None:
        start = (after.position, LAST_ID, "")
        if len(after.row) == 2:
            start = (after.position, UUID(after.row[0]), after.row[1])

    async def look(behind: Key, limit: int) -> list[NotificationRow]:
        return await context.read(
            read_notifications.notifications_behind, context.scope, behind=behind, limit=limit
        )

    async for row in follow(context, context.parts.tails.notifications, start, look, context.scope):
        yield node_of(row)
