"""Reading what lies in sealed days: the blocks a query finds in the same snapshot as its open rows."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, LiteralString

import numpy as np
from psycopg import AsyncConnection

from projections.binary_copy import MISSING, Ints
from projections.day_codec import DAY_SLOTS, DayReadings, decode_measured
from projections.metering_tables import VALUES

Connection = AsyncConnection[Any]

# 96 slots a day (UTC); the window is of slots, its end outside.
SEALED_BETWEEN: LiteralString = " and day between %(first)s / 96 and (%(end)s - 1) / 96"
_DAYS_AT_ONCE = 4
_CONSUMPTION, _CHARGE = VALUES.index("consumption_wh"), VALUES.index("charge_wh")


async def opened(blocks: Sequence[bytes], devices: Sequence[int], first: int, end: int) -> DayReadings:
    """The readings of these devices from slot `first` to before `end` in `measured` parts."""
    if not blocks:
        return _nothing()
    return await asyncio.to_thread(_opened, blocks, np.array(devices, dtype=np.int64), first, end)


def bucketed(readings: DayReadings, edges: Sequence[int]) -> Iterator[tuple[int, DayReadings]]:
    """The readings of each bucket between neighbouring edges that has any."""
    bucket = np.searchsorted(np.asarray(edges), readings.slot, side="right") - 1
    for one in np.unique(bucket).tolist():
        yield one, readings.at(np.flatnonzero(bucket == one))


def total(wh: Ints) -> int | None:
    """The sum of what is known, None where nothing is."""
    known = wh[wh != MISSING]
    return int(known.sum()) if len(known) else None


def consumed(readings: DayReadings) -> Iterator[tuple[int, int]]:
    """Each device's consumption or, where it has none, charge, Wh; devices without either are left out."""
    values = readings.values
    wh = np.where(values[:, _CONSUMPTION] == MISSING, values[:, _CHARGE], values[:, _CONSUMPTION])
    for device in np.unique(readings.device).tolist():
        found = total(wh[readings.device == device])
        if found is not None:
            yield device, found


async def newest_sealed(db: Connection, device: int, value: str | None = None) -> tuple[int, int] | None:
    """The newest sealed slot of a device and its value there; None without one. `value` must be known then.

    `value` is None, where any reading will do, or soc_wh.
    """
    column: LiteralString = "newest_day" if value is None else "newest_soc_day"
    statement: LiteralString = (
        "select day, measured from sealed_device join sealed_day using (grp) where device = %s and day <= "
        + column
        + " and day < %s order by day desc limit %s"
    )
    before, wanted = 2**31 - 1, 1
    while blocks := await (await db.execute(statement, (device, before, wanted))).fetchall():
        # The first block is the one, unless the reading has been taken out of it since.
        for before, measured in blocks:
            found = await opened([measured], [device], before * DAY_SLOTS, (before + 1) * DAY_SLOTS)
            values = found.values[:, VALUES.index(value or VALUES[0])]
            known = np.flatnonzero((values != MISSING) | (value is None))
            if len(known):
                return int(found.slot[known[-1]]), int(values[known[-1]])
        wanted = _DAYS_AT_ONCE
    return None


def _opened(blocks: Sequence[bytes], devices: Ints, first: int, end: int) -> DayReadings:
    readings = _nothing()
    for measured in blocks:
        readings = readings.and_then(decode_measured(measured, devices))
    return readings.at(np.flatnonzero((readings.slot >= first) & (readings.slot < end)))


def _nothing() -> DayReadings:
    none = np.empty(0, dtype=np.int64)
    return DayReadings(none, none, np.empty((0, len(VALUES)), dtype=np.int64), none.reshape(0, 0))
