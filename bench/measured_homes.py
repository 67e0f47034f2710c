"""Homes as they measure: series of a quarter of an hour made from real meters, panels and charging sessions.

The recordings are of two homes and a garage of cars; each home here takes another stretch of them, at
another scale and with its own noise, so that no home repeats another. Where the recordings are not there,
their place is taken by series drawn by chance, which compress worse.
"""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SLOTS = 96
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
APPLIANCES = ("Kettle", "Dishwasher", "WashingMachine", "Microwave")
_MINUTES = 15
_CAPACITY_WH, _MOST_WH = 9_000, 1_250
_EFFICIENCY = 0.9
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class MeasuredDevice:
    """A device's kind and, by the message's field, what it measured in each slot: Wh."""

    kind: str
    series: dict[str, Ints] = field(default_factory=dict)


def are_there() -> bool:
    """Whether the recordings lie beside the project."""
    return DATA.is_dir()


def homes(count: int, days: int, seed: int) -> list[list[MeasuredDevice]]:
    """The devices of `count` homes: a meter and four appliances each, many with panels, a battery, a car."""
    dice = np.random.default_rng(seed)
    return [_home(dice, days) for _ in range(count)]


def _home(dice: np.random.Generator, days: int) -> list[MeasuredDevice]:
    scale = dice.uniform(0.5, 1.8)
    begin = int(dice.integers(0, len(_recorded()["Aggregate"]) - days * SLOTS))
    parts = {name: _stretch(dice, series, begin, days) * scale for name, series in _recorded().items()}
    load = parts["Aggregate"]
    devices = [
        MeasuredDevice("APPLIANCE", {"consumption": np.rint(parts[name]).astype(np.int64)})
        for name in APPLIANCES
    ]
    production = np.zeros(days * SLOTS)
    if dice.random() < 0.4:
        panels = _panels()
        at = int(dice.integers(0, len(panels) // SLOTS - days)) * SLOTS
        production = _stretch(dice, panels, at, days) * dice.uniform(0.6, 2.0)
        devices.append(MeasuredDevice("SOLAR", {"production": np.rint(production).astype(np.int64)}))
    if dice.random() < 0.2:
        charged = _car(dice, days)
        load = load + charged
        devices.append(MeasuredDevice("VEHICLE", {"charge": charged}))
    net = np.rint(load - production).astype(np.int64)
    if production.any() and dice.random() < 0.5:
        battery, net = _battery(net)
        devices.append(battery)
    meter = {"gridImport": np.maximum(net, 0), "gridExport": np.maximum(-net, 0)}
    return [MeasuredDevice("METER", meter), *devices]


def _stretch(dice: np.random.Generator, series: Floats, begin: int, days: int) -> Floats:
    part = series[begin : begin + days * SLOTS]
    noisy: Floats = part * np.maximum(1 + dice.normal(0, 0.05, len(part)), 0)
    return noisy


def _battery(net: Ints) -> tuple[MeasuredDevice, Ints]:
    """What a battery does that stores every surplus and gives it back to every need."""
    charge, discharge, stored = np.zeros_like(net), np.zeros_like(net), np.zeros_like(net)
    level = 0.4 * _CAPACITY_WH
    for slot, wh in enumerate(net.tolist()):
        if wh < 0:
            taken = int(min(-wh, _MOST_WH, (_CAPACITY_WH - level) / _EFFICIENCY))
            charge[slot], level = taken, level + taken * _EFFICIENCY
        elif wh > 0:
            given = int(min(wh, _MOST_WH, level))
            discharge[slot], level = given, level - given
        stored[slot] = round(level)
    series = {"charge": charge, "discharge": discharge, "soc": stored}
    return MeasuredDevice("BATTERY", series), net + charge - discharge


def _car(dice: np.random.Generator, days: int) -> Ints:
    """A car's charging, from the sessions of one of the recorded cars, at 7.2 kW until it has its energy."""
    users = list(_sessions().values())
    charged = np.zeros(days * SLOTS)
    sessions = users[int(dice.integers(len(users)))]
    first = int(dice.integers(sessions[0][0], max(sessions[-1][0] - days * SLOTS, sessions[0][0] + 1)))
    most = 1_800 * dice.uniform(0.5, 1.0)
    for slot, wh in sessions:
        at, left = slot - first, wh
        while left > 0 and 0 <= at < len(charged):
            charged[at] = min(most * dice.uniform(0.97, 1.0), left)
            left, at = left - charged[at], at + 1
    return np.rint(charged).astype(np.int64)


@cache
def _recorded() -> dict[str, Floats]:
    """A home's load and appliances over four months: Wh in each slot."""
    if not are_there():
        return _drawn()
    columns: dict[str, list[float]] = {"Aggregate": [], **{name: [] for name in APPLIANCES}}
    for month in ("03", "04", "05", "06"):
        for row in _rows(f"refit_house2_2014-{month}.csv.gz", ","):
            for name, series in columns.items():
                series.append(float(row[name] or 0))
    begins = np.arange(len(columns["Aggregate"]) // _MINUTES) * _MINUTES
    return {name: _sums(np.array(series), begins) / 60 for name, series in columns.items()}


def _drawn() -> dict[str, Floats]:
    """120 days by chance: a load that rises in the evening, and appliances that run now and then."""
    dice = np.random.default_rng(1)
    hours = np.arange(120 * SLOTS) / 4 % 24
    found = {
        name: np.where(dice.random(len(hours)) < 0.02, dice.uniform(20, 500, len(hours)), 0)
        for name in APPLIANCES
    }
    load = dice.lognormal(4.2, 0.6, len(hours)) * (1 + np.exp(-(((hours - 19) / 2.5) ** 2)))
    return {"Aggregate": load + sum(found.values()), **found}


def _sums(series: Floats, begins: Ints) -> Floats:
    sums: Floats = np.add.reduceat(series, begins)
    return sums


@cache
def _panels() -> Floats:
    """A year of a home's panels: Wh in each slot, from means of half an hour; a silent inverter gives 0."""
    if are_there():
        rows = _rows("home_fr_2024_load_pv_30min.csv.gz", ",")
        watts = np.array([float(row["pv_w"] or 0) for row in rows])
    else:
        hours = np.arange(365 * SLOTS // 2) / 2 % 24
        clouds = np.random.default_rng(2).uniform(0.2, 1, len(hours))
        watts = 3000 * np.maximum(np.sin((hours - 6) / 12 * np.pi), 0) * clouds
    at = np.arange(2 * len(watts)) / 2 - 0.25
    half_hours: Floats = np.interp(at, np.arange(len(watts)), watts)
    return np.maximum(half_hours, 0) / 4


@cache
def _sessions() -> dict[str, list[tuple[int, float]]]:
    """Each recorded car's sessions: the slot of the plug-in, and Wh."""
    found: dict[str, list[tuple[int, float]]] = {}
    if not are_there():
        return {"car": [(day * SLOTS + 72 + day % 20, 4000.0 + 700 * (day % 11)) for day in range(400)]}
    for row in _rows("ev_sessions_trondheim.csv", ";"):
        date, _, hour = row["Start_plugin"].partition(" ")
        day, month, year = date.split(".")
        minutes = int(hour.split(":")[0]) * 60 + int(hour.split(":")[1])
        slot = int(np.datetime64(f"{year}-{month}-{day}").astype(np.int64)) * SLOTS + minutes // _MINUTES
        wh = float(row["El_kWh"].replace(",", ".") or 0) * 1000
        found.setdefault(row["User_ID"], []).append((slot, wh))
    return {user: sorted(sessions) for user, sessions in found.items() if len(sessions) > 20}


def _rows(name: str, delimiter: str) -> Iterator[dict[str, str]]:
    path = DATA / name
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode("utf-8-sig")
    yield from csv.DictReader(text.splitlines(), delimiter=delimiter)
