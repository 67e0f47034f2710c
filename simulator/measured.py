"""Measured data of real homes, read from their files into whole Wh per slot; a gap stays a gap.

A slot with a missing minute or half hour has no value (None): neither 0 nor what the rest of it measured.
The running index is rounded, never the slot, so that any span sums to its exact energy within 1 Wh.
"""

import csv
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TextIO

from simulator.running_index import RunningIndex
from simulator.slots import SLOT_SECONDS, parse_time, slot_number, slot_start

_MINUTES_PER_SLOT = 15
LOUGHBOROUGH = (52.77, -1.21)
AUVERGNE = (45.8, 4.0)
Sampled = dict[int, Fraction]


@dataclass(frozen=True)
class Series:
    """One device's energy; `exact_wh` and `whole_wh` by slot number, slots without a value left out."""

    kind: str
    name: str
    field: str
    exact_wh: dict[int, Fraction]
    whole_wh: dict[int, int]

    def between(self, first: int, end: int) -> list[int | None]:
        """The whole Wh of the slots [first, end), None where there is a gap."""
        return [self.whole_wh.get(slot) for slot in range(first, end)]

    def sum_wh(self, first: int, end: int) -> Fraction | None:
        """The file's own sum over the slots [first, end); None where they are all gaps."""
        present = [self.exact_wh[slot] for slot in range(first, end) if slot in self.exact_wh]
        return sum(present, Fraction(0)) if present else None


@dataclass(frozen=True)
class Measured:
    """A file's content: one home, at a place (latitude, longitude), over the slots [begin, end)."""

    name: str
    place: tuple[float, float]
    begin: datetime
    end: datetime
    series: tuple[Series, ...]

    @property
    def gap_slots(self) -> dict[str, int]:
        """How many slots have no value, by series."""
        slots = slot_number(self.end) - slot_number(self.begin)
        return {series.name: slots - len(series.whole_wh) for series in self.series}


def read_measured(path: Path) -> Measured:
    """Reads a REFIT house (minutes) or a home with panels (half hours). ValueError for anything else."""
    with _open(path) as lines:
        rows = csv.reader(lines)
        header = next(rows, [])
        if header[:2] == ["Time", "Aggregate"]:
            return _refit(header, rows)
        if header[:3] == ["time", "load_w", "pv_w"]:
            return _half_hours(rows)
    raise ValueError(f"{path.name}: neither Time,Aggregate,... nor time,load_w,pv_w,... in its first line")


def _open(path: Path) -> TextIO:
    return gzip.open(path, "rt", newline="")


def _refit(header: list[str], rows: Iterable[list[str]]) -> Measured:
    columns: list[dict[int, Decimal]] = [{} for _ in header]
    for row in rows:
        minute = int(parse_time(row[0]).timestamp()) // 60
        for column, value in zip(columns[1:], row[1:], strict=True):
            if _is_number(value):
                column[minute] = Decimal(value)
    sampled = [_minutes_to_slots(column) for column in columns[1:]]
    series = [_series("METER", "main meter", "gridImportWh", sampled[0])]
    series += [
        _series("APPLIANCE", name, "consumptionWh", exact)
        for name, exact in zip(header[2:], sampled[1:], strict=True)
    ]
    minutes = columns[1].keys()
    first, last = min(minutes) // _MINUTES_PER_SLOT, max(minutes) // _MINUTES_PER_SLOT
    return Measured("REFIT house", LOUGHBOROUGH, slot_start(first), slot_start(last + 1), tuple(series))


def _minutes_to_slots(power_w: dict[int, Decimal]) -> Sampled:
    sums: dict[int, list[Decimal]] = {}
    for minute, value in power_w.items():
        sums.setdefault(minute // _MINUTES_PER_SLOT, []).append(value)
    return {
        slot: Fraction(sum(values, Decimal(0))) / 60
        for slot, values in sorted(sums.items())
        if len(values) == _MINUTES_PER_SLOT
    }


def _half_hours(rows: Iterable[list[str]]) -> Measured:
    load, pv = Sampled(), Sampled()
    times = []
    for time, load_w, pv_w, *_ in rows:
        times.append(parse_time(time))
        first = slot_number(times[-1])
        for sampled, value in ((load, load_w), (pv, pv_w)):
            if _is_number(value):
                sampled[first] = sampled[first + 1] = Fraction(Decimal(value)) * SLOT_SECONDS / 3600
    series = (
        _series("APPLIANCE", "base load", "consumptionWh", load),
        _series("SOLAR", "panels", "productionWh", pv),
    )
    end = slot_start(slot_number(max(times)) + 2)
    return Measured("French home with panels", AUVERGNE, min(times), end, series)


def _is_number(value: str) -> bool:
    return value.strip().lower() not in ("", "nan")


def _series(kind: str, name: str, field: str, exact_wh: Sampled) -> Series:
    return Series(kind, name, field, exact_wh, dict(_rounded(exact_wh)))


def _rounded(exact_wh: Sampled) -> Iterator[tuple[int, int]]:
    index = RunningIndex()
    for slot in sorted(exact_wh):
        yield slot, index.add(exact_wh[slot])
