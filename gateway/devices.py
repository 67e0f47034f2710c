"""Devices: what they are, what they were ordered and what they measured."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import strawberry
from strawberry import relay

from gateway.access import Principal
from gateway.context import Context, Info
from gateway.described import listed, told
from gateway.energy import DeviceSeries, device_series
from gateway.permission import guarded, inside
from gateway.positions import Place, written
from gateway.scalars import Position, WattHours
from gateway.windows import From, Last, To, window
from projections import read_devices
from projections.read_devices import DeviceRow, OrderRow
from write_side.events import DeviceKind, Flexibility
from write_side.rules.timeslots import Resolution, slot_start

strawberry.enum(
    DeviceKind, description="What a device measures: METER the grid connection, others one side of the house."
)
strawberry.enum(Flexibility, description="Whether its load may be moved: never, as a whole, or at any time.")


@listed
class OrderStatus(StrEnum):
    """What became of an order."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"


@inside
class DeviceOrder:
    """An order to a device; a device obeys each order once."""

    id: Position = strawberry.field(description="The position of its fact, which the device knows it by.")
    on: bool = strawberry.field(description="Whether the device is to be on.")
    from_slot_start: datetime = strawberry.field(description="The first slot it holds for.")
    sent_at: datetime = strawberry.field(description="The grid's time when it was ordered.")
    valid_until: datetime = strawberry.field(description="After this it is given up.")
    status: OrderStatus = strawberry.field(description="What became of it.")
    reason: str | None = strawberry.field(description="The device's reason for refusing, null otherwise.")


@guarded
class Device(relay.Node):
    """A meter, appliance, panel, generator, battery or vehicle of a household."""

    device_id: relay.NodeID[UUID]
    row: strawberry.Private[DeviceRow]
    after: strawberry.Private[Place | None] = None

    def seen_by(self, principal: Principal) -> bool:
        """Its household's people and whoever sees every household."""
        return principal.sees_every_household or principal.household_id == self.row.household_id

    @told
    def uuid(self) -> UUID:
        """The raw id, as readings and orders name it."""
        return self.row.device_id

    @told
    def name(self) -> str:
        """The name its people gave it."""
        return self.row.name

    @told
    def kind(self) -> DeviceKind:
        """What it measures."""
        return DeviceKind(self.row.kind)

    @told
    def flexibility(self) -> Flexibility:
        """Whether its load may be moved."""
        return Flexibility(self.row.flexibility)

    @told
    def since(self) -> datetime:
        """Measured from this slot on."""
        return self.row.since

    @told
    def until(self) -> datetime | None:
        """Measured up to this slot, not included; null while attached."""
        return self.row.until

    @told
    def rated_power_w(self) -> int:
        """Rated power, W; 0 where not given."""
        return self.row.rated_power_w

    @told
    def capacity_wh(self) -> WattHours:
        """What a battery or vehicle can hold, Wh; 0 for others."""
        return self.row.capacity_wh

    @told
    def reserve_wh(self) -> WattHours:
        """What the platform never takes out of a battery, Wh."""
        return self.row.reserve_wh

    @told
    def efficiency_percent(self) -> Decimal:
        """Round-trip efficiency, booked on charging, percent."""
        return Decimal(self.row.efficiency_permille) / 10

    @told
    def tilt_deg(self) -> int | None:
        """A panel's tilt, degrees from the horizontal; null where not given."""
        return self.row.tilt_deg

    @told
    def azimuth_deg(self) -> int | None:
        """A panel's azimuth, degrees from north by east; null where not given."""
        return self.row.azimuth_deg

    @told
    def on(self) -> bool | None:
        """As it last accepted to be switched; null where it never did."""
        return self.row.switched_on

    @told
    async def last_slot_start(self, info: Info) -> datetime | None:
        """The newest slot it sent a reading for; null before any."""
        slot = await info.context.read(read_devices.last_slot, self.row.number)
        return None if slot is None else slot_start(slot)

    @told
    async def last_order(self, info: Info) -> DeviceOrder | None:
        """Its newest order, null where it never got one."""
        row = await info.context.read(read_devices.last_order, self.row.device_id)
        return None if row is None else order_of(row)

    @told
    async def energy(
        self,
        info: Info,
        from_: From = None,
        to: To = None,
        last: Last = None,
        resolution: Resolution = Resolution.QUARTER_HOUR,
    ) -> DeviceSeries:
        """Its own readings; by default the last 96 buckets."""
        await info.context.reached("metering", self.after)
        asked = await window(info.context, from_, to, last, resolution)
        return DeviceSeries(series=await device_series(info.context, self.row, asked))


def order_of(row: OrderRow) -> DeviceOrder:
    """An order as the schema tells it."""
    return DeviceOrder(
        id=written(row.position),
        on=row.on_,
        from_slot_start=slot_start(row.from_slot),
        sent_at=row.ordered_at,
        valid_until=row.valid_until,
        status=OrderStatus(row.status),
        reason=row.reason,
    )


async def visible_device(
    context: Context, device_id: UUID | None, household_id: UUID | None = None, after: Place | None = None
) -> Device | None:
    """The device as the asker may see it."""
    if device_id is None:
        return None
    row = await context.read(read_devices.device, context.scope, device_id, household_id)
    return None if row is None else Device(device_id=device_id, row=row, after=after)
