"""Totals from the readings: the derived tables of metering built afresh, from open and from sealed days."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import LiteralString

from bench.figures import Figure, WrongAnswer
from bench.measured_homes import SLOTS, MeasuredDevice, homes
from bench.stored_grid import FIRST, StoredGrid, stored_grid
from deploy.grid import REPOSITORY
from projections.binary_copy import Connection
from projections.schemas import connect

GOAL_READINGS_PER_S = 1_000_000
_REBUILD = """
import sys, time
from projections.metering_rebuild import rebuild
begin = time.perf_counter()
rebuild(sys.argv[1])
print(time.perf_counter() - begin)
"""
_CHECKED: tuple[tuple[str, LiteralString], ...] = (
    ("gridImport", "grid_import_wh"),
    ("gridExport", "grid_export_wh"),
    ("production", "production_wh"),
    ("charge", "charge_wh"),
)
_TOTALS: tuple[LiteralString, ...] = ("grid_energy", "community_energy", "household_energy")
_HOMES, _DAYS, _KINDS_OF_HOMES = 500, 10, 250


def run(scale: float) -> list[Figure]:
    """Readings a second; about 2.8 million of them in full."""
    count = max(20, int(_HOMES * scale))
    kinds = homes(min(count, _KINDS_OF_HOMES), _DAYS, seed=3)
    figures = []
    with stored_grid([kinds[home % len(kinds)] for home in range(count)], _DAYS) as grid:
        readings = sum(grid.lay_down(day) for day in range(_DAYS))
        grid.take(grid.marks(_DAYS * SLOTS - 1))
        grid.connection.execute("vacuum analyze intake.reading")
        figures += _measured(grid, "open", readings, _select_rows)
        grid.seal(FIRST + _DAYS * SLOTS)
        grid.connection.execute("vacuum analyze intake.reading")  # as the server does by itself
        figures += _measured(grid, "sealed", readings, _select_days)
    return figures


def _measured(
    grid: StoredGrid, form: str, readings: int, bare: Callable[[Connection], object]
) -> list[Figure]:
    begin = time.perf_counter()
    with connect(grid.url) as connection:
        bare(connection)
    bare_s = time.perf_counter() - begin
    taken_s = _rebuilt(grid)
    _check(grid)
    return [
        Figure(
            name=f"rebuild: totals from {form} readings",
            figure=readings / taken_s,
            unit="readings/s",
            beside=readings / bare_s,
            rival="the same readings only read",
            at_least=GOAL_READINGS_PER_S if form == "sealed" else None,
        )
    ]


def _rebuilt(grid: StoredGrid) -> float:
    """Seconds, in a process of its own as the command starts one; its start does not count."""
    ended = subprocess.run(
        [sys.executable, "-c", _REBUILD, grid.url],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=120,
    )
    if ended.returncode != 0:
        raise WrongAnswer(ended.stderr[-500:])
    return float(ended.stdout)


def _select_rows(connection: Connection) -> None:
    with connection.cursor() as cursor, cursor.copy("copy reading to stdout (format binary)") as copy:
        for _ in copy:
            pass


def _select_days(connection: Connection) -> None:
    with connection.cursor() as cursor, cursor.copy("copy sealed_day to stdout (format binary)") as copy:
        for _ in copy:
            pass


def _check(grid: StoredGrid) -> None:
    """Import, export and production of grid and communities against the sum of what was measured."""
    for name, column in _CHECKED:
        expected = _sum(grid.homes, name)
        for table in _TOTALS:
            found = grid.one("select sum(" + column + ") from " + table)
            if found != expected:
                raise WrongAnswer(f"{table}.{column}: {found} Wh, measured were {expected} Wh")
    flows = grid.one("select count(*) from household_flow")
    if flows != len(grid.homes) * _DAYS * SLOTS:
        raise WrongAnswer(f"{flows} flows of {len(grid.homes)} homes")


def _sum(all_homes: Sequence[Sequence[MeasuredDevice]], name: str) -> int:
    """What was measured of a value, cars apart: what they charge is consumption."""
    devices = [device for home in all_homes for device in home if device.kind != "VEHICLE"]
    return sum(int(device.series[name].sum()) for device in devices if name in device.series)
