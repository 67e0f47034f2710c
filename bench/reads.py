"""Questions to one gateway: a home's day by hour with its devices, communities by autarky, a month by day.

The rival answers the same documents by the same schema in the same kind of process, from memory.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray

from bench.door_homes import Home, await_readings, await_views, found, homes, measure
from bench.fan_out import advance
from bench.figures import Figure, WrongAnswer
from bench.open_loop import Load, Offered, asking, offer
from deploy.grid import CLOCK_START, REPOSITORY, ROLE_OF_PART, Grid
from deploy.ports import free_port
from write_side.rules.timeslots import slot_of, slot_start

HOMES, WITH_A_MONTH, APPLIANCES, A_COMMUNITY = 1_000, 20, 3, 50
_DAY, _MONTH, _AHEAD = 96, 31 * 96, 4
_END = slot_of(CLOCK_START) + _AHEAD
_FIRST = _END - _MONTH
_RATE, _SECONDS = 1_000, 15
_CONNECTIONS = 32
_WARM_S = 4.0  # first at half the rate, and not counted
_SECOND = "gateway-1"  # shares the port with the first while questions come steadily
_LONGEST_S = 12.0

DAY = """query WhereEnergyGoes { household { name energy(last: 24, resolution: HOUR) {
  nodes { start consumptionWh productionWh gridImportWh gridExportWh }
  total { consumptionWh productionWh gridImportWh gridExportWh coveragePercent }
  devices { device { name kind } energyWh sharePercent } untrackedWh untrackedPercent } } }"""
_COMMUNITIES = """query CommunitiesAutarky { communities(first: 20, orderBy: AUTARKY) { totalCount
  edges { node { id memberCount autarkyState { status since }
  autarky(last: 96) { selfSufficiencyPercent { value coveragePercent reason } missingWh } } } } }"""
_BY_DAY = """query Month { household { energy(last: 31, resolution: DAY) {
  nodes { start consumptionWh productionWh gridImportWh coveragePercent } total { consumptionWh } } } }"""
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """The homes and what they measured, Wh: by home and slot, the last one the newest of the grid's."""

    made: list[Home]
    consumption: Ints  # home, appliance, slot
    production: Ints  # home, slot

    @classmethod
    def of(cls, count: int) -> "Population":
        """So many homes; all with a day, the first few with a month."""
        dice = np.random.default_rng(7)
        consumption = dice.integers(1, 400, (count, APPLIANCES, _MONTH))
        return cls(homes(count, APPLIANCES, A_COMMUNITY), consumption, dice.integers(0, 900, (count, _MONTH)))


def run(scale: float) -> list[Figure]:
    """Offered steadily, and as much as goes; beside the same from memory."""
    population = Population.of(max(40, int(HOMES * scale)))
    with Grid(parts=[*ROLE_OF_PART, _SECOND]) as grid:
        grid.wait_healthy()
        _settle(grid, population)
        asked = [asking(grid.url, home.token(grid.signing_key), DAY, {}) for home in population.made]
        for seconds, rate in ((_WARM_S, _RATE / 2), (_SECONDS, _RATE)):
            steady = offer(
                Load(
                    url=grid.url,
                    requests=asked,
                    count=max(200, int(rate * seconds * scale)),
                    per_second=rate,
                    connections=_CONNECTIONS * 2,
                    keeps_bodies=True,
                )
            )
            _check(population, steady)
        grid.stop_part(_SECOND)
        with _memory(grid) as url:
            rivals = [asking(url, home.token(grid.signing_key), DAY, {}) for home in population.made]
            most, cpu = _most(grid.url, asked, scale, grid.pids()["gateway"])
            rival, _ = _most(url, rivals, scale, None)
            _check(population, rival)
        _check(population, most)
        others = _others(grid, population, scale)
    return [*_figures(steady, most, cpu, rival), *others]


def _settle(grid: Grid, population: Population) -> None:
    """The homes with their readings, up to an hour after the grid's first slot, and that hour closed."""
    made = population.made
    await_views(grid.database_url, found(grid.database_url, made, CLOCK_START - timedelta(days=32)))
    monthly = made[:WITH_A_MONTH]
    _send(grid, population, monthly, range(_MONTH - _DAY))
    _send(grid, population, made, range(_MONTH - _DAY, _MONTH - _AHEAD))
    arrived = len(monthly) * (_MONTH - _DAY) + len(made) * (_DAY - _AHEAD)
    for slot in range(_MONTH - _AHEAD, _MONTH):
        _send(grid, population, made, range(slot, slot + 1))
        arrived += len(made)
        await_readings(grid.database_url, arrived)
        advance(grid, slot_start(_FIRST + slot + 1))


def _send(grid: Grid, population: Population, made: Sequence[Home], slots: range) -> None:
    def measured(home: int) -> tuple[list[list[int]], list[int]]:
        consumption = population.consumption[home, :, slots.start : slots.stop].tolist()
        return consumption, population.production[home, slots.start : slots.stop].tolist()

    asyncio.run(measure(grid.nats_url, made, _FIRST + slots.start, len(slots), measured))


def _most(url: str, requests: Sequence[bytes], scale: float, pid: int | None) -> tuple[Offered, float]:
    """As much as goes with some connections; and the CPU seconds of a process meanwhile."""
    before = _cpu(pid)
    offered = offer(
        Load(
            url=url,
            requests=requests,
            count=max(100, int(8_000 * scale)),
            connections=_CONNECTIONS,
            longest_s=_LONGEST_S,
            keeps_bodies=True,
        )
    )
    return offered, _cpu(pid) - before


def _cpu(pid: int | None) -> float:
    if pid is None:
        return 0.0
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@contextmanager
def _memory(grid: Grid) -> Iterator[str]:
    """The rival, for as long as this lasts."""
    port = free_port()
    environment = psutil.Process(grid.pids()["gateway"]).environ() | {"SMARTRIX_PORT": str(port)}
    command = (sys.executable, "-m", "bench.memory_gateway")
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        _await_answer(url)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _await_answer(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            httpx.post(f"{url}/graphql", json={"query": "{ clock { now } }"}, timeout=20)
            return
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _others(grid: Grid, population: Population, scale: float) -> list[Figure]:
    """The two other questions, as many as go; their answers are checked for what is known of them."""
    operator = [asking(grid.url, grid.tokens["operator"], _COMMUNITIES, {})]
    monthly = population.made[:WITH_A_MONTH]
    months = [asking(grid.url, home.token(grid.signing_key), _BY_DAY, {}) for home in monthly]
    figures = []
    for name, requests, check in (
        ("communities by autarky", operator, _check_communities),
        ("a month by day", months, _check_months),
    ):
        count = max(20, int(1_000 * scale))
        load = Load(
            url=grid.url,
            requests=requests,
            count=count,
            connections=8,
            longest_s=_LONGEST_S,
            keeps_bodies=True,
        )
        offered = offer(load)
        check(population, offered)
        figures.append(
            Figure(
                name=f"reads: {name}",
                figure=offered.answered() / offered.seconds,
                unit="requests/s",
                beside=offered.latency_ms(50),
                rival="median with 8 at a time, ms",
            )
        )
    return figures


def _figures(steady: Offered, most: Offered, cpu: float, rival: Offered) -> list[Figure]:
    carried, from_memory = most.answered() / most.seconds, rival.answered() / rival.seconds
    return [
        Figure(
            name="reads: a day with devices, 1,000/s offered to two gateways, p99",
            figure=steady.latency_ms(99),
            unit="ms",
            at_most=25.0,
            beside=steady.answered() / steady.seconds,
            rival="answered a second",
        ),
        Figure(
            name="reads: a day with devices, the most of one gateway",
            figure=carried,
            unit="requests/s",
            beside=from_memory,
            rival="the same schema from memory",
        ),
        Figure(
            name="reads: share of the same from memory",
            figure=carried / from_memory,
            unit="",
            at_least=0.6,
            beside=cpu / len(most.statuses) * 1e6,
            rival="µs of the gateway's CPU a request",
        ),
        Figure(
            name="reads: the client's own cost",
            figure=steady.cpu_seconds / len(steady.statuses) * 1e6,
            unit="µs/request",
        ),
    ]


def _check(population: Population, offered: Offered) -> None:
    """Every answer is that of the home that asked."""
    expected: dict[int, Any] = {}
    for number, (status, body) in enumerate(zip(offered.statuses, offered.bodies, strict=True)):
        home = number % len(population.made)
        if home not in expected:
            expected[home] = _day_of(population, home)
        told = msgspec.json.decode(body)["data"]["household"]["energy"] if status == 200 else status
        if told != expected[home]:
            raise WrongAnswer(f"home {home} was to be told {expected[home]}, and was told {told}")


def _day_of(population: Population, home: int) -> dict[str, Any]:
    consumption = population.consumption[home, :, -_DAY:]
    load, production = consumption.sum(axis=0), population.production[home, -_DAY:]
    terms = {
        "consumptionWh": load,
        "productionWh": production,
        "gridImportWh": np.maximum(load - production, 0),
        "gridExportWh": np.maximum(production - load, 0),
    }
    hours = {name: values.reshape(24, 4).sum(axis=1).tolist() for name, values in terms.items()}
    starts = [slot_start(_END - _DAY + 4 * hour) for hour in range(24)]
    whole = int(load.sum())
    kinds = zip(
        population.made[home].appliances, consumption.sum(axis=1).tolist(), range(APPLIANCES), strict=True
    )
    ranked = sorted(kinds, key=lambda entry: (-entry[1], entry[0]))
    return {
        "nodes": [
            {"start": start.strftime("%Y-%m-%dT%H:%M:%SZ")} | {name: hours[name][hour] for name in terms}
            for hour, start in enumerate(starts)
        ],
        "total": {name: int(values.sum()) for name, values in terms.items()} | {"coveragePercent": "100.00"},
        "devices": [
            {
                "device": {"name": f"appliance {number}", "kind": "APPLIANCE"},
                "energyWh": wh,
                "sharePercent": f"{(Decimal(100 * wh) / whole).quantize(Decimal('0.01'))}",
            }
            for _, wh, number in ranked
        ],
        "untrackedWh": 0,
        "untrackedPercent": "0.00",
    }


def _check_communities(population: Population, offered: Offered) -> None:
    """Each page holds the first twenty of all, each with all its members and full coverage."""
    there = -(-len(population.made) // A_COMMUNITY)
    for status, body in zip(offered.statuses, offered.bodies, strict=True):
        page = msgspec.json.decode(body)["data"]["communities"] if status == 200 else None
        entries = [edge["node"] for edge in page["edges"]] if page else []
        covered = {node["autarky"]["selfSufficiencyPercent"]["coveragePercent"] for node in entries}
        if (
            page is None
            or page["totalCount"] != there
            or len(entries) != min(20, there)
            or not covered <= {"100.00"}
        ):
            raise WrongAnswer(f"there are {there} communities, and told was {page}")


def _check_months(population: Population, offered: Offered) -> None:
    """Each month's total is what the home measured in the days told."""
    for number, (status, body) in enumerate(zip(offered.statuses, offered.bodies, strict=True)):
        energy = msgspec.json.decode(body)["data"]["household"]["energy"] if status == 200 else None
        load = population.consumption[number % WITH_A_MONTH].sum(axis=0)
        begin = 0 if energy is None else slot_of(datetime.fromisoformat(energy["nodes"][0]["start"]))
        expected = int(load[max(0, begin - _FIRST) :].sum())
        if energy is None or energy["total"]["consumptionWh"] != expected:
            raise WrongAnswer(f"home {number % WITH_A_MONTH} used {expected} Wh, and told was {energy}")
