"""Recording readings: what a device could send over MQTT or NATS, sent as a mutation."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
import strawberry
from strawberry import relay

from gateway import refusals
from gateway.context import Context, Info
from gateway.described import taken
from gateway.global_ids import raw_id
from gateway.permission import inside
from gateway.scalars import WattHours
from projections.read_households import household
from projections.visibility import Scope
from write_side import commands

MOST_MESSAGES = 100
MOST_AREAS_REMEMBERED = 10_000
_VALUES = {
    "consumption_wh": "consumptionWh",
    "production_wh": "productionWh",
    "grid_import_wh": "gridImportWh",
    "grid_export_wh": "gridExportWh",
    "charge_wh": "chargeWh",
    "discharge_wh": "dischargeWh",
    "soc_wh": "socWh",
    "power_w": "powerW",
}


def _values(what: str) -> Any:
    return strawberry.field(
        default=None, description=f"{what}, one value for each slot; null where there is no reading."
    )


@taken
class DeviceReadingInput:
    """What one device measured, one value for each slot of the reading."""

    device_id: relay.GlobalID = strawberry.field(description="The device.")
    consumption_wh: list[int | None] | None = _values("Consumption, Wh")
    production_wh: list[int | None] | None = _values("Production, Wh")
    grid_import_wh: list[int | None] | None = _values("Taken from the grid, Wh")
    grid_export_wh: list[int | None] | None = _values("Given to the grid, Wh")
    charge_wh: list[int | None] | None = _values("Into the battery, at its terminals, Wh")
    discharge_wh: list[int | None] | None = _values("Out of the battery, at its terminals, Wh")
    soc_wh: list[int | None] | None = _values("Stored at the end of the slot, Wh")
    power_w: list[int | None] | None = _values("Power at the end of the slot, W")


@taken
class ReadingInput:
    """What a household's devices measured in one slot, or in several that follow."""

    slot: datetime | None = strawberry.field(
        default=None, description="The beginning of the one slot; instead of `from` and `slots`."
    )
    from_: datetime | None = strawberry.field(
        name="from", default=None, description="The beginning of the first slot."
    )
    slots: int | None = strawberry.field(default=None, description="How many slots of 15 minutes follow.")
    revision: int = strawberry.field(
        default=0, description="A higher revision of a slot replaces a lower one, an equal one the earlier."
    )
    devices: list[DeviceReadingInput] = strawberry.field(description="The devices that measured.")


@taken
class RecordReadingsInput:
    """Readings of one household."""

    household_id: relay.GlobalID = strawberry.field(description="The household.")
    readings: list[ReadingInput] = strawberry.field(description="At most 100.")


@inside
class RecordReadingsPayload:
    """The readings are on disk; the views have them a moment later."""

    accepted: int = strawberry.field(description="How many readings were acknowledged.")
    sequence: WattHours = strawberry.field(description="The place of the last one in the intake.")


RecordReadingsResult = Annotated[
    RecordReadingsPayload
    | refusals.HouseholdUnknown
    | refusals.InvalidInput
    | refusals.IntakeFull
    | refusals.NotPermitted,
    strawberry.union("RecordReadingsResult", description="The acknowledgement, or why nothing was kept."),
]
SENDERS = ("household", "operator", "aggregator", "device", "concentrator")


async def record_readings(info: Info, input: RecordReadingsInput) -> RecordReadingsResult:
    """Puts readings into the intake, and answers when they are on disk."""
    if not 1 <= len(input.readings) <= MOST_MESSAGES:
        raise commands.InvalidInput(f"readings: 1 to {MOST_MESSAGES}")
    messages = [msgspec.json.encode(_message(reading)) for reading in input.readings]
    household_id, area_id = await _route(info.context, raw_id(input.household_id, "Household"))
    sequence = 0
    for message in messages:
        sequence = await info.context.parts.messages.keep(f"intake.{area_id}.{household_id}", message)
    return RecordReadingsPayload(accepted=len(messages), sequence=sequence)


async def _route(context: Context, household_id: UUID | None) -> tuple[UUID, UUID]:
    """The household and its area, kept for life, so known again without a database."""
    asker, areas = context.asker, context.parts.areas
    may_ask = asker.sees_every_household or asker.role == "concentrator" or asker.household_id == household_id
    if household_id is None or not may_ask:
        raise commands.HouseholdUnknown
    if household_id not in areas:
        row = await context.read(household, Scope(everything=True), household_id)
        if row is None:
            raise commands.HouseholdUnknown
        if len(areas) >= MOST_AREAS_REMEMBERED:
            areas.clear()
        areas[household_id] = row.area_id
    if asker.role == "concentrator" and asker.area_id != areas[household_id]:
        raise commands.HouseholdUnknown
    return household_id, areas[household_id]


def _message(reading: ReadingInput) -> dict[str, Any]:
    """The reading as it goes over the wire."""
    if (reading.slot is None) == (reading.from_ is None or reading.slots is None):
        raise commands.InvalidInput("a reading has a `slot`, or `from` and `slots`")
    slots = 1 if reading.slot is not None else reading.slots or 0
    devices: dict[str, dict[str, Any]] = {}
    for device in reading.devices:
        device_id = raw_id(device.device_id, "Device")
        if device_id is None:
            raise commands.InvalidInput("deviceId: the id of a device")
        devices[str(device_id)] = _measured(device, slots, is_single=reading.slot is not None)
    if reading.slot is not None:
        return {"revision": reading.revision, "slot": _written(reading.slot), "devices": devices}
    assert reading.from_ is not None
    begins = _written(reading.from_)
    return {"revision": reading.revision, "from": begins, "slots": slots, "devices": devices}


def _measured(device: DeviceReadingInput, slots: int, *, is_single: bool) -> dict[str, Any]:
    measured: dict[str, Any] = {}
    for name, wire_name in _VALUES.items():
        values: Sequence[int | None] | None = getattr(device, name)
        if values is None:
            continue
        if len(values) != slots:
            raise commands.InvalidInput(f"{wire_name}: {len(values)} values for {slots} slots")
        measured[wire_name] = values[0] if is_single else list(values)
    return measured


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
