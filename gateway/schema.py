"""The schema: every question, every mutation and every subscription. `python -m gateway.schema` prints it."""

from collections.abc import AsyncIterator
from typing import TypeVar
from uuid import UUID

import strawberry
from graphql import GraphQLError
from strawberry import relay
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from gateway import autarky_rules, clock, device_orders, metering, notifications, registration
from gateway.autarky import AutarkyChangedEvent, autarky_events, subjects_of
from gateway.communities import Community, CommunityOrder, communities_page, visible_community
from gateway.context import Info, operation
from gateway.described import description_of, pushed, told_with
from gateway.devices import visible_device
from gateway.execution import PlainFieldsFirst
from gateway.facts import FactConnection, facts_page
from gateway.faults import tell
from gateway.global_ids import raw_id
from gateway.grid import Grid, GridNow, grid_now
from gateway.households import Household, households_page, visible_household
from gateway.kept_aside import KeptAsideConnection, KeptAsideReason, kept_aside_page
from gateway.lifecycle import Lifecycle
from gateway.live_power import LivePower, live_power_events
from gateway.notifications import Notification, notification_events, notifications_page, visible_notification
from gateway.pages import Connection
from gateway.permission import Asks, ForAll, enforce, inside
from gateway.positions import read
from gateway.scalars import SCALARS, Position
from gateway.sending import mutation
from gateway.windows import founded_clock

_NOBODY = UUID(int=0)


@inside
class Viewer:
    """Who asks."""

    role: str = strawberry.field(description="The role in the token.")
    subject: str = strawberry.field(description="The name in the token.")
    household: Household | None = strawberry.field(description="The token's household; null for other roles.")


asked, for_all = told_with(Asks()), told_with(ForAll())
T = TypeVar("T")


def _root(cls: type[T]) -> type[T]:
    return strawberry.type(cls, description=description_of(cls))


@_root
class Query:
    """Everything that can be asked."""

    @asked
    async def node(self, info: Info, id: relay.GlobalID) -> relay.Node | None:
        """Any object by its global id; null where there is none for the asker."""
        match id.type_name:
            case "Household":
                return await visible_household(info.context, raw_id(id, "Household"))
            case "Device":
                return await visible_device(info.context, raw_id(id, "Device"))
            case "Community":
                return await visible_community(info.context, raw_id(id, "Community"))
            case "Notification":
                return await visible_notification(info.context, id.node_id)
            case _:
                return None

    @asked
    async def me(self, info: Info) -> Viewer:
        """Who asks."""
        asker = info.context.asker
        own = await visible_household(info.context, asker.household_id)
        return Viewer(role=asker.role, subject=asker.subject, household=own)

    @for_all
    async def clock(self, info: Info, after: Position | None = None) -> clock.Clock:
        """The grid's clock, for everybody."""
        await info.context.reached("slots", None if after is None else read(after))
        return clock.clock_of(await founded_clock(info.context))

    @asked
    async def household(
        self, info: Info, id: relay.GlobalID | None = None, after: Position | None = None
    ) -> Household | None:
        """One household; the token's own where no id is given. Null where there is none for the asker."""
        place = None if after is None else read(after)
        wanted = info.context.asker.household_id if id is None else raw_id(id, "Household")
        await info.context.reached("households", place)
        return await visible_household(info.context, wanted, place)

    @asked
    async def households(
        self,
        info: Info,
        first: int = 20,
        after: str | None = None,
        community_id: relay.GlobalID | None = None,
    ) -> Connection[Household]:
        """The households the asker may see, in the order they signed up."""
        wanted = None if community_id is None else raw_id(community_id, "Community") or _NOBODY
        return await households_page(info.context, first, after, wanted)

    @asked
    async def community(
        self, info: Info, id: relay.GlobalID, after: Position | None = None
    ) -> Community | None:
        """One community; null where there is none for the asker."""
        place = None if after is None else read(after)
        await info.context.reached("households", place)
        return await visible_community(info.context, raw_id(id, "Community"), place)

    @asked
    async def communities(
        self,
        info: Info,
        first: int = 20,
        after: str | None = None,
        order_by: CommunityOrder = CommunityOrder.FOUNDED,
    ) -> Connection[Community]:
        """The communities the asker may see: a household its own."""
        return await communities_page(info.context, first, after, order_by)

    @asked
    async def grid(self, info: Info, after: Position | None = None) -> Grid | None:
        """All households together; null for whoever may not see them."""
        place = None if after is None else read(after)
        await info.context.reached("households", place)
        return Grid(after=place) if info.context.asker.sees_every_household else None

    @asked
    async def grid_now(self, info: Info, after: Position | None = None) -> GridNow | None:
        """The grid now, for the control room; null for whoever may not see it."""
        await info.context.reached("metering", None if after is None else read(after))
        return await grid_now(info.context) if info.context.asker.sees_every_household else None

    @asked
    async def notifications(
        self,
        info: Info,
        first: int = 20,
        after: str | None = None,
        unread_only: bool = False,
        household_id: relay.GlobalID | None = None,
    ) -> Connection[Notification]:
        """What people were told, the newest first."""
        return await notifications_page(info.context, first, after, unread_only, household_id)

    @asked
    async def kept_aside(
        self,
        info: Info,
        first: int = 20,
        after: str | None = None,
        reason: KeptAsideReason | None = None,
    ) -> KeptAsideConnection:
        """Messages and readings that could not be used, the newest first."""
        return await kept_aside_page(info.context, first, after, reason)

    @asked
    async def facts(
        self,
        info: Info,
        first: int = 50,
        after: Position | None = None,
        correlation_id: str | None = None,
        household_id: relay.GlobalID | None = None,
    ) -> FactConnection:
        """The log, the oldest fact first; a household sees its own streams."""
        place = None if after is None else read(after)
        wanted = None if household_id is None else raw_id(household_id, "Household") or _NOBODY
        return await facts_page(info.context, first, place, correlation_id, wanted)


@_root
class Mutation:
    """Everything that can be asked to change. A refusal is an answer, not an error."""

    register_household = mutation(registration.register_household, "operator", "aggregator")
    rename_household = mutation(registration.rename_household)
    join_community = mutation(registration.join_community)
    leave_community = mutation(registration.leave_community)
    set_consent = mutation(registration.set_consent)
    attach_device = mutation(device_orders.attach_device)
    detach_device = mutation(device_orders.detach_device)
    switch_device = mutation(device_orders.switch_device)
    set_autarky_rule = mutation(autarky_rules.set_autarky_rule)
    mark_read = mutation(notifications.mark_read)
    record_readings = mutation(metering.record_readings, *metering.SENDERS)
    advance_clock = mutation(clock.advance_clock, "operator")


@_root
class Subscription:
    """What happens, as it happens; `after` resumes, none missed and none twice."""

    @pushed
    async def autarky_changed(
        self,
        info: Info,
        household_id: relay.GlobalID | None = None,
        community_id: relay.GlobalID | None = None,
        after: Position | None = None,
    ) -> AsyncIterator[AutarkyChangedEvent]:
        """Changes of autarky: of these subjects, or all the asker may see."""
        place = None if after is None else read(after)
        async for event in autarky_events(info.context, subjects_of(household_id, community_id), place):
            yield event

    @pushed
    async def notifications(self, info: Info, after: Position | None = None) -> AsyncIterator[Notification]:
        """What the token's household is told; for operators all households."""
        async for event in notification_events(info.context, None if after is None else read(after)):
            yield event

    @pushed
    async def slot_closed(
        self, info: Info, after: Position | None = None
    ) -> AsyncIterator[clock.SlotClosedEvent]:
        """Each slot as it closes."""
        async for event in clock.slot_events(info.context, None if after is None else read(after)):
            yield event

    @pushed
    async def live_power(
        self, info: Info, household_id: relay.GlobalID | None = None
    ) -> AsyncIterator[LivePower]:
        """A household's power as its box tells it, at most once a second; the token's own by default."""
        async for event in live_power_events(info.context, household_id):
            yield event


class GridSchema(strawberry.Schema):
    """Tells every error in the words of the interface."""

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Gives errors their codes in place, and masks what nobody foresaw."""
        del execution_context
        tell(errors, operation().correlation)


schema = GridSchema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    extensions=[Lifecycle],
    execution_context_class=PlainFieldsFirst,
    config=StrawberryConfig(scalar_map=SCALARS),
)
enforce(schema._schema)

if __name__ == "__main__":
    print(schema.as_str())
