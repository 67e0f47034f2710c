"""Households: who they are, and everything that hangs on one."""

from datetime import datetime
from uuid import UUID

import strawberry
from strawberry import relay

from gateway.access import Principal
from gateway.autarky import (
    AutarkyFigures,
    AutarkyRule,
    AutarkyState,
    autarky_rule,
    autarky_state,
    household_figures,
)
from gateway.communities import Community, visible_community
from gateway.consent import Consent, consents_of
from gateway.context import Context, Info, operation
from gateway.described import told
from gateway.devices import Device, visible_device
from gateway.energy import HouseholdEnergy, household_series
from gateway.flows import BatteryState, HouseholdFlows, battery_state, flow_series
from gateway.global_ids import raw_id
from gateway.pages import Connection, checked_first, cursor, edges, key_of
from gateway.permission import guarded, inside
from gateway.positions import Place
from gateway.windows import AsOf, From, Last, To, window
from projections import read_devices, read_households
from projections.read_households import HouseholdRow
from write_side.rules.timeslots import Resolution


@inside
class Topics:
    """Where a household's readings go and its orders come from."""

    mqtt_readings: str = strawberry.field(description="MQTT topic for readings, QoS 1.")
    nats_readings: str = strawberry.field(description="NATS subject for readings, JetStream.")
    mqtt_orders: str = strawberry.field(description="MQTT topic of orders to its devices.")
    nats_orders: str = strawberry.field(description="NATS subject of orders to its devices.")
    mqtt_order_answers: str = strawberry.field(description="MQTT topic for its devices' answers.")
    nats_order_answers: str = strawberry.field(description="NATS subject for its devices' answers.")
    mqtt_live: str = strawberry.field(description="MQTT topic for live power, never stored.")
    nats_live: str = strawberry.field(description="NATS subject for live power, never stored.")


@guarded
class Household(relay.Node):
    """A household: people on one contract, with one connection to the grid."""

    household_id: relay.NodeID[UUID]
    row: strawberry.Private[HouseholdRow]
    after: strawberry.Private[Place | None] = None

    def seen_by(self, principal: Principal) -> bool:
        """Its own people and whoever sees every household."""
        return principal.sees_every_household or principal.household_id == self.household_id

    @told
    def uuid(self) -> UUID:
        """The raw id, as topics and tokens name it."""
        return self.household_id

    @told
    def name(self) -> str:
        """Its name; empty once its people were forgotten."""
        return self.row.name

    @told
    def registered_at(self) -> datetime:
        """The grid's time when it signed up."""
        return self.row.registered_at

    @told
    def subscribed_power_w(self) -> int:
        """The power it subscribed to, W."""
        return self.row.subscribed_power_w

    @told
    def area(self) -> UUID:
        """The network area it stands in for life, raw id."""
        return self.row.area_id

    @told
    async def community(self, info: Info) -> Community | None:
        """The community it shares in; null for none."""
        return await visible_community(info.context, self.row.community_id, self.after)

    @told
    def topics(self) -> Topics:
        """Where its readings go and its orders come from."""
        own, area = self.household_id, self.row.area_id
        return Topics(
            mqtt_readings=f"readings/{area}/{own}",
            nats_readings=f"intake.{area}.{own}",
            mqtt_orders=f"orders/{own}",
            nats_orders=f"orders.{own}",
            mqtt_order_answers=f"orders/done/{own}",
            nats_order_answers=f"orders.done.{own}",
            mqtt_live=f"live/{own}",
            nats_live=f"live.{own}",
        )

    @told
    async def devices(self, info: Info, include_detached: bool = False) -> list[Device]:
        """Its devices in the order they were attached."""
        rows = await info.context.read(
            read_devices.devices, info.context.scope, self.household_id, include_detached=include_detached
        )
        return [Device(device_id=row.device_id, row=row, after=self.after) for row in rows]

    @told
    async def device(self, info: Info, id: relay.GlobalID) -> Device | None:
        """One of its devices; null where it has no such one."""
        return await visible_device(info.context, raw_id(id, "Device"), self.household_id, self.after)

    @told
    async def energy(
        self,
        info: Info,
        from_: From = None,
        to: To = None,
        last: Last = None,
        resolution: Resolution = Resolution.QUARTER_HOUR,
        as_of: AsOf = None,
    ) -> HouseholdEnergy:
        """Its energy; by default the last 96 buckets, as known now or at `asOf`."""
        await info.context.reached("metering", self.after)
        asked = await window(info.context, from_, to, last, resolution)
        series = await household_series(info.context, self.row, asked, as_of)
        return HouseholdEnergy(series=series, household=self.row, as_of=as_of)

    @told
    async def flows(
        self,
        info: Info,
        from_: From = None,
        to: To = None,
        last: Last = None,
        resolution: Resolution = Resolution.QUARTER_HOUR,
    ) -> HouseholdFlows:
        """Where its energy came from and went to; by default the last 96 buckets."""
        await info.context.reached("metering", self.after)
        asked = await window(info.context, from_, to, last, resolution)
        return HouseholdFlows(series=await flow_series(info.context, self.row, asked))

    @told
    async def autarky(
        self,
        info: Info,
        from_: From = None,
        to: To = None,
        last: Last = None,
    ) -> AutarkyFigures:
        """How far it fed itself over a window; by default the last 96 slots."""
        await info.context.reached("metering", self.after)
        asked = await window(info.context, from_, to, last)
        return await household_figures(info.context, self.household_id, self.row.number, asked)

    @told
    async def autarky_state(self, info: Info) -> AutarkyState:
        """Where it stands with autarky."""
        await info.context.reached("autarky", self.after)
        return await autarky_state(info.context, self.household_id)

    @told
    async def autarky_rule(self, info: Info) -> AutarkyRule:
        """How its autarky is judged."""
        return await autarky_rule(info.context, self.household_id)

    @told
    async def battery(self, info: Info) -> BatteryState | None:
        """What its batteries hold; null where it has none."""
        await info.context.reached("metering", self.after)
        return await battery_state(info.context, self.row)

    @told
    async def consents(self, info: Info) -> list[Consent]:
        """What its data may be used for; nothing by default."""
        return await consents_of(info.context, self.household_id)


async def visible_household(
    context: Context, household_id: UUID | None, after: Place | None = None
) -> Household | None:
    """The household as the asker may see it."""
    if household_id is None:
        return None
    found = await context.parts.reads.household(context.scope, household_id)
    if found is None:
        return None
    row, clock = found
    if after is None:
        operation().clock = clock  # nothing newer was asked for
    return Household(household_id=household_id, row=row, after=after)


async def households_page(
    context: Context, first: int, after: str | None, community_id: UUID | None = None
) -> Connection[Household]:
    """A page of the households the asker may see, of one community if given."""
    behind = key_of(after, int)
    rows = await context.read(
        read_households.households,
        context.scope,
        behind=behind[0] if behind else 0,
        limit=checked_first(first) + 1,
        community_id=community_id,
    )
    made, place = edges(
        rows,
        first,
        lambda row: Household(household_id=row.household_id, row=row),
        lambda row: cursor(row.number),
        behind=after,
    )
    total = await context.read(read_households.count_households, context.scope, community_id)
    return Connection(edges=made, page_info=place, total_count=total)
