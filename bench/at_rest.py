"""What a reading takes on disk, indexes included: while its day is open, and when the day is sealed.

Half of the homes report with their community, half each by itself. Three days stay open, as in a grid that
runs; what a day leaves behind in the open table is taken by the next.
"""

import asyncio
import time
import zlib
from collections.abc import Sequence
from typing import Any, LiteralString

import numpy as np
import psycopg

from bench.figures import Figure, WrongAnswer
from bench.measured_homes import SLOTS, MeasuredDevice, are_there, homes
from bench.stored_grid import FIRST, IN_A_COMMUNITY, StoredGrid, stored_grid
from projections.metering_rebuild import compare
from projections.read_energy import device_energy, device_ranking, household_energy
from projections.read_energy_as_of import energy_as_of
from projections.schemas import search_path
from write_side.rules.timeslots import slot_start

GOAL_BYTES = 3.0
_HOMES, _DAYS, _OPEN_DAYS = 200, 8, 3
_ASKED = 12
_VACUUM: tuple[LiteralString, ...] = ("vacuum reading", "vacuum sealed_device", "vacuum sealing_group")
_SEALED = ("sealed_day", "sealed_device", "sealing_group")


def run(scale: float) -> list[Figure]:
    """Bytes per reading; about a million readings of 200 homes over nine days in full."""
    count, days = max(8, int(_HOMES * scale)), _DAYS if scale >= 1 else _OPEN_DAYS + 2
    measured = homes(count, days, seed=2)
    with stored_grid(measured, days) as grid:
        grid.show_households()
        _report(grid, range(_OPEN_DAYS))
        open_readings = grid.one("select count(*) from reading")
        open_bytes, bare_bytes = grid.size("reading") / open_readings, _bare(grid) / open_readings
        before = _answers(grid)
        rate = _go_on(grid, days)
        figures = [
            Figure(name="at rest: an open reading", figure=open_bytes, unit="bytes", beside=bare_bytes,
                   rival="its key and its values alone in a table with a primary key"),
            *_stored(grid, measured, days - _OPEN_DAYS, rate),
        ]  # fmt: skip
        _check(grid, measured, days, before)
        return [*figures, _late(grid, days - _OPEN_DAYS), *_derived(grid)]


def _go_on(grid: StoredGrid, days: int) -> float:
    """Each further day is reported, and one sealed; readings sealed a second.

    The vacuum is the one that the server does by itself some time later.
    """
    sealed, seconds = 0, 0.0
    for day in range(_OPEN_DAYS, days):
        _report(grid, range(day, day + 1))
        begin = time.perf_counter()
        sealed += grid.seal(FIRST + (day + 1 - _OPEN_DAYS) * SLOTS)
        seconds += time.perf_counter() - begin
        for statement in _VACUUM:
            grid.connection.execute(statement)
    return sealed / seconds


def _report(grid: StoredGrid, days: range) -> None:
    """The homes report these days, slot by slot."""
    members = np.arange(len(grid.homes))
    together = [
        part.tolist() for part in np.split(members, range(IN_A_COMMUNITY, len(members), IN_A_COMMUNITY))
    ]
    alone = [[home] for part in together[1::2] for home in part]
    if len(together) == 1:
        alone, together = [[home] for home in together[0][1::2]], [together[0][::2]]
    for day in days:
        slots = range(day * SLOTS, (day + 1) * SLOTS)
        for begin in range(slots.start, slots.stop, 24):
            messages = [
                grid.message(who, slot)
                for slot in range(begin, begin + 24)
                for who in [*together[:: 2 if alone and len(together) > 1 else 1], *alone]
            ]
            grid.take(messages)
        grid.take(grid.marks(slots.stop - 1))


def _bare(grid: StoredGrid) -> int:
    grid.connection.execute(
        """create temp table bare as
             select device, slot, consumption_wh, production_wh, grid_import_wh, grid_export_wh, charge_wh,
               discharge_wh, soc_wh, power_w from reading"""
    )
    grid.connection.execute("alter table bare add primary key (device, slot)")
    size = grid.size("bare")
    grid.connection.execute("drop table bare")
    return size


def _stored(
    grid: StoredGrid, measured: Sequence[Sequence[MeasuredDevice]], days: int, rate: float
) -> list[Figure]:
    readings = grid.one("select sum(readings)::bigint from sealed_day")
    open_readings = grid.one("select count(*) from reading")
    parts = "select sum(octet_length(measured) + octet_length(named))::float8 / sum(readings) from sealed_day"
    values = "select sum(octet_length(measured))::float8 / sum(readings) from sealed_day"
    bare = _bare_values(measured, days) / readings
    name = "at rest: a sealed reading" if are_there() else "at rest: a sealed reading of a drawn series"
    rival = "zlib level 9 over the bare values, device by device"
    return [
        Figure(name=name, figure=grid.size(*_SEALED) / readings, unit="bytes",
               beside=bare, rival=rival, at_most=GOAL_BYTES),
        Figure(name="at rest: of it values", figure=grid.one(values), unit="bytes", beside=bare, rival=rival),
        Figure(name="at rest: of it values, revision, sequence, time", figure=grid.one(parts), unit="bytes"),
        Figure(name="at rest: the open table after sealing and vacuum, for each reading that is open",
               figure=grid.size("reading") / open_readings, unit="bytes"),
        Figure(name="at rest: sealing, one worker in steps", figure=rate, unit="readings/s"),
    ]  # fmt: skip


def _bare_values(measured: Sequence[Sequence[MeasuredDevice]], days: int) -> int:
    """What zlib makes of the values themselves, in two bytes each, of all homes of a day together."""
    series = [one for home in measured for device in home for one in device.series.values()]
    wh = np.stack(series)[:, : days * SLOTS].astype("<u2")
    return sum(len(zlib.compress(wh[:, day * SLOTS : (day + 1) * SLOTS].tobytes(), 9)) for day in range(days))


def _derived(grid: StoredGrid) -> list[Figure]:
    return [
        Figure(name=f"at rest: a row of {table} (household and slot)", unit="bytes",
               figure=grid.size(table) / max(grid.one("select count(*) from " + table), 1))
        for table in ("household_energy", "household_flow")
    ]  # fmt: skip


def _late(grid: StoredGrid, sealed_days: int) -> Figure:
    """A correction of a sealed reading, in a transaction of its own: its block is opened for it."""
    number = next(place for place, home in enumerate(grid.homes) if home[-1].kind != "BATTERY")
    home = grid.homes[number]
    seconds = []
    for revision in (1, 2):  # the second finds the day open
        for device in home:
            device.series = {name: series + 1 for name, series in device.series.items()}
        begin = time.perf_counter()
        grid.take([grid.message([number], 5, revision)])
        seconds.append(time.perf_counter() - begin)
    for place, device in enumerate(home):
        value = next(iter(device.series.values()))[5]
        found = grid.one(
            """select coalesce(consumption_wh, production_wh, grid_import_wh, charge_wh) from reading
               where device = %s and slot = %s""",
            grid.number(number, place),
            FIRST + 5,
        )
        if found != value:
            raise WrongAnswer(f"a corrected reading of a sealed day is {found} Wh, sent were {value} Wh")
    if grid.seal(FIRST + sealed_days * SLOTS) == 0:
        raise WrongAnswer("the day of a correction was not opened")
    return Figure(
        name="at rest: a late reading for a sealed day, until committed",
        figure=seconds[0] * 1e3,
        unit="ms",
        beside=seconds[1] * 1e3,
        rival="the same for a day that is open",
    )


def _check(
    grid: StoredGrid, measured: Sequence[Sequence[MeasuredDevice]], days: int, before: list[Any]
) -> None:
    """Sealed or open, the queries answer the same, and every reading is there with its value."""
    if _answers(grid) != before:
        raise WrongAnswer("a query answers otherwise since its days are sealed")
    expected = sum(len(home) for home in measured) * days * SLOTS
    found = grid.one("select (select count(*) from reading) + (select sum(readings) from sealed_day)::bigint")
    if found != expected:
        raise WrongAnswer(f"{found} readings are stored, {expected} were sent")
    numbers = [(home, place) for home in range(len(measured)) for place in range(len(measured[home]))]
    asked = numbers[:: max(1, len(numbers) // 40)]
    for (home, place), sums in zip(asked, asyncio.run(_devices(grid, asked, days)), strict=True):
        for name, column in (("consumption", "consumption_wh"), ("gridImport", "grid_import_wh")):
            series = measured[home][place].series.get(name)
            told = None if series is None else int(series.sum())
            if sums.total(column) != told:
                raise WrongAnswer(
                    f"{column} of home {home}: {sums.total(column)} Wh, measured were {told} Wh"
                )
    differences = compare(grid.url)
    if differences:
        raise WrongAnswer(differences[0])


async def _devices(grid: StoredGrid, asked: Sequence[tuple[int, int]], days: int) -> list[Any]:
    async with await _connected(grid) as db:
        edges = [FIRST, FIRST + days * SLOTS]
        return [await device_energy(db, grid.number(*one), edges) for one in asked]


def _answers(grid: StoredGrid) -> list[Any]:
    return asyncio.run(_ask(grid))


async def _ask(grid: StoredGrid) -> list[Any]:
    """Of some homes: energy by day and as known at a time, the ranking of devices, a meter's slots."""
    chosen = range(0, len(grid.homes), max(1, len(grid.homes) // _ASKED))
    hours, then = list(range(FIRST, FIRST + 2 * SLOTS + 1, 4)), slot_start(FIRST + 40)
    answers: list[Any] = []
    async with await _connected(grid) as db:
        for home in chosen:
            number = int(grid.state.homes.households["number"][home])
            answers.append(await household_energy(db, number, hours))
            answers.append(await energy_as_of(db, number, hours, then))
            answers.append(await device_ranking(db, grid.household_id(home), hours))
            answers.append(await device_energy(db, grid.number(home, 0), list(range(FIRST, FIRST + 97))))
    return answers


async def _connected(grid: StoredGrid) -> psycopg.AsyncConnection[Any]:
    options = f"-c search_path={search_path().replace(' ', '')}"
    return await psycopg.AsyncConnection.connect(grid.url, autocommit=True, options=options)
