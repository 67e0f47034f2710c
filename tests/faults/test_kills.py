"""SIGKILL of every part, five times each at random moments under load: the acknowledged is there, once."""

import asyncio
import random
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import pytest

from deploy.grid import Grid
from projections.rebuild import NAMES, compare
from simulator.client import GridClient
from tests.conftest import Telling
from tests.faults.clients import (
    Home,
    Way,
    come_back,
    eventually,
    move_in,
    operator_of,
    shows_readings,
    way_of,
)
from tests.faults.ledger import Ledger

PARTS = ("metering-0", "metering-1", "views", "relay", "gateway", "standing-orders", "nats", "postgres")
KILLS = 5
REGISTRATIONS, ATTACHMENTS, RENAMINGS = 25, 29, 6
READINGS_OF_A_HOME, READINGS_OF_A_MUTATION = 100, 5
LEAST_IN_FLIGHT = (50, 500)  # commands, readings: a kill with less under way does not count
IN_FLIGHT_COMMANDS, IN_FLIGHT_READINGS = 52, 750
WAYS = ("MQTT",) * 4 + ("NATS",) * 4 + ("mutation",) * 2
CORRECTED_SHARE = 0.1


@dataclass
class Crowd:
    """Everybody outside, with their accounts; they outlive each part's kills."""

    ledger: Ledger
    homes: list[Home]


@dataclass
class Load:
    """What is under way: a task for each command, and for each message its task with its readings' number."""

    commands: Sequence[asyncio.Future[None]]
    messages: Sequence[tuple[asyncio.Future[None], int]]

    @property
    def in_flight(self) -> tuple[int, int]:
        """Commands and readings that are not acknowledged yet."""
        readings = sum(count for message, count in self.messages if not message.done())
        return sum(not command.done() for command in self.commands), readings


@pytest.fixture(scope="module")
def crowd(grid: Grid, seed: str) -> Crowd:
    """Ten homes whose readings go ten ways, and a list of households that the commands are about."""

    async def gather() -> Crowd:
        ledger = Ledger(random.Random(f"{seed}/commands"))
        async with operator_of(grid) as client:
            homes = [await move_in(client, f"metered {n}", (44.0 + 0.4 * n, 2.0)) for n in range(len(WAYS))]
            await asyncio.gather(*(ledger.register(client) for _ in range(RENAMINGS)))
        return Crowd(ledger, homes)

    return asyncio.run(gather())


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_killed_five_times(part: str, grid: Grid, crowd: Crowd, seed: str, told: Telling) -> None:
    """With 50 commands and 500 readings under way at each kill."""
    chance = random.Random(f"{seed}/{part}")
    in_flight = asyncio.run(_kill_under_load(grid, part, crowd, chance))
    assert len(in_flight) == KILLS
    caught = ", ".join(f"{commands} commands {readings} readings" for commands, readings in in_flight)
    told(f"{part} killed with SMARTRIX_SEED={seed}; under way at the kills: {caught}")
    assert {name: compare(grid.database_url, name) for name in NAMES} == {name: [] for name in NAMES}


async def _kill_under_load(
    grid: Grid, part: str, crowd: Crowd, chance: random.Random
) -> list[tuple[int, int]]:
    in_flight = []
    async with operator_of(grid) as client, AsyncExitStack() as stack:
        ways = []
        for home, protocol in zip(crowd.homes, WAYS, strict=True):
            ways.append(way_of(grid, home, protocol) if protocol != "mutation" else None)
        for way in filter(None, ways):
            stack.push_async_callback(way.close)
        for _ in range(2 * KILLS):
            commands, readings = await _kill_once(grid, part, client, crowd, ways, chance)
            if commands >= LEAST_IN_FLIGHT[0] and readings >= LEAST_IN_FLIGHT[1]:
                in_flight.append((commands, readings))
            if len(in_flight) == KILLS:
                break
        await _everything_is_there(client, crowd)
    return in_flight


async def _kill_once(
    grid: Grid, part: str, client: GridClient, crowd: Crowd, ways: list[Way | None], chance: random.Random
) -> tuple[int, int]:
    """Commands and readings set off together, a kill while enough are under way, and all acknowledged."""
    commands = [asyncio.ensure_future(command) for command in _commands(client, crowd.ledger, chance)]
    load = Load(commands, list(_messages(client, crowd.homes, ways, chance)))
    until_commands = chance.randint(IN_FLIGHT_COMMANDS, load.in_flight[0])
    until_readings = chance.randint(IN_FLIGHT_READINGS, load.in_flight[1])
    while (caught := load.in_flight)[0] > until_commands and caught[1] > until_readings:
        await asyncio.sleep(0.001)
    killed = grid.pids()[part]
    await asyncio.to_thread(grid.kill, part)
    await asyncio.gather(*load.commands, *(message for message, _ in load.messages))
    await come_back(grid, part, killed)
    return caught


def _commands(client: GridClient, ledger: Ledger, chance: random.Random) -> list[Awaitable[None]]:
    known = sorted(ledger.names)
    return [
        *(ledger.register(client) for _ in range(REGISTRATIONS)),
        *(ledger.attach(client, chance.choice(known)) for _ in range(ATTACHMENTS)),
        *(ledger.rename(client, household) for household in chance.sample(known, RENAMINGS)),
    ]


def _messages(
    client: GridClient, homes: list[Home], ways: list[Way | None], chance: random.Random
) -> Iterator[tuple[asyncio.Future[None], int]]:
    """The same number of readings for each home; some of those by box are corrected while they are sent."""
    for home, way in zip(homes, ways, strict=True):
        slots = [(home.take_slot(), chance.randint(1, 2000)) for _ in range(READINGS_OF_A_HOME)]
        if way is None:
            for n in range(0, len(slots), READINGS_OF_A_MUTATION):
                some = dict(slots[n : n + READINGS_OF_A_MUTATION])
                yield asyncio.ensure_future(home.record(client, some)), len(some)
            continue
        for slot, energy_wh in slots:
            mistaken_wh = chance.randint(1, 2000) if chance.random() < CORRECTED_SHARE else None
            yield asyncio.ensure_future(home.send(way, slot, energy_wh, mistaken_wh)), 1


async def _everything_is_there(client: GridClient, crowd: Crowd) -> None:
    await eventually(partial(crowd.ledger.holds, client))
    for home in crowd.homes:
        await eventually(partial(shows_readings, client, home))
