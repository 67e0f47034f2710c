"""Reading what there is in a household: devices, their orders, what their batteries last said."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from projections.day_codec import DAY_SLOTS
from projections.read_sealed import newest_sealed
from projections.visibility import Scope

Connection = AsyncConnection[Any]


@dataclass(frozen=True, kw_only=True)
class DeviceRow:
    """A device; `number` names it in the tables of readings. Powers in W, energies in Wh."""

    device_id: UUID
    number: int
    household_id: UUID
    kind: str
    name: str
    since: datetime
    until: datetime | None
    flexibility: str
    rated_power_w: int
    capacity_wh: int
    reserve_wh: int
    efficiency_permille: int
    tilt_deg: int | None
    azimuth_deg: int | None
    switched_on: bool | None


@dataclass(frozen=True, kw_only=True)
class OrderRow:
    """An order to a device; its position is its id."""

    position: int
    on_: bool
    from_slot: int
    ordered_at: datetime
    valid_until: datetime
    status: str
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class ReportedStock:
    """What a household's batteries last reported together, and of which slot."""

    soc_wh: int
    slot: int


_DEVICES: LiteralString = """
select device_id, number, household_id, kind, name, since, until, flexibility, rated_power_w, capacity_wh,
       reserve_wh, efficiency_permille, tilt_deg, azimuth_deg, switched_on
from device where (%(everything)s or household_id = %(own)s) """


async def device(
    db: Connection, scope: Scope, device_id: UUID, household_id: UUID | None = None
) -> DeviceRow | None:
    """One device, None where there is none in the scope (and in the household, if given)."""
    statement = (
        _DEVICES
        + """and device_id = %(device_id)s
             and (%(household_id)s::uuid is null or household_id = %(household_id)s)"""
    )
    wanted = {**scope.parameters(), "device_id": device_id, "household_id": household_id}
    async with db.cursor(row_factory=class_row(DeviceRow)) as cursor:
        await cursor.execute(statement, wanted)
        return await cursor.fetchone()


async def devices(
    db: Connection, scope: Scope, household_id: UUID, *, include_detached: bool
) -> list[DeviceRow]:
    """A household's devices in the order they were attached."""
    statement = (
        _DEVICES
        + """and household_id = %(household_id)s and (%(include_detached)s or until is null)
             order by number"""
    )
    wanted = {**scope.parameters(), "household_id": household_id, "include_detached": include_detached}
    async with db.cursor(row_factory=class_row(DeviceRow)) as cursor:
        await cursor.execute(statement, wanted)
        return await cursor.fetchall()


async def count_devices(db: Connection) -> int:
    """How many devices are attached in the whole grid."""
    cursor = await db.execute("select count(*) from device where until is null")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def last_order(db: Connection, device_id: UUID) -> OrderRow | None:
    """The newest order to a device."""
    async with db.cursor(row_factory=class_row(OrderRow)) as cursor:
        await cursor.execute(
            """select position, on_, from_slot, ordered_at, valid_until, status, reason from device_order
               where device_id = %s order by position desc limit 1""",
            (device_id,),
        )
        return await cursor.fetchone()


async def order(db: Connection, position: int) -> OrderRow | None:
    """The order that stands at a position."""
    async with db.cursor(row_factory=class_row(OrderRow)) as cursor:
        await cursor.execute(
            """select position, on_, from_slot, ordered_at, valid_until, status, reason from device_order
               where position = %s""",
            (position,),
        )
        return await cursor.fetchone()


async def last_slot(db: Connection, number: int) -> int | None:
    """The newest slot a device has a reading for."""
    found = await _newest(db, _ANY, number)
    return None if found is None else found[0]


async def reported_stock(db: Connection, household_id: UUID) -> ReportedStock | None:
    """The state of charge its batteries last reported, Wh, summed; None where none ever did."""
    cursor = await db.execute(
        "select number from device where household_id = %s and kind = 'BATTERY' and until is null",
        (household_id,),
    )
    batteries = [await _newest(db, _WITH_SOC, number) for (number,) in await cursor.fetchall()]
    reports = [report for report in batteries if report is not None]
    if not reports:
        return None
    return ReportedStock(soc_wh=sum(wh for _, wh in reports), slot=max(slot for slot, _ in reports))


_Open = tuple[LiteralString, str | None]
_ANY: _Open = ("slot, 0 as value from reading where device = %(device)s", None)
_WITH_SOC: _Open = (
    "slot, soc_wh as value from reading where device = %(device)s and soc_wh is not null",
    "soc_wh",
)


async def _newest(db: Connection, wanted: _Open, number: int) -> tuple[int, int] | None:
    """The newest reading that is wanted, slot and value, open or sealed."""
    among, value = wanted
    statement: LiteralString = (
        "with found as (select "
        + among
        + """ order by slot desc limit 1)
          select slot, value, newest_day, newest_soc_day from (select) one left join found on true
          left join sealed_device on device = %(device)s"""
    )

    async def ask() -> tuple[tuple[int, int] | None, int | None]:
        cursor = await db.execute(statement, {"device": number})
        slot, found, newest_day, newest_soc_day = (await cursor.fetchall())[0]
        day = newest_day if value is None else newest_soc_day
        return None if slot is None else (slot, found), day

    found, day = await ask()
    if day is None or (found is not None and found[0] // DAY_SLOTS > day):
        return found
    async with db.transaction():  # one snapshot: a reading is either a row in it or sealed
        await db.execute("set transaction isolation level repeatable read")
        found, _ = await ask()
        sealed = await newest_sealed(db, number, value)
    return max((one for one in (sealed, found) if one is not None), default=None)
