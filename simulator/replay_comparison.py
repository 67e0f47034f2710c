"""What the grid answers about a replayed home against the file's own sums, local day by local day."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import groupby

from simulator import operations
from simulator.client import Answer, GridClient
from simulator.measured import Measured, Series
from simulator.slots import LOCAL, local_days, parse_time, slot_number

TOLERANCE_WH = 1
WAIT_SECONDS = 180.0
_DAYS_AT_A_TIME = 31
_NEVER_AGREES_WH = Fraction(2 * TOLERANCE_WH)
Days = list[tuple[datetime, datetime]]
DayFigures = dict[datetime, int | None]


@dataclass(frozen=True)
class Difference:
    """One figure of one local day, in Wh; None where there is no value at all."""

    day: datetime
    figure: str
    file_wh: Fraction | None
    grid_wh: int | None

    @property
    def size_wh(self) -> Fraction:
        """How far the two are apart; a value where the other has none never agrees."""
        if self.file_wh is not None and self.grid_wh is not None:
            return abs(self.file_wh - self.grid_wh)
        value = self.file_wh if self.grid_wh is None else Fraction(self.grid_wh)
        return Fraction(0) if value is None else max(value, _NEVER_AGREES_WH)


@dataclass(frozen=True)
class Comparison:
    """Every figure of every local day."""

    measured: Measured
    differences: tuple[Difference, ...]

    @property
    def largest(self) -> Difference:
        """Where the grid is farthest from the file."""
        return max(self.differences, key=lambda difference: difference.size_wh)

    @property
    def holds(self) -> bool:
        """Whether every figure agrees to within 1 Wh."""
        return self.largest.size_wh <= TOLERANCE_WH

    def lines(self) -> list[str]:
        """The result for a person to read."""
        days = len({difference.day for difference in self.differences})
        figures = sorted({difference.figure for difference in self.differences})
        largest = self.largest
        gaps = ", ".join(f"{name} {slots}" for name, slots in self.measured.gap_slots.items())
        return [
            f"local days compared: {days}, by {', '.join(figures)}",
            f"largest difference: {float(largest.size_wh):.3f} Wh ({largest.figure}, {_day(largest.day)})",
            f"gaps kept as gaps, in slots: {gaps}",
            "every figure agrees to within 1 Wh" if self.holds else _told(largest),
        ]


def _told(largest: Difference) -> str:
    file_wh = None if largest.file_wh is None else f"{float(largest.file_wh):.3f}"
    return f"NOT equal: the file says {file_wh} Wh, the grid {largest.grid_wh} Wh"


def _day(start: datetime) -> str:
    return f"{start.astimezone(LOCAL):%Y-%m-%d}"


async def compared_when_complete(client: GridClient, household_id: str, measured: Measured) -> Comparison:
    """Asks until all figures agree; after 3 minutes it answers what is there."""
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while True:
        comparison = await _compare(client, household_id, measured)
        if comparison.holds or asyncio.get_running_loop().time() > deadline:
            return comparison
        await asyncio.sleep(1)


async def _compare(client: GridClient, household_id: str, measured: Measured) -> Comparison:
    days = list(local_days(measured.begin, measured.end))
    differences: list[Difference] = []
    for first in range(0, len(days), _DAYS_AT_A_TIME):
        some = days[first : first + _DAYS_AT_A_TIME]
        differences += await _compare_days(client, household_id, measured, some)
    return Comparison(measured, tuple(differences))


async def _compare_days(
    client: GridClient, household_id: str, measured: Measured, days: Days
) -> list[Difference]:
    """The devices each, and the household: its consumption is the meter's import, else the loads together."""
    begin, end = days[0][0], days[-1][1]
    nodes = await operations.energy(client, household_id, begin, end, "DAY")
    by_device = await operations.device_energy(client, household_id, begin, end, "DAY")
    differences = []
    for series in measured.series:
        if series.kind != "METER":
            field = "productionWh" if series.kind == "SOLAR" else "consumptionWh"
            figures = _by_day(by_device[series.name], field)
            differences += _differences(series.name, [series], figures, days)
    if set(by_device) == {series.name for series in measured.series}:
        consuming = [series for series in measured.series if series.kind == "METER"]
        consuming = consuming or [series for series in measured.series if series.kind == "APPLIANCE"]
        differences += _differences("consumption", consuming, _by_day(nodes, "consumptionWh"), days)
        if any(series.kind == "METER" for series in measured.series):
            differences += _tracked_and_untracked(by_device, nodes)
    return differences


def _differences(figure: str, series: list[Series], seen: DayFigures, days: Days) -> list[Difference]:
    return [Difference(day, figure, _file_sum(series, day, end), seen.get(day)) for day, end in days]


def _file_sum(series: list[Series], begin: datetime, end: datetime) -> Fraction | None:
    sums = [each.sum_wh(slot_number(begin), slot_number(end)) for each in series]
    present = [wh for wh in sums if wh is not None]
    return sum(present, Fraction(0)) if present else None


def _tracked_and_untracked(by_device: dict[str, list[Answer]], nodes: list[Answer]) -> list[Difference]:
    """Appliances and the untracked rest add up to the meter, as the grid tells all three."""
    differences = []
    for index, node in enumerate(nodes):
        tracked = sum(series[index]["consumptionWh"] or 0 for series in by_device.values())
        together = tracked + (node["untrackedWh"] or 0)
        day = parse_time(node["start"])
        meter = None if node["consumptionWh"] is None else Fraction(node["consumptionWh"])
        differences.append(Difference(day, "appliances + untracked", meter, together))
    return differences


def _by_day(nodes: list[Answer], field: str) -> DayFigures:
    return {parse_time(node["start"]): node[field] for node in nodes}


async def month_lines(client: GridClient, household_id: str, measured: Measured) -> list[str]:
    """Self-sufficiency by local month with its coverage; nothing for a home that produces nothing."""
    if all(series.kind != "SOLAR" for series in measured.series):
        return []
    lines = ["self-sufficiency by month, with the coverage of its data:"]
    days = local_days(measured.begin, measured.end)
    for month, of_month in groupby(days, lambda day: f"{day[0].astimezone(LOCAL):%Y-%m}"):
        span = list(of_month)
        figure = await operations.self_sufficiency(client, household_id, span[0][0], span[-1][1])
        percent = f"{figure.percent:.2f} %" if figure.percent is not None else f"none: {figure.reason}"
        lines.append(f"  {month}  {percent:>10}   {figure.coverage_percent:.2f} % covered")
    return lines
