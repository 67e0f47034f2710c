"""A source of the simulated clock on real NATS: it joins, produces each stride once, answers each time."""

import asyncio
import json
from datetime import datetime

import nats
import pytest
from nats.aio.msg import Msg

from deploy.grid import Grid
from deploy.people import mint
from simulator.box_links import LinkDown
from simulator.clock_source import ClockSource

STRIDE = json.dumps({"id": "s1", "from": "2026-01-05T00:00:00+00:00", "to": "2026-01-05T01:00:00+00:00"})


def test_a_stride_is_produced_once_and_answered_each_time(outside: Grid) -> None:
    produced: list[tuple[datetime, datetime]] = []
    heard: list[tuple[str, object]] = []

    async def produce(begin: datetime, end: datetime) -> None:
        produced.append((begin, end))

    async def play() -> None:
        platform = await nats.connect(outside.nats_url)

        async def hear(message: Msg) -> None:
            heard.append((message.subject, json.loads(message.data or b"null")))
            if message.reply:
                await message.respond(b"ok")

        for subject in ("clock.joined.*", "clock.left.*", "clock.done.*"):
            await platform.subscribe(subject, cb=hear)
        await platform.flush()
        token = mint(outside.signing_key, "operator", "nikola")
        async with ClockSource(outside.nats_url, token, "homes", produce):
            for _ in range(2):
                await platform.publish("clock.stride", STRIDE.encode())
            for _ in range(200):
                if len(heard) == 3:
                    break
                await asyncio.sleep(0.02)
        await platform.close()

    asyncio.run(play())
    done = ("clock.done.homes", {"id": "s1", "name": "homes"})
    assert heard == [("clock.joined.homes", None), done, done, ("clock.left.homes", None)]
    assert [(begin.hour, end.hour) for begin, end in produced] == [(0, 1)]


def test_only_an_operator_moves_with_the_clock(outside: Grid) -> None:
    async def produce(_begin: datetime, _end: datetime) -> None:
        raise AssertionError("nothing is to be produced")

    async def play() -> None:
        token = mint(outside.signing_key, "partner", "p")
        async with ClockSource(outside.nats_url, token, "homes", produce):
            pass

    with pytest.raises(LinkDown):
        asyncio.run(play())
