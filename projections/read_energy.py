"""Reading energy: sums per bucket of a household, a community, the grid, and a device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from projections.expected_readings import Span
from projections.read_sealed import SEALED_BETWEEN, bucketed, consumed, opened, total

Connection = AsyncConnection[Any]
Wh = list[int | None]


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Sums of the buckets between neighbouring edges: one list per column, None where nothing is known.

    `counted` are the household-slots of each bucket that have every term.
    """

    edges: Sequence[int]
    columns: dict[str, Wh]
    counted: list[int]

    def total(self, name: str) -> int | None:
        """The sum of a column, None where no bucket has a value."""
        known = [value for value in self.columns[name] if value is not None]
        return sum(known) if known else None


@dataclass(frozen=True, kw_only=True)
class DeviceSum:
    """What one device consumed in all, and in each bucket."""

    device_id: UUID
    energy_wh: int
    columns: Wh


@dataclass(frozen=True, kw_only=True)
class StockRow:
    """What a household's batteries hold by the account, Wh by colour, at the end of a slot."""

    slot: int
    own_wh: int
    local_wh: int
    grid_wh: int


TERMS = ("consumption_wh", "production_wh", "grid_import_wh", "grid_export_wh", "charge_wh", "discharge_wh")
FLOWS = (
    "pv_to_load_wh",
    "pv_to_battery_wh",
    "pv_to_grid_wh",
    "grid_to_battery_wh",
    "battery_to_load_wh",
    "battery_to_grid_wh",
    "grid_to_load_wh",
    "own_battery_to_load_wh",
    "local_battery_to_load_wh",
    "own_battery_to_grid_wh",
    "received_wh",
    "given_wh",
)
STOCKS = ("stock_own_wh", "stock_local_wh", "stock_grid_wh")
SHARES = ("shared_wh", "from_outside_wh", "to_outside_wh")

_SUM_OF_TERMS: LiteralString = """sum(consumption_wh)::bigint, sum(production_wh)::bigint,
    sum(grid_import_wh)::bigint, sum(grid_export_wh)::bigint, sum(charge_wh)::bigint,
    sum(discharge_wh)::bigint"""
_BUCKET: LiteralString = "select width_bucket(slot, %(edges)s::int[]) - 1, "
_BETWEEN: LiteralString = " and slot >= %(first)s and slot < %(end)s group by 1"


async def household_energy(db: Connection, number: int, edges: Sequence[int]) -> Sums:
    """A household's balance and its untracked rest, Wh."""
    statement = (
        _BUCKET
        + "count(*) filter (where complete), "
        + _SUM_OF_TERMS
        + """, sum(case when consumption_wh is not null then greatest(consumption_wh - appliances_wh, 0)
               end)::bigint
             from household_energy where household = %(subject)s"""
        + _BETWEEN
    )
    return await _sums(db, statement, number, (*TERMS, "untracked_wh"), edges)


async def household_flows(db: Connection, number: int, edges: Sequence[int]) -> Sums:
    """A household's flows, Wh, and its stock by colour at the end of each bucket; settled slots only."""
    statement = (
        _BUCKET
        + """count(*), sum(pv_to_load_wh)::bigint, sum(pv_to_battery_wh)::bigint, sum(pv_to_grid_wh)::bigint,
             sum(grid_to_battery_wh)::bigint, sum(battery_to_load_wh)::bigint,
             sum(battery_to_grid_wh)::bigint, sum(grid_to_load_wh)::bigint,
             sum(own_battery_to_load_wh)::bigint, sum(local_battery_to_load_wh)::bigint,
             sum(own_battery_to_grid_wh)::bigint, sum(received_wh)::bigint, sum(given_wh)::bigint,
             (array_agg(stock_own_wh order by slot desc))[1],
             (array_agg(stock_local_wh order by slot desc))[1],
             (array_agg(stock_grid_wh order by slot desc))[1]
             from household_flow where household = %(subject)s"""
        + _BETWEEN
    )
    return await _sums(db, statement, number, (*FLOWS, *STOCKS), edges)


async def community_energy(db: Connection, community_id: UUID, edges: Sequence[int]) -> Sums:
    """A community's balance, what it shared and what crossed its border, Wh."""
    statement = (
        _BUCKET
        + "coalesce(sum(e.households), 0)::bigint, "
        + """sum(e.consumption_wh)::bigint, sum(e.production_wh)::bigint, sum(e.grid_import_wh)::bigint,
             sum(e.grid_export_wh)::bigint, sum(e.charge_wh)::bigint, sum(e.discharge_wh)::bigint,
             sum(f.shared_wh)::bigint, sum(f.from_outside_wh)::bigint, sum(f.to_outside_wh)::bigint
             from community_energy e left join community_flow f using (community_id, slot)
             where community_id = %(subject)s"""
        + _BETWEEN
    )
    return await _sums(db, statement, community_id, (*TERMS, *SHARES), edges)


async def grid_energy(db: Connection, edges: Sequence[int]) -> Sums:
    """The whole grid's balance, Wh."""
    statement = (
        _BUCKET + "sum(households)::bigint, " + _SUM_OF_TERMS + " from grid_energy where true" + _BETWEEN
    )
    return await _sums(db, statement, None, TERMS, edges)


async def device_energy(db: Connection, number: int, edges: Sequence[int]) -> Sums:
    """A device's own readings, Wh; `counted` are the slots it reported."""
    statement = (
        _BUCKET
        + "count(*), "
        + _SUM_OF_TERMS
        + ", null::bytea from reading where device = %(subject)s"
        + _BETWEEN
        + """ union all select null, null, null, null, null, null, null, null, measured
             from sealed_day join sealed_device using (grp) where device = %(subject)s"""
        + SEALED_BETWEEN
    )
    sums = Sums(
        edges=edges,
        columns={name: [None] * (len(edges) - 1) for name in TERMS},
        counted=[0] * (len(edges) - 1),
    )
    sealed: list[bytes] = []
    for bucket, count, *values, measured in await _rows(db, statement, number, edges):
        if measured is not None:
            sealed.append(measured)
            continue
        sums.counted[bucket] = int(count)
        for name, value in zip(TERMS, values, strict=True):
            sums.columns[name][bucket] = value
    readings = await opened(sealed, [number], edges[0], edges[-1])
    for bucket, found in bucketed(readings, edges):
        sums.counted[bucket] += len(found)
        for place, name in enumerate(TERMS):
            _add(sums.columns[name], bucket, total(found.values[:, place]))
    return sums


async def device_ranking(db: Connection, household_id: UUID, edges: Sequence[int]) -> list[DeviceSum]:
    """What a household's appliances and vehicles consumed, the most first."""
    statement: LiteralString = (
        """
        with asked as (select device_id, number from device
                       where household_id = %(subject)s and kind in ('APPLIANCE', 'VEHICLE'))
        select device_id, number, null::int, null::bigint, null::bytea from asked
        union all
        select device_id, number, width_bucket(r.slot, %(edges)s::int[]) - 1,
               sum(coalesce(r.consumption_wh, r.charge_wh))::bigint, null
        from asked join reading r on r.device = number
        where r.slot >= %(first)s and r.slot < %(end)s
          and coalesce(r.consumption_wh, r.charge_wh) is not null
        group by 1, 2, 3
        union all
        select null, null, null, null, measured from sealed_day
        where grp in (select grp from sealed_device join asked on device = number)"""
        + SEALED_BETWEEN
    )
    columns: dict[UUID, Wh] = {}
    asked: dict[int, UUID] = {}
    sealed: list[bytes] = []
    for device_id, number, bucket, energy, measured in await _rows(db, statement, household_id, edges):
        if measured is not None:
            sealed.append(measured)
        elif bucket is None:
            asked[number] = device_id
        else:
            columns.setdefault(device_id, [None] * (len(edges) - 1))[bucket] = energy
    readings = await opened(sealed, list(asked), edges[0], edges[-1])
    for bucket, found in bucketed(readings, edges):
        for number, wh in consumed(found):
            _add(columns.setdefault(asked[number], [None] * (len(edges) - 1)), bucket, wh)
    sums = [
        DeviceSum(device_id=device_id, energy_wh=sum(value or 0 for value in found), columns=found)
        for device_id, found in columns.items()
    ]
    return sorted(sums, key=lambda entry: (-entry.energy_wh, entry.device_id))


def _add(column: Wh, bucket: int, wh: int | None) -> None:
    if wh is not None:
        column[bucket] = (column[bucket] or 0) + wh


async def household_span(db: Connection, number: int) -> list[Span]:
    """Since when a household is measured: since its first device; empty where it has none."""
    return await _spans(db, "select min(since_slot), null from meter_device where household = %s", number)


async def member_spans(db: Connection, community_id: UUID) -> list[Span]:
    """When the members of a community were measured as its members."""
    statement: LiteralString = """
        select greatest(m.from_slot, d.since_slot), m.until_slot from meter_membership m
        join (select household, min(since_slot) as since_slot from meter_device group by household) d
          using (household)
        where m.community_id = %s"""
    return await _spans(db, statement, community_id)


async def grid_spans(db: Connection) -> list[Span]:
    """Since when each household of the grid is measured."""
    statement: LiteralString = """
        select min(since_slot), null from meter_device where %s::int is null group by household"""
    return await _spans(db, statement, None)


async def last_stock(db: Connection, number: int) -> StockRow | None:
    """What a household's batteries hold after its last settled slot, None before any."""
    async with db.cursor(row_factory=class_row(StockRow)) as cursor:
        await cursor.execute(
            """select slot, stock_own_wh as own_wh, stock_local_wh as local_wh, stock_grid_wh as grid_wh
               from household_flow where household = %s order by slot desc limit 1""",
            (number,),
        )
        return await cursor.fetchone()


async def grid_reporting(db: Connection, slot: int) -> int:
    """How many households have reported anything for a slot."""
    cursor = await db.execute("select sum(reporting)::bigint from grid_energy where slot = %s", (slot,))
    row = await cursor.fetchone()
    return int(row[0]) if row and row[0] is not None else 0


async def _spans(db: Connection, statement: LiteralString, subject: object) -> list[Span]:
    cursor = await db.execute(statement, (subject,))
    return [Span(first, end) for first, end in await cursor.fetchall() if first is not None]


async def _rows(
    db: Connection, statement: LiteralString, subject: object, edges: Sequence[int]
) -> list[tuple[Any, ...]]:
    # The last edge ends the last bucket and opens none.
    wanted = {"subject": subject, "edges": list(edges[:-1]), "first": edges[0], "end": edges[-1]}
    cursor = await db.execute(statement, wanted)
    return await cursor.fetchall()


async def _sums(
    db: Connection, statement: LiteralString, subject: object, names: Sequence[str], edges: Sequence[int]
) -> Sums:
    buckets = len(edges) - 1
    columns: dict[str, Wh] = {name: [None] * buckets for name in names}
    counted = [0] * buckets
    for bucket, count, *values in await _rows(db, statement, subject, edges):
        counted[bucket] = int(count)
        for name, value in zip(names, values, strict=True):
            columns[name][bucket] = value
    return Sums(edges=edges, columns=columns, counted=counted)
