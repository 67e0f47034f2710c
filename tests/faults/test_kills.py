"""SIGKILL of every part, five times each at random moments under load: what was acknowledged is there once."""

import asyncio
import random
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import pytest

from deploy.grid import Grid
from projections.rebuild import NAMES, compare
from simulator.client import GridClient
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
REGISTRATIONS, ATTACHMENTS, RENAMINGS = 20, 25, 5
READINGS_OF_A_HOME = 50
WAYS = ("MQTT",) * 4 + ("NATS",) * 4 + ("mutation",) * 2
CORRECTED_SHARE = 0.1
LONGEST_DELAY_SECONDS = 0.4


@dataclass
class Crowd:
    """Everybody outside, with their accounts; they outlive each part's kills."""

    ledger: Ledger
    homes: list[Home]


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
def test_killed_five_times(
    part: str, grid: Grid, crowd: Crowd, seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With 50 commands and 500 readings under way at each kill."""
    chance = random.Random(f"{seed}/{part}")
    in_flight = asyncio.run(_kill_under_load(grid, part, crowd, chance))
    with capsys.disabled():
        caught = ", ".join(f"{commands} commands {readings} readings" for commands, readings in in_flight)
        print(f"\n{part} killed with SMARTRIX_SEED={seed}; under way at the kills: {caught}")
    assert any(sum(caught) for caught in in_flight), "every kill came too late to do harm"
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
        for _ in range(KILLS):
            in_flight.append(await _kill_once(grid, part, client, crowd, ways, chance))
        await _everything_is_there(client, crowd)
    return in_flight


async def _kill_once(
    grid: Grid, part: str, client: GridClient, crowd: Crowd, ways: list[Way | None], chance: random.Random
) -> tuple[int, int]:
    """Commands and readings set off together, a kill at a random moment, and all of them acknowledged."""
    commands = [asyncio.ensure_future(command) for command in _commands(client, crowd.ledger, chance)]
    readings = [asyncio.ensure_future(reading) for reading in _readings(client, crowd.homes, ways, chance)]
    await asyncio.sleep(chance.uniform(0, LONGEST_DELAY_SECONDS))
    caught = sum(not task.done() for task in commands), sum(not task.done() for task in readings)
    killed = grid.pids()[part]
    await asyncio.to_thread(grid.kill, part)
    await asyncio.gather(*commands, *readings)
    await come_back(grid, part, killed)
    return caught


def _commands(client: GridClient, ledger: Ledger, chance: random.Random) -> list[Awaitable[None]]:
    known = sorted(ledger.names)
    return [
        *(ledger.register(client) for _ in range(REGISTRATIONS)),
        *(ledger.attach(client, chance.choice(known)) for _ in range(ATTACHMENTS)),
        *(ledger.rename(client, household) for household in chance.sample(known, RENAMINGS)),
    ]


def _readings(
    client: GridClient, homes: list[Home], ways: list[Way | None], chance: random.Random
) -> list[Awaitable[None]]:
    """500 readings; those by mutation five at a time, some of the others corrected while they are sent."""
    sending: list[Awaitable[None]] = []
    for home, way in zip(homes, ways, strict=True):
        slots = {home.take_slot(): chance.randint(1, 2000) for _ in range(READINGS_OF_A_HOME)}
        if way is None:
            pairs = list(slots.items())
            sending += [home.record(client, dict(pairs[n : n + 5])) for n in range(0, len(pairs), 5)]
            continue
        for slot, energy_wh in slots.items():
            mistaken_wh = chance.randint(1, 2000) if chance.random() < CORRECTED_SHARE else None
            sending.append(home.send(way, slot, energy_wh, mistaken_wh))
    return sending


async def _everything_is_there(client: GridClient, crowd: Crowd) -> None:
    await eventually(partial(crowd.ledger.holds, client))
    for home in crowd.homes:
        await eventually(partial(shows_readings, client, home))
