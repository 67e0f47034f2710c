"""Reading energy as it was known at some time: readings replaced or received since then do not count."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import numpy as np
from psycopg import AsyncConnection

from projections.binary_copy import MISSING, Array, Ints
from projections.day_codec import NAMED, DayReadings, decode
from projections.household_balance import APPLIANCES, CONSUMPTION, TERMS, Devices, balances
from projections.metered_homes import KIND_CODE, NEVER, Homes
from projections.metering_tables import VALUES
from projections.read_energy import TERMS as TERM_NAMES
from projections.read_energy import DeviceSum, Sums, Wh
from projections.read_sealed import SEALED_BETWEEN
from projections.readings import microseconds

Connection = AsyncConnection[Any]

_HOUSEHOLD: LiteralString = """
select household, household_id, area_id::text, latitude_deg, longitude_deg
from meter_household where household = %s"""
_DEVICES: LiteralString = """
select device, device_id::text, kind, since_slot, coalesce(until_slot, %s), efficiency_permille, capacity_wh
from meter_device where household = %s order by device"""
_VALUES: LiteralString = """
device, slot, consumption_wh, production_wh, grid_import_wh, grid_export_wh, charge_wh, discharge_wh, soc_wh,
power_w"""
_AMONG: LiteralString = (
    "device = any(%(devices)s) and slot >= %(first)s and slot < %(end)s and known_at <= %(as_of)s"
)
_READINGS: LiteralString = (
    "select null::bytea, null::bytea, "
    + _VALUES
    + " from reading where "
    + _AMONG
    + " union all select null, null, "
    + _VALUES
    + " from superseded where "
    + _AMONG
    + " and superseded_at > %(as_of)s"
    + """ union all select measured, named, null, null, null, null, null, null, null, null, null, null
          from sealed_day where grp in (select grp from sealed_device where device = any(%(devices)s))"""
    + SEALED_BETWEEN
)


async def energy_as_of(db: Connection, household: int, edges: Sequence[int], as_of: datetime) -> Sums:
    """A household's balance and untracked rest as known at `as_of`, Wh; as `household_energy` answers it."""
    homes = await _home(db, household)
    slots = np.arange(edges[0], edges[-1])
    owner = np.zeros(len(slots), dtype=np.int64)
    places, devices = homes.attached(owner, slots)
    values = (await _readings(db, homes, edges, as_of))[devices, places]
    reported = (values != MISSING).any(axis=1)
    found = balances(homes, owner, slots, Devices(places, devices, values, reported))
    starts = np.asarray(edges[:-1]) - edges[0]
    wh = np.where(found.exists[:, np.newaxis], found.values, MISSING)
    columns = {name: _bucketed(wh[:, term], starts) for term, name in enumerate(TERM_NAMES[:TERMS])}
    untracked = np.maximum(wh[:, CONSUMPTION] - wh[:, APPLIANCES], 0)
    columns["untracked_wh"] = _bucketed(np.where(wh[:, CONSUMPTION] == MISSING, MISSING, untracked), starts)
    counted = np.add.reduceat((found.complete & found.exists).astype(np.int64), starts)
    return Sums(edges=edges, columns=columns, counted=counted.tolist())


async def ranking_as_of(
    db: Connection, household: int, edges: Sequence[int], as_of: datetime
) -> list[DeviceSum]:
    """What appliances and vehicles consumed as known at `as_of`, the most first."""
    homes = await _home(db, household)
    readings = await _readings(db, homes, edges, as_of)
    starts = np.asarray(edges[:-1]) - edges[0]
    consumption, charge = VALUES.index("consumption_wh"), VALUES.index("charge_wh")
    sums = []
    for device, kind in enumerate(homes.devices["kind"].tolist()):
        found = readings[device]
        wh = np.where(found[:, consumption] == MISSING, found[:, charge], found[:, consumption])
        if kind in (KIND_CODE["APPLIANCE"], KIND_CODE["VEHICLE"]) and (wh != MISSING).any():
            energy = int(wh[wh != MISSING].sum())
            device_id = UUID(homes.device_ids[device])
            sums.append(DeviceSum(device_id=device_id, energy_wh=energy, columns=_bucketed(wh, starts)))
    return sorted(sums, key=lambda entry: (-entry.energy_wh, entry.device_id))


async def _home(db: Connection, household: int) -> Homes:
    homes = Homes()
    row = await (await db.execute(_HOUSEHOLD, (household,))).fetchone()
    if row is None:
        homes.add_household(household, UUID(int=0), "", 0.0, 0.0)
        return homes
    homes.add_household(*row)
    for number, device_id, *rest in await (await db.execute(_DEVICES, (NEVER, household))).fetchall():
        homes.add_device(number, device_id, 0, *rest)
    return homes


async def _readings(db: Connection, homes: Homes, edges: Sequence[int], as_of: datetime) -> Ints:
    """The readings known then: [device index, slot of the window, VALUES], MISSING where there is none."""
    first, end = edges[0], edges[-1]
    numbers: list[int] = homes.devices["number"].tolist()
    readings = np.full((len(numbers), end - first, len(VALUES)), MISSING, dtype=np.int64)
    wanted = {"devices": numbers, "first": first, "end": end, "as_of": as_of}
    index = {number: place for place, number in enumerate(numbers)}
    sealed: list[tuple[bytes, bytes]] = []
    for measured, named, device, slot, *values in await (await db.execute(_READINGS, wanted)).fetchall():
        if measured is not None:
            sealed.append((measured, named))
        else:
            readings[index[device], slot - first] = [MISSING if value is None else value for value in values]
    for part in sealed:
        found = await asyncio.to_thread(_known_then, *part, numbers, range(first, end), as_of)
        place = [index[device] for device in found.device.tolist()]
        readings[place, found.slot - first] = found.values
    return readings


def _known_then(
    measured: bytes, named: bytes, devices: Sequence[int], slots: range, as_of: datetime
) -> DayReadings:
    """What these devices have in a sealed day of these slots that was known at a time."""
    found = decode(measured, named)
    known = found.named[:, NAMED.index("known_at")] <= microseconds(as_of)
    known &= np.isin(found.device, devices) & (found.slot >= slots.start) & (found.slot < slots.stop)
    return found.at(np.flatnonzero(known))


def _bucketed(wh: Ints, starts: Array) -> Wh:
    """The sum of each bucket, None for one without a value."""
    known = wh != MISSING
    sums = np.add.reduceat(np.where(known, wh, 0), starts)
    some = np.logical_or.reduceat(known, starts)
    return [int(value) if there else None for value, there in zip(sums, some, strict=True)]
