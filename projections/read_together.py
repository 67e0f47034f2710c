"""Reading the same of many households at once: who they are, their devices, energy and expected readings."""

from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from projections.expected_readings import Span
from projections.read_devices import DeviceRow
from projections.read_energy import TERMS, DeviceSum, Sums, Wh
from projections.read_households import HouseholdRow

Connection = AsyncConnection[Any]

_HOUSEHOLDS: LiteralString = """
select h.household_id, h.number, h.area_id, h.community_id, coalesce(p.name, '') as name,
       h.subscribed_power_w, h.registered_at
from household h left join place p on p.household_id = h.household_id where h.household_id = any(%s)"""
_DEVICES: LiteralString = """
select device_id, number, household_id, kind, name, since, until, flexibility, rated_power_w, capacity_wh,
       reserve_wh, efficiency_permille, tilt_deg, azimuth_deg, switched_on
from device where household_id = any(%s) order by number"""
_ENERGY: LiteralString = """
select household, width_bucket(slot, %(edges)s::int[]) - 1, count(*) filter (where complete),
       sum(consumption_wh)::bigint, sum(production_wh)::bigint, sum(grid_import_wh)::bigint,
       sum(grid_export_wh)::bigint, sum(charge_wh)::bigint, sum(discharge_wh)::bigint,
       sum(case when consumption_wh is not null then greatest(consumption_wh - appliances_wh, 0) end)::bigint
from household_energy where household = any(%(subjects)s) and slot >= %(first)s and slot < %(end)s
group by 1, 2"""
_RANKING: LiteralString = """
select d.household_id, d.device_id, width_bucket(r.slot, %(edges)s::int[]) - 1,
       sum(coalesce(r.consumption_wh, r.charge_wh))::bigint
from device d join reading r on r.device = d.number
where d.household_id = any(%(subjects)s) and d.kind in ('APPLIANCE', 'VEHICLE')
  and r.slot >= %(first)s and r.slot < %(end)s and coalesce(r.consumption_wh, r.charge_wh) is not null
group by 1, 2, 3"""


async def households(db: Connection, household_ids: Sequence[UUID]) -> dict[UUID, HouseholdRow]:
    """These households, by id; without those there are not."""
    async with db.cursor(row_factory=class_row(HouseholdRow)) as cursor:
        await cursor.execute(_HOUSEHOLDS, (list(household_ids),))
        return {row.household_id: row for row in await cursor.fetchall()}


async def devices(db: Connection, household_ids: Sequence[UUID]) -> dict[UUID, list[DeviceRow]]:
    """All devices these households ever had, in the order they were attached."""
    found: dict[UUID, list[DeviceRow]] = {}
    async with db.cursor(row_factory=class_row(DeviceRow)) as cursor:
        await cursor.execute(_DEVICES, (list(household_ids),))
        for row in await cursor.fetchall():
            found.setdefault(row.household_id, []).append(row)
    return found


async def spans(db: Connection, numbers: Sequence[int]) -> dict[int, list[Span]]:
    """Since when each of these households is measured: since its first device."""
    cursor = await db.execute(
        "select household, min(since_slot) from meter_device where household = any(%s) group by household",
        (list(numbers),),
    )
    return {household: [Span(first)] for household, first in await cursor.fetchall()}


async def energies(db: Connection, numbers: Sequence[int], edges: Sequence[int]) -> dict[int, Sums]:
    """The balance of each of these households, as `read_energy.household_energy` has it."""
    names, buckets = (*TERMS, "untracked_wh"), len(edges) - 1
    found = {number: _empty(names, edges) for number in numbers}
    for number, bucket, count, *values in await _between(db, _ENERGY, numbers, edges):
        sums = found[number]
        sums.counted[bucket] = count
        for column, value in zip(sums.columns.values(), values, strict=True):
            column[bucket] = value
    assert all(len(sums.counted) == buckets for sums in found.values())
    return found


async def rankings(
    db: Connection, household_ids: Sequence[UUID], edges: Sequence[int]
) -> dict[UUID, list[DeviceSum]]:
    """What each of these households' devices consumed, as `read_energy.device_ranking` has it."""
    columns: dict[UUID, dict[UUID, Wh]] = {}
    for household, device, bucket, energy in await _between(db, _RANKING, household_ids, edges):
        devices = columns.setdefault(household, {})
        devices.setdefault(device, [None] * (len(edges) - 1))[bucket] = energy
    return {household: _ranked(devices) for household, devices in columns.items()}


def _ranked(columns: dict[UUID, Wh]) -> list[DeviceSum]:
    sums = [
        DeviceSum(device_id=device, energy_wh=sum(value or 0 for value in found), columns=found)
        for device, found in columns.items()
    ]
    return sorted(sums, key=lambda entry: (-entry.energy_wh, entry.device_id))


def _empty(names: Sequence[str], edges: Sequence[int]) -> Sums:
    buckets = len(edges) - 1
    return Sums(edges=edges, columns={name: [None] * buckets for name in names}, counted=[0] * buckets)


async def _between(
    db: Connection, statement: LiteralString, subjects: Sequence[Any], edges: Sequence[int]
) -> list[tuple[Any, ...]]:
    # The last edge ends the last bucket and opens none.
    wanted = {"subjects": list(subjects), "edges": list(edges[:-1]), "first": edges[0], "end": edges[-1]}
    cursor = await db.execute(statement, wanted)
    return await cursor.fetchall()
