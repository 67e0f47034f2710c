"""Attaching, detaching and switching devices."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import relay

from gateway import refusals
from gateway.context import Info
from gateway.described import taken, told
from gateway.devices import Device, DeviceOrder, order_of, visible_device
from gateway.global_ids import raw_id
from gateway.permission import inside
from gateway.positions import Place, written
from gateway.scalars import Position
from gateway.sending import key_of, new_id, own_household, send
from projections import read_devices
from write_side import commands
from write_side.command_group import Receipt
from write_side.events import DeviceKind, Flexibility


@taken
class AttachDeviceInput:
    """A device to attach."""

    household_id: relay.GlobalID = strawberry.field(description="The household it stands in.")
    kind: DeviceKind = strawberry.field(description="What it measures.")
    name: str = strawberry.field(description="Its name, 1 to 200 characters.")
    since: datetime | None = strawberry.field(
        default=None, description="Measured from this slot on, in the past for history; by default from now."
    )
    flexibility: Flexibility = strawberry.field(
        default=Flexibility.ESSENTIAL, description="Whether its load may be moved."
    )
    rated_power_w: int = strawberry.field(default=0, description="Rated power, W.")
    capacity_wh: int = strawberry.field(default=0, description="What it can hold, Wh; needed for a battery.")
    reserve_wh: int = strawberry.field(default=0, description="What the platform never takes out, Wh.")
    efficiency_percent: Decimal = strawberry.field(
        default=Decimal(100), description="Round-trip efficiency of a battery, percent in steps of 0.1."
    )
    tilt_deg: int | None = strawberry.field(default=None, description="A panel's tilt, degrees, 0 to 90.")
    azimuth_deg: int | None = strawberry.field(
        default=None, description="A panel's azimuth, degrees from north by east, 0 to 359."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="Repeated with the same input it answers the first answer."
    )


@taken
class DetachDeviceInput:
    """A device to detach."""

    device_id: relay.GlobalID = strawberry.field(description="The device.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="Repeated with the same input it answers the first answer."
    )


@taken
class SwitchDeviceInput:
    """A device to switch by hand."""

    device_id: relay.GlobalID = strawberry.field(description="The device; a meter cannot be switched.")
    on: bool = strawberry.field(description="Whether it is to be on, from the next slot on.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="Repeated with the same input it answers the first answer."
    )


@inside
class DevicePayload:
    """The device as it stands now."""

    raw_device_id: strawberry.Private[UUID]
    receipt: strawberry.Private[Receipt]

    @told
    def position(self) -> Position:
        """The receipt: `after` takes it."""
        return written(self.receipt.position)

    @told
    async def device(self, info: Info) -> Device | None:
        """The device; null while the view is behind."""
        place = Place(self.receipt.position)
        reached = await info.context.parts.views.reached("households", place.position)
        return await visible_device(info.context, self.raw_device_id, after=place) if reached else None


@inside
class SwitchDevicePayload(DevicePayload):
    """The order that was sent."""

    @told
    async def order(self, info: Info) -> DeviceOrder | None:
        """The order; null while the view is behind."""
        await info.context.parts.views.reached("households", self.receipt.position)
        row = await info.context.read(read_devices.order, self.receipt.position)
        return None if row is None else order_of(row)


AttachDeviceResult = Annotated[
    DevicePayload
    | refusals.HouseholdUnknown
    | refusals.DeviceAlreadyAttached
    | refusals.InvalidInput
    | refusals.KeyReused
    | refusals.NotPermitted,
    strawberry.union("AttachDeviceResult", description="The device, or the rule it would have broken."),
]
DetachDeviceResult = Annotated[
    DevicePayload | refusals.DeviceUnknown | refusals.KeyReused | refusals.NotPermitted,
    strawberry.union("DetachDeviceResult", description="The device, or the rule it would have broken."),
]
SwitchDeviceResult = Annotated[
    SwitchDevicePayload | refusals.DeviceUnknown | refusals.KeyReused | refusals.NotPermitted,
    strawberry.union("SwitchDeviceResult", description="The order, or the rule it would have broken."),
]


async def attach_device(info: Info, input: AttachDeviceInput) -> AttachDeviceResult:
    """Attaches a device to a household the asker may act for."""
    household_id, key = own_household(info, input.household_id), key_of(input.idempotency_key)
    device_id = new_id(info, key, "device")
    command = commands.AttachDevice(
        device_id=device_id,
        household_id=household_id,
        kind=input.kind,
        name=input.name,
        since=input.since,
        flexibility=input.flexibility,
        rated_power_w=input.rated_power_w,
        capacity_wh=input.capacity_wh,
        reserve_wh=input.reserve_wh,
        efficiency_permille=_permille(input.efficiency_percent),
        tilt_deg=input.tilt_deg,
        azimuth_deg=input.azimuth_deg,
    )
    return DevicePayload(raw_device_id=device_id, receipt=await send(info, command, key))


async def detach_device(info: Info, input: DetachDeviceInput) -> DetachDeviceResult:
    """Detaches a device from the next slot on."""
    household_id, device_id = await _owner(info, input.device_id)
    command = commands.DetachDevice(household_id=household_id, device_id=device_id)
    receipt = await _sent(info, command, input.idempotency_key)
    return DevicePayload(raw_device_id=device_id, receipt=receipt)


async def switch_device(info: Info, input: SwitchDeviceInput) -> SwitchDeviceResult:
    """Switches a device by hand from the next slot on."""
    household_id, device_id = await _owner(info, input.device_id)
    command = commands.SwitchDevice(household_id=household_id, device_id=device_id, on=input.on)
    receipt = await _sent(info, command, input.idempotency_key)
    return SwitchDevicePayload(raw_device_id=device_id, receipt=receipt)


async def _owner(info: Info, global_id: relay.GlobalID) -> tuple[UUID, UUID]:
    """The household and the device; a household's token needs no view to say whose it would be."""
    device_id, asker = raw_id(global_id, "Device"), info.context.asker
    if device_id is not None and asker.household_id is not None:
        return asker.household_id, device_id
    device = await visible_device(info.context, device_id)
    if device is None:
        raise commands.DeviceUnknown
    return device.row.household_id, device.row.device_id


async def _sent(info: Info, command: commands.Command, given_key: str | None) -> Receipt:
    try:
        return await send(info, command, key_of(given_key))
    except commands.HouseholdUnknown:
        raise commands.DeviceUnknown from None


def _permille(percent: Decimal) -> int:
    permille = percent * 10
    if permille != permille.to_integral_value():
        raise commands.InvalidInput("efficiencyPercent: above 0 and at most 100, in steps of 0.1")
    return int(permille)
