"""Subscriptions resumed with `after` over kills of the gateway: nothing missed, nothing twice."""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime

import httpx
import pytest
from gql import gql
from httpx_sse import SSEError, aconnect_sse

from deploy.grid import Grid
from simulator import operations
from simulator.client import Answer, GridClient, GridError
from simulator.slots import SLOT, format_time, parse_time
from tests.conftest import Telling
from tests.faults.clients import PAUSE_SECONDS, come_back, operator_of
from tests.faults.flicker import advance, living, move_flicker_in

KILLS, SLOTS_OF_A_KILL = 4, 6
QUIET_SECONDS = 3.0
CHANGES = "subscription($after: Position) { autarkyChanged(after: $after) { position slotStart to } }"
NOTIFICATIONS = "subscription($after: Position) { notifications(after: $after) { position slotStart kind } }"
Events = list[Answer]
Told = list[tuple[str, str]]
Follow = Callable[[str, str, str, Events, asyncio.Event], Coroutine[None, None, None]]


async def follow_over_socket(url: str, token: str, question: str, seen: Events, until: asyncio.Event) -> None:
    """Collects what comes over graphql-transport-ws; connects again after what it saw last."""
    subscription = GridClient(url, token).subscribe(gql(question), after="p0")
    while not until.is_set():
        try:
            await subscription.open()
            while (event := await subscription.next(1)) is not None:
                seen.append(event.body)
        except GridError:
            await asyncio.sleep(PAUSE_SECONDS)
        await subscription.drop()
    while (event := await subscription.next(0.01)) is not None:
        seen.append(event.body)


async def follow_over_sse(url: str, token: str, question: str, seen: Events, until: asyncio.Event) -> None:
    """The same over server-sent events."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers, timeout=1) as http:
        while not until.is_set():
            after = seen[-1]["position"] if seen else "p0"
            body = {"query": question, "variables": {"after": after}}
            with suppress(httpx.HTTPError, SSEError, TimeoutError):
                async with aconnect_sse(http, "POST", f"{url}/graphql", json=body) as source:
                    async for event in source.aiter_sse():
                        if event.event == "next" and (data := json.loads(event.data).get("data")):
                            seen.append(next(iter(data.values())))
            await asyncio.sleep(PAUSE_SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("follow", [follow_over_socket, follow_over_sse])
def test_none_missed_and_none_twice(follow: Follow, grid: Grid, seed: str, told: Telling) -> None:
    chance = random.Random(f"{seed}/{follow.__name__}")
    told(f"gateway killed under {follow.__name__} with SMARTRIX_SEED={seed}")
    changes, notifications, expected = asyncio.run(_play(grid, follow, chance))
    assert [(_slot(event), event["to"]) for event in changes] == expected[0]
    assert [(_slot(event), event["kind"]) for event in notifications] == expected[1]
    for events in (changes, notifications):
        assert len({event["position"] for event in events}) == len(events)


async def _play(grid: Grid, follow: Follow, chance: random.Random) -> tuple[Events, Events, list[Told]]:
    changes: Events = []
    notifications: Events = []
    enough = asyncio.Event()
    async with operator_of(grid) as client:
        flicker = await move_flicker_in(client, (44 + 3 * chance.random(), 1.5), 1)
        begin = (await operations.clock(client)).now
        end = begin + KILLS * SLOTS_OF_A_KILL * SLOT
        expected = [flicker.changes(begin, end), flicker.notifications(begin, end)]
        async with living(grid, [flicker]):
            people = flicker.home.registered.token
            following = [
                asyncio.create_task(follow(grid.url, people, question, seen, enough))
                for question, seen in ((CHANGES, changes), (NOTIFICATIONS, notifications))
            ]
            for n in range(1, KILLS + 1):
                await _advance_over_kill(grid, client, begin + n * SLOTS_OF_A_KILL * SLOT, chance)
            await asyncio.sleep(QUIET_SECONDS)
            enough.set()
            await asyncio.gather(*following)
    return changes, notifications, expected


async def _advance_over_kill(grid: Grid, client: GridClient, to: datetime, chance: random.Random) -> None:
    advancing = asyncio.create_task(advance(client, to))
    await asyncio.sleep(chance.uniform(0, 0.6))
    killed = grid.pids()["gateway"]
    await asyncio.to_thread(grid.kill, "gateway")
    await advancing
    await come_back(grid, "gateway", killed)


def _slot(event: Answer) -> str:
    return format_time(parse_time(event["slotStart"]))
