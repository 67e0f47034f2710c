"""Reading the same of many households at once: who they are, their energy, their devices and what these used.

What one statement can tell is told by one: a question costs the asking process more than its rows.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection

from projections.expected_readings import Span
from projections.read_clock import ClockRow
from projections.read_devices import DeviceRow
from projections.read_energy import TERMS, DeviceSum, Sums, Wh
from projections.read_households import HouseholdRow
from projections.read_sealed import SEALED_BETWEEN, bucketed, consumed, opened

Connection = AsyncConnection[Any]
Found = tuple[HouseholdRow, ClockRow | None]
Energy = tuple[Sums, list[Span]]
Breakdown = list[tuple[DeviceRow, DeviceSum | None]]

_HOUSEHOLDS: LiteralString = """
select h.household_id, h.number, h.area_id, h.community_id, coalesce(p.name, ''), h.subscribed_power_w,
       h.registered_at, case when c.simulated then c.now else %s end, c.simulated, c.first_slot, c.target,
       (select max(slot) from closed_slot)
from household h left join place p on p.household_id = h.household_id left join clock c on true
where h.household_id = any(%s)"""
_ENERGY: LiteralString = """
with bucket as (
    select household, width_bucket(slot, %(edges)s::int[]) - 1 as bucket,
           count(*) filter (where complete) as counted,
           sum(consumption_wh)::bigint as consumption, sum(production_wh)::bigint as production,
           sum(grid_import_wh)::bigint as grid_import, sum(grid_export_wh)::bigint as grid_export,
           sum(charge_wh)::bigint as charge, sum(discharge_wh)::bigint as discharge,
           sum(case when consumption_wh is not null
               then greatest(consumption_wh - appliances_wh, 0) end)::bigint as untracked
    from household_energy where household = any(%(subjects)s) and slot >= %(first)s and slot < %(end)s
    group by 1, 2)
select asked.household, (select min(since_slot) from meter_device d where d.household = asked.household),
       array_agg(bucket) filter (where bucket is not null), array_agg(counted), array_agg(consumption),
       array_agg(production), array_agg(grid_import), array_agg(grid_export), array_agg(charge),
       array_agg(discharge), array_agg(untracked)
from unnest(%(subjects)s::bigint[]) as asked (household) left join bucket using (household) group by 1"""
_BREAKDOWN: LiteralString = """
select d.device_id, d.number, d.household_id, d.kind, d.name, d.since, d.until, d.flexibility,
       d.rated_power_w, d.capacity_wh, d.reserve_wh, d.efficiency_permille, d.tilt_deg, d.azimuth_deg,
       d.switched_on, used.buckets, used.energies, null::bytea
from device d left join lateral (
    select array_agg(bucket) as buckets, array_agg(energy) as energies from (
        select width_bucket(slot, %(edges)s::int[]) - 1 as bucket,
               sum(coalesce(consumption_wh, charge_wh))::bigint as energy
        from reading where device = d.number and slot >= %(first)s and slot < %(end)s
          and coalesce(consumption_wh, charge_wh) is not null group by 1) as bucket
    ) used on d.kind in ('APPLIANCE', 'VEHICLE')
where d.household_id = any(%(subjects)s)
union all
select null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
       measured
from sealed_day where grp in (
    select grp from sealed_device join device d on d.number = sealed_device.device
    where d.household_id = any(%(subjects)s) and d.kind in ('APPLIANCE', 'VEHICLE'))"""


async def households(db: Connection, household_ids: Sequence[UUID]) -> dict[UUID, Found]:
    """These households by id, without those there are not; and the clock at the same moment, None before
    the grid is founded."""
    cursor = await db.execute(_HOUSEHOLDS, (datetime.now(UTC), list(household_ids)))
    return {
        row[0]: (HouseholdRow(**_named(HouseholdRow, row)), _clock(row[7:]))
        for row in await cursor.fetchall()
    }


async def energies(db: Connection, numbers: Sequence[int], edges: Sequence[int]) -> dict[int, Energy]:
    """The balance of each of these households, as `read_energy.household_energy` has it, and since when it
    is measured, as `read_energy.household_span` has it."""
    found: dict[int, Energy] = {}
    for number, since, buckets, counted, *columns in await _between(db, _ENERGY, numbers, edges):
        sums = {name: _spread(column, buckets, edges) for name, column in zip(_COLUMNS, columns, strict=True)}
        counts = [count or 0 for count in _spread(counted, buckets, edges)]
        spans = [] if since is None else [Span(since)]
        found[number] = Sums(edges=edges, columns=sums, counted=counts), spans
    return found


async def breakdowns(
    db: Connection, household_ids: Sequence[UUID], edges: Sequence[int]
) -> dict[UUID, Breakdown]:
    """All devices each of these households ever had, in the order they were attached; and what each consumed
    in all and in each bucket, as `read_energy.device_ranking` has it, None for those that measured none."""
    there: list[DeviceRow] = []
    used: dict[int, Wh] = {}
    sealed: list[bytes] = []
    for row in await _between(db, _BREAKDOWN + SEALED_BETWEEN, household_ids, edges):
        *_, buckets, energies, measured = row
        if measured is not None:
            sealed.append(measured)
            continue
        there.append(DeviceRow(**_named(DeviceRow, row)))
        if buckets is not None:
            used[there[-1].number] = _spread(energies, buckets, edges)
    await _add_sealed(used, sealed, [device.number for device in there if device.kind in _CONSUMERS], edges)
    found: dict[UUID, Breakdown] = {}
    for device in sorted(there, key=lambda device: device.number):
        sums = _device_sum(device, used.get(device.number))
        found.setdefault(device.household_id, []).append((device, sums))
    return found


async def _add_sealed(
    used: dict[int, Wh], sealed: Sequence[bytes], numbers: Sequence[int], edges: Sequence[int]
) -> None:
    """Adds what these devices consumed in sealed days."""
    readings = await opened(sealed, numbers, edges[0], edges[-1])
    for bucket, part in bucketed(readings, edges):
        for number, wh in consumed(part):
            column = used.setdefault(number, [None] * (len(edges) - 1))
            column[bucket] = (column[bucket] or 0) + wh


def _device_sum(device: DeviceRow, column: Wh | None) -> DeviceSum | None:
    if column is None:
        return None
    energy_wh = sum(wh or 0 for wh in column)
    return DeviceSum(device_id=device.device_id, energy_wh=energy_wh, columns=column)


def ranked(sums: Iterable[DeviceSum]) -> list[DeviceSum]:
    """The largest consumer first."""
    return sorted(sums, key=lambda entry: (-entry.energy_wh, entry.device_id))


_CONSUMERS = ("APPLIANCE", "VEHICLE")
_COLUMNS = (*TERMS, "untracked_wh")


def _named(row_type: type[Any], row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(row_type.__dataclass_fields__, row, strict=False))


def _clock(row: tuple[Any, ...]) -> ClockRow | None:
    return None if row[0] is None or row[1] is None else ClockRow(**_named(ClockRow, row))


def _spread(values: Sequence[Any], buckets: Sequence[int] | None, edges: Sequence[int]) -> Wh:
    """The values of some buckets, in their places."""
    spread: Wh = [None] * (len(edges) - 1)
    for bucket, value in zip(buckets or (), values, strict=False):
        spread[bucket] = value
    return spread


async def _between(
    db: Connection, statement: LiteralString, subjects: Sequence[Any], edges: Sequence[int]
) -> list[tuple[Any, ...]]:
    # The last edge ends the last bucket and opens none.
    wanted = {"subjects": list(subjects), "edges": list(edges[:-1]), "first": edges[0], "end": edges[-1]}
    cursor = await db.execute(statement, wanted)
    return await cursor.fetchall()
