"""Metering workers as processes: side by side, killed at any moment, with NATS or without."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from deploy.grid import Grid
from deploy.servers import servers
from projections.intake_stream import STREAM, ensure_streams, request
from projections.metered_homes import partition_of
from projections.metering_rebuild import compare, rebuild
from tests.projections.metered_grid import (
    FIRST,
    clock,
    community,
    database,
    device,
    founded,
    household,
    id_of,
    joined,
    reading,
    rows,
    state,
)
from write_side.events import Fact
from write_side.settings import PARTITIONS

AREAS = [f"area {number}" for number in range(12)]
HOMES = 8
SLOTS = 6


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """Servers whose stream and whose NATS these tests may break."""
    with servers() as grid:
        yield grid


@pytest.fixture
def url(grid: Grid) -> Iterator[str]:
    """A database with a grid of AREAS, a community in each, HOMES with a meter in each of them."""
    facts: list[Fact] = [founded(), clock(FIRST + SLOTS)]
    for area in AREAS:
        facts.append(community(area, area))
        for name in _homes(area):
            facts += [household(name, area), joined(area, name), device(f"m {name}", name, "METER")]
    with database(grid.database_url) as url:
        state(*facts, url=url)
        asyncio.run(_empty_intake(grid))
        yield url


def _homes(area: str) -> list[str]:
    return [f"{area}, home {number}" for number in range(HOMES)]


async def _empty_intake(grid: Grid) -> None:
    client = await nats.connect(grid.nats_url)
    await ensure_streams(client, grid.mqtt_url)
    await request(client, f"STREAM.DELETE.{STREAM}")
    await ensure_streams(client, grid.mqtt_url)
    await client.close()


class Workers:
    """Metering workers by their index."""

    def __init__(self, grid: Grid, url: str) -> None:
        self._environment = os.environ | {
            "DATABASE_URL": url,
            "NATS_URL": grid.nats_url,
            "MQTT_URL": grid.mqtt_url,
            "SMARTRIX_SIGNING_KEY": grid.signing_key.decode(),
        }
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, index: int) -> None:
        self._running[index] = subprocess.Popen(
            [sys.executable, "-m", "deploy.role", "metering", "--index", str(index)],
            stdin=subprocess.PIPE,
            env=self._environment,
        )

    def kill(self, index: int) -> None:
        process = self._running.pop(index)
        process.kill()
        process.wait(10)
        if process.stdin:
            process.stdin.close()

    def close(self) -> None:
        for index in list(self._running):
            self.kill(index)


@contextmanager
def _workers(grid: Grid, url: str, count: int) -> Iterator[Workers]:
    workers = Workers(grid, url)
    try:
        for index in range(count):
            workers.start(index)
        yield workers
    finally:
        workers.close()


def _until(condition: Callable[[], bool], seconds: float = 30.0) -> float:
    """Waits for a condition; how long it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "it did not come true in time"
        time.sleep(0.02)
    return time.monotonic() - begin


def _owners(url: str) -> list[int]:
    """How many partitions each connection holds."""
    query = """select count(*)::int from pg_locks where locktype = 'advisory' and objsubid = 2 and granted
               and database = (select oid from pg_database where datname = current_database())
               group by pid, classid order by 1"""
    return [row[0] for row in rows(url, query) if row[0] > 1]


def _community_message(slot: int, energies: dict[str, int], revision: int = 0) -> dict[str, Any]:
    return {
        "households": {
            str(id_of(name)): reading(
                slot, revision, **{f"m {name}": {"gridImportWh": wh, "gridExportWh": 0}}
            )
            for name, wh in energies.items()
        }
    }


async def _publish(client: Client, area: str, body: dict[str, Any]) -> None:
    await client.jetstream(timeout=5).publish(f"intake.{id_of(area)}.all", json.dumps(body).encode())


async def _mark(client: Client, slot: int) -> None:
    for partition in range(PARTITIONS):
        await client.jetstream().publish(f"meter.{partition}.mark", json.dumps({"slot": slot}).encode())


def _marked(url: str, slot: int) -> bool:
    return len(rows(url, "select 1 from mark where slot >= %s", slot)) == PARTITIONS


async def _send_slots(
    grid: Grid, dice: random.Random, between: Callable[[], None]
) -> dict[tuple[str, int], int]:
    """All slots of all homes, with repeats and corrections; what counts in the end."""
    client = await nats.connect(grid.nats_url)
    counted: dict[tuple[str, int], int] = {}
    for slot in range(FIRST, FIRST + SLOTS):
        for area in AREAS:
            energies = {name: dice.randrange(1000) for name in _homes(area)}
            await _publish(client, area, _community_message(slot, energies))
            if dice.random() < 0.3:
                await _publish(client, area, _community_message(slot, energies))
            if dice.random() < 0.3:
                energies = {name: wh + 1 for name, wh in energies.items()}
                await _publish(client, area, _community_message(slot, energies, 1))
            counted |= {(name, slot): wh for name, wh in energies.items()}
        await asyncio.to_thread(between)
        await _mark(client, slot)
    late = dict.fromkeys(_homes(AREAS[0]), 5)
    await _publish(client, AREAS[0], _community_message(FIRST, late, 2))
    await _mark(client, FIRST + SLOTS)
    await client.close()
    return counted | {(name, FIRST): wh for name, wh in late.items()}


def _assert_exact(url: str, counted: dict[tuple[str, int], int]) -> None:
    total = sum(counted.values())
    assert rows(url, "select sum(consumption_wh), sum(households) from grid_energy") == [
        (total, len(counted))
    ]
    assert rows(url, "select sum(consumption_wh) from community_energy") == [(total,)]
    assert rows(url, "select sum(consumption_wh), count(*) from household_flow") == [(total, len(counted))]
    late = rows(url, "select count(*), sum(consumption_wh_change) from late_change")
    before = rows(url, "select sum(grid_import_wh) from superseded where revision < 2")
    assert late[0][0] >= HOMES
    assert before[0][0] > 0
    assert rows(url, "select count(*) from kept_aside") == [(0,)]
    assert compare(url) == []


def test_metering_workers_share_and_totals_are_exact_through_kills(grid: Grid, url: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with _workers(grid, url, 2) as workers:
        _until(lambda: _owners(url) == [8, 8])

        def kill_one() -> None:
            time.sleep(dice.random() * 0.1)
            index = dice.randrange(2)
            workers.kill(index)
            workers.start(index)

        counted = asyncio.run(_send_slots(grid, dice, kill_one))
        _until(lambda: _marked(url, FIRST + SLOTS))
    _assert_exact(url, counted)


def test_metering_one_worker_takes_over_from_another(grid: Grid, url: str) -> None:
    with _workers(grid, url, 2) as workers:
        _until(lambda: _owners(url) == [8, 8])
        workers.kill(1)
        seconds = _until(lambda: _owners(url) == [16])
        assert seconds < 3
        counted = asyncio.run(_send_slots(grid, random.Random(1), lambda: None))
        _until(lambda: _marked(url, FIRST + SLOTS))
        workers.start(1)
        _until(lambda: _owners(url) == [8, 8])
    _assert_exact(url, counted)


def test_metering_without_workers_readings_wait_and_facts_need_no_nats(grid: Grid, url: str) -> None:
    counted = asyncio.run(_send_slots(grid, random.Random(2), lambda: None))
    assert rows(url, "select count(*) from reading") == [(0,)]
    try:
        grid.stop_part("nats")
        with _workers(grid, url, 1):
            state(household("newcomer", AREAS[0]), url=url)
            _until(lambda: len(rows(url, "select 1 from meter_household")) == len(AREAS) * HOMES + 1)
            grid.start_part("nats")
            _until(lambda: _marked(url, FIRST + SLOTS))
    finally:
        grid.start_part("nats")
        grid.wait_for_servers()
    _assert_exact(url, counted)


def test_metering_a_stream_made_anew_is_read_from_its_beginning(grid: Grid, url: str) -> None:
    area, home = AREAS[0], _homes(AREAS[0])[0]

    async def send(slot: int, times: int) -> None:
        client = await nats.connect(grid.nats_url)
        for number in range(times):
            await _publish(client, area, _community_message(slot, {home: 100 + number}, number))
        await client.close()

    def energy_is(slot: int, wh: int) -> Callable[[], bool]:
        query = "select consumption_wh from household_energy where slot = %s"
        return lambda: rows(url, query, slot) == [(wh,)]

    with _workers(grid, url, 1):
        asyncio.run(send(FIRST, 5))
        _until(energy_is(FIRST, 104))
        asyncio.run(_empty_intake(grid))
        asyncio.run(send(FIRST + 1, 2))
        _until(energy_is(FIRST + 1, 101))
    partition = partition_of(str(id_of(area)))
    assert rows(url, "select stream from metering_position where partition = %s", partition) == [(2,)]


def test_metering_partitions_to_which_nothing_comes_move_on_with_the_stream(grid: Grid, url: str) -> None:
    async def send(times: int) -> None:
        client = await nats.connect(grid.nats_url)
        for number in range(times):
            body = _community_message(FIRST, {_homes(AREAS[0])[0]: number}, number)
            await _publish(client, AREAS[0], body)
        await client.close()

    with _workers(grid, url, 2):
        asyncio.run(send(7))
        _until(lambda: rows(url, "select distinct stream from metering_position") == [(7,)])
        asyncio.run(send(8))
        newest = "select consumption_wh from household_energy"
        _until(lambda: rows(url, newest) == [(7,)])


def test_metering_a_rebuild_beside_working_workers(grid: Grid, url: str) -> None:
    with _workers(grid, url, 2):
        _until(lambda: _owners(url) == [8, 8])
        counted = asyncio.run(_send_slots(grid, random.Random(4), lambda: rebuild(url)))
        _until(lambda: _marked(url, FIRST + SLOTS))
    _assert_exact(url, counted)


def test_metering_a_fact_nobody_knows_is_said_and_not_passed_over(grid: Grid, url: str) -> None:
    unheard = "insert into log.fact values ('x', 1, 'Unheard', '{}') returning notification_id"
    position = rows(url, unheard)[0][0]
    state(household("behind it", AREAS[0]), url=url)
    with _workers(grid, url, 1):
        trouble = "select distinct error from metering_position where error is not null"
        _until(lambda: bool(rows(url, trouble)))
    assert "Unheard" in rows(url, trouble)[0][0]
    assert rows(url, "select max(facts) < %s from metering_position", position) == [(True,)]


def test_metering_the_database_gone_and_back(grid: Grid, url: str) -> None:
    with _workers(grid, url, 2):
        _until(lambda: _owners(url) == [8, 8])

        def kill_database() -> None:
            grid.kill("postgres")
            grid.wait_for_servers()

        counted = asyncio.run(_send_slots(grid, random.Random(3), kill_database))
        _until(lambda: _marked(url, FIRST + SLOTS))
    _assert_exact(url, counted)
