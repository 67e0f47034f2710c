"""Live power: what a home says it draws at this moment, passed on as it comes and stored nowhere."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
import strawberry
from strawberry import relay

from gateway.access import Principal
from gateway.context import Context
from gateway.devices import Device
from gateway.following import counted
from gateway.global_ids import raw_id
from gateway.households import Household, visible_household
from gateway.permission import guarded, inside
from projections import read_devices

LARGEST_W = 2**31 - 1
LARGEST_MESSAGE_BYTES = 64 * 1024
_PRODUCES = frozenset(("SOLAR", "GENERATOR"))
_CONSUMES = frozenset(("APPLIANCE", "VEHICLE"))

Watts = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_W)]


class _Told(msgspec.Struct, rename="camel"):
    power_w: Watts


class Message(msgspec.Struct, rename="camel"):
    """What a box sends: what the home draws in all, where it knows, and the power of its devices by id."""

    power_w: Watts | None = None
    devices: dict[str, _Told] = {}


_decode = msgspec.json.Decoder(Message).decode


@inside
class LiveDevicePower:
    """The power of one device at this moment."""

    device: Device = strawberry.field(description="The device.")
    power_w: int = strawberry.field(description="What it consumes, or what a panel or generator produces, W.")


@guarded
class LivePower:
    """The power of a home at this moment, as its box told it; at most one a second."""

    household_id: strawberry.Private[UUID]
    household: Household = strawberry.field(description="The household.")
    received_at: datetime = strawberry.field(description="The wall time at which it was here.")
    consumption_w: int | None = strawberry.field(
        description="What the home draws from its own sources and the grid, W; null where nothing tells."
    )
    production_w: int | None = strawberry.field(
        description="What its panels and generators produce, W; null where none told."
    )
    devices: list[LiveDevicePower] = strawberry.field(description="The devices that told their power.")

    def seen_by(self, principal: Principal) -> bool:
        """The household's people and whoever sees every household."""
        return principal.sees_every_household or principal.household_id == self.household_id


async def live_power_events(
    context: Context, household_id: relay.GlobalID | None
) -> AsyncIterator[LivePower]:
    """A household's live power as it comes, the token's own where none is named.

    It ends at once where there is no such household for the asker. What cannot be read is passed over.
    """
    wanted = context.asker.household_id if household_id is None else raw_id(household_id, "Household")
    household = await visible_household(context, wanted)
    if household is None:
        return
    with counted(context):
        async for raw in context.parts.messages.live(household.household_id):
            assert context.asker
            told = understood(raw)
            if told is not None:
                yield await _event(context, household, told)


def understood(raw: bytes) -> Message | None:
    """The message, or None where it is none."""
    if len(raw) > LARGEST_MESSAGE_BYTES:
        return None
    try:
        return _decode(raw)
    except msgspec.DecodeError:
        return None


async def _event(context: Context, household: Household, told: Message) -> LivePower:
    rows = await context.read(
        read_devices.devices, context.scope, household.household_id, include_detached=False
    )
    powers = [
        (row, told.devices[str(row.device_id)].power_w) for row in rows if str(row.device_id) in told.devices
    ]
    consumed = [power for row, power in powers if row.kind in _CONSUMES]
    produced = [power for row, power in powers if row.kind in _PRODUCES]
    drawn = told.power_w if told.power_w is not None or not consumed else sum(consumed)
    return LivePower(
        household_id=household.household_id,
        household=household,
        received_at=datetime.now(UTC),
        consumption_w=drawn,
        production_w=sum(produced) if produced else None,
        devices=[
            LiveDevicePower(device=Device(device_id=row.device_id, row=row), power_w=power)
            for row, power in powers
            if row.kind in _CONSUMES | _PRODUCES
        ],
    )
