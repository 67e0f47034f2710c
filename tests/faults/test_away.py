"""What the grid still does while a part is away, and that nothing of it is lost when the part is back."""

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial

import pytest
import websockets
from gql import gql
from graphql import print_ast
from websockets.typing import Subprotocol

from deploy.grid import CLOCK_START, Grid
from simulator.client import GridClient, GridError
from simulator.slots import SLOT, format_time, parse_time, slot_starts
from tests.conftest import Telling
from tests.faults.clients import (
    Home,
    come_back,
    energy_by_slot,
    eventually,
    move_in,
    operator_of,
    shows_readings,
    way_of,
)
from tests.faults.flicker import Flicker, advance, living, move_flicker_in
from tests.faults.ledger import Ledger

NOT_READY_WITHIN_SECONDS = 2.0
TAKEN_OVER_WITHIN_SECONDS = 10.0
ADVANCED_SLOTS = 36
Closing = tuple[str, list[int], list[str]]
_REGISTER = gql(
    """mutation($input: RegisterHouseholdInput!) { registerHousehold(input: $input) {
      ... on RegisterHouseholdPayload { position householdId } ... on Refusal { message code } } }"""
)
_NOTIFICATIONS = gql(
    """query($id: ID, $after: String) { notifications(first: 100, after: $after, householdId: $id) {
      nodes { kind slotStart } pageInfo { hasNextPage endCursor } } }"""
)
_CLOSED = gql(
    """subscription($after: Position) { slotClosed(after: $after) {
      position slotStart missingPartitions silentSources } }"""
)


def test_commands_are_accepted_while_nats_is_down(grid: Grid) -> None:
    async def play() -> None:
        async with operator_of(grid) as client:
            ledger = Ledger(random.Random(0))
            grid.stop_part("nats")
            try:
                for _ in range(5):
                    began = time.monotonic()
                    await asyncio.wait_for(ledger.register(client), 10)
                    # Each is told twice; the view is waited for two seconds at most.
                    assert time.monotonic() - began < 2 * 2.5
                await eventually(partial(ledger.holds, client), 5)
            finally:
                grid.start_part("nats")
            grid.wait_healthy()
            await eventually(partial(ledger.holds, client))

    asyncio.run(play())


def test_readings_are_acknowledged_while_postgresql_is_down(grid: Grid) -> None:
    async def play() -> None:
        async with operator_of(grid) as client, AsyncExitStack() as stack:
            homes = [await move_in(client, f"away {n}", (44.0 + n, 1.0)) for n in range(3)]
            await homes[2].record(client, {homes[2].take_slot(): 5})
            ways = [way_of(grid, homes[0], "MQTT"), way_of(grid, homes[1], "NATS")]
            for way in ways:
                stack.push_async_callback(way.close)
            grid.stop_part("postgres")
            try:
                began = time.monotonic()
                for home, way in zip(homes, ways, strict=False):
                    await asyncio.gather(*(home.send(way, home.take_slot(), n) for n in range(1, 51)))
                await homes[2].record(client, {homes[2].take_slot(): 7})
                assert time.monotonic() - began < 10
                assert "postgres" not in grid.pids()
            finally:
                grid.start_part("postgres")
            for home in homes:
                await eventually(partial(shows_readings, client, home))

    asyncio.run(play())


def test_without_postgresql_a_mutation_answers_not_ready_within_two_seconds(grid: Grid) -> None:
    async def refused_within(client: GridClient, key: str) -> float:
        began = time.monotonic()
        with pytest.raises(GridError) as error:
            await client.tell(_REGISTER, idempotencyKey=key, name=key, latitude="45", longitude="3")
        assert error.value.code == "NOT_READY"
        return time.monotonic() - began

    async def play() -> None:
        async with operator_of(grid) as client:
            grid.stop_part("postgres")
            try:
                singly = [await refused_within(client, "not ready") for _ in range(4)]
                together = await asyncio.gather(*(refused_within(client, f"one of {n}") for n in range(40)))
            finally:
                grid.start_part("postgres")
            assert max(singly) < NOT_READY_WITHIN_SECONDS
            assert max(together) < NOT_READY_WITHIN_SECONDS
            grid.wait_healthy()
            asked = {"idempotencyKey": "not ready", "name": "not ready", "latitude": "45", "longitude": "3"}
            assert (await client.tell(_REGISTER, **asked))["householdId"]

    asyncio.run(play())


def test_clients_that_go_away_leave_the_next_ones_an_answer(grid: Grid) -> None:
    async def ask_and_go(after_seconds: float) -> None:
        """Asks for ten households over one socket, and breaks it without waiting for the answers."""
        address = f"{grid.url.replace('http', 'ws', 1)}/graphql"
        socket = await websockets.connect(address, subprotocols=[Subprotocol("graphql-transport-ws")])
        authorization = {"Authorization": f"Bearer {grid.tokens['operator']}"}
        await socket.send(json.dumps({"type": "connection_init", "payload": authorization}))
        await socket.recv()
        for n in range(10):
            asked = {"input": {"name": f"gone {n}", "latitude": "48", "longitude": "3"}}
            payload = {"query": print_ast(_REGISTER.document), "variables": asked}
            await socket.send(json.dumps({"type": "subscribe", "id": f"{n}", "payload": payload}))
        await asyncio.sleep(after_seconds)
        socket.transport.abort()

    async def play() -> None:
        for milliseconds in range(20):
            await ask_and_go(milliseconds / 1000)
        async with operator_of(grid) as client:
            for n in range(3):
                began = time.monotonic()
                await client.tell(_REGISTER, name=f"stays {n}", latitude="48.5", longitude="3")
                assert time.monotonic() - began < NOT_READY_WITHIN_SECONDS

    asyncio.run(play())


def test_readings_wait_for_stopped_workers(grid: Grid) -> None:
    async def play() -> None:
        async with operator_of(grid) as client:
            home = await move_in(client, "waits", (47.0, 4.0))
            for worker in ("metering-0", "metering-1"):
                grid.stop_part(worker)
            try:
                await home.record(client, {home.take_slot(): 11, home.take_slot(): 31})
                await asyncio.sleep(1)
                assert await energy_by_slot(client, home) == ({}, 0)
            finally:
                for worker in ("metering-0", "metering-1"):
                    grid.start_part(worker)
            await eventually(partial(shows_readings, client, home))

    asyncio.run(play())


@pytest.mark.parametrize("worker", ["metering-0", "metering-1"])
def test_the_other_worker_takes_over(worker: str, grid: Grid, told: Telling) -> None:
    async def play() -> float:
        async with operator_of(grid) as client:
            homes = [await move_in(client, f"{worker} {n}", (43.0 + 0.5 * n, 5.0)) for n in range(10)]
            await asyncio.gather(*(_record(client, home) for home in homes))
            os.kill(grid.pids()[worker], signal.SIGKILL)
            grid.stop_part(worker)
            try:
                began = time.monotonic()
                await asyncio.gather(*(_record(client, home) for home in homes))
                for home in homes:
                    await eventually(partial(shows_readings, client, home))
                taken_over = time.monotonic() - began
                assert worker not in grid.pids()
            finally:
                grid.start_part(worker)
            await asyncio.gather(*(_record(client, home) for home in homes))
            for home in homes:
                await eventually(partial(shows_readings, client, home))
            return taken_over

    taken_over = asyncio.run(play())
    told(f"{worker} killed and held down: everything visible again after {taken_over:.1f} s")
    assert taken_over < TAKEN_OVER_WITHIN_SECONDS


async def _record(client: GridClient, home: Home) -> None:
    await home.record(client, {home.take_slot(): energy_wh for energy_wh in range(100, 110)})


@pytest.mark.slow
def test_a_killed_standing_order_finishes_the_advance(grid: Grid, seed: str, told: Telling) -> None:
    """Every slot is closed once, nobody is told anything twice."""
    chance = random.Random(f"{seed}/advance")
    end = CLOCK_START + ADVANCED_SLOTS * SLOT

    async def play() -> None:
        async with operator_of(grid) as client:
            flickers = [
                await move_flicker_in(client, (45.0 + n, 0.5), stretch) for n, stretch in enumerate((1, 3))
            ]
            async with living(grid, flickers):
                advancing = asyncio.create_task(advance(client, end))
                for _ in range(3):
                    await asyncio.sleep(chance.uniform(0.1, 1.0))
                    await _kill(grid, "standing-orders", advancing)
                await advancing
            await _closed_once(client, end)
            for flicker in flickers:
                await eventually(partial(_told_once, client, flicker, end), 10)

    told(f"standing-orders killed three times in an advance with SMARTRIX_SEED={seed}")
    asyncio.run(play())


async def _kill(grid: Grid, part: str, under_way: "asyncio.Task[object]") -> None:
    killed = grid.pids()[part]
    assert not under_way.done(), "the advance was over before the kill"
    await asyncio.to_thread(grid.kill, part)
    await come_back(grid, part, killed)


async def _closed_once(client: GridClient, end: datetime) -> None:
    """Every slot once and in order, none without its readings: what sends and counts them was well."""
    expected: list[Closing] = [(format_time(slot), [], []) for slot in slot_starts(CLOCK_START, end)]
    found = []
    async with client.subscribe(_CLOSED, after="p0") as closings:
        while (event := await closings.next(2)) is not None:
            slot = format_time(parse_time(event.body["slotStart"]))
            found.append((slot, event.body["missingPartitions"], event.body["silentSources"]))
    assert found == expected


async def _told_once(client: GridClient, flicker: Flicker, end: datetime) -> None:
    told, after = [], None
    while True:
        answer = await client.ask(_NOTIFICATIONS, id=flicker.home.registered.id, after=after)
        page = answer["notifications"]
        told += [(format_time(parse_time(node["slotStart"])), node["kind"]) for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert Counter(told) == Counter(flicker.notifications(CLOCK_START, end))
