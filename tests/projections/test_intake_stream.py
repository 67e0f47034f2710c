"""Acknowledged means kept: MQTT and NATS into the intake stream, through kills and a full disk."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import uuid4

import aiomqtt
import nats
import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client

from deploy.grid import Grid
from deploy.servers import servers
from projections.intake_stream import MQTT_STREAM, STREAM, ensure_streams, request
from projections.metered_homes import partition_of

logging.getLogger("mqtt").setLevel(logging.ERROR)  # aiomqtt warns of each call that waits

AREA = "area-1"
HOME = "home-1"
_TIMEOUT_S = 1.0


@pytest.fixture
def grid() -> Iterator[Grid]:
    """Servers of one's own: these tests kill and fill them."""
    with servers() as grid:
        yield grid


async def _connect(grid: Grid) -> Client:
    return await nats.connect(
        grid.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=_quiet
    )


async def _quiet(_: Exception) -> None:
    pass


def _mqtt(grid: Grid) -> aiomqtt.Client:
    user, place = urlsplit(grid.nats_url), urlsplit(grid.mqtt_url)
    return aiomqtt.Client(
        place.hostname or "",
        place.port or 0,
        username=user.username,
        password=user.password,
        identifier=uuid4().hex,
        timeout=_TIMEOUT_S,
    )


async def _stored(client: Client) -> dict[bytes, int]:
    """How often each payload lies in METER."""
    counts: dict[bytes, int] = {}
    subscription = await client.jetstream().subscribe("", stream=STREAM, ordered_consumer=True)
    info = await request(client, f"STREAM.INFO.{STREAM}")
    for _ in range(info["state"]["messages"]):
        message = await subscription.next_msg(5)
        counts[message.data] = counts.get(message.data, 0) + 1
    await subscription.unsubscribe()
    return counts


async def _until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


@dataclass
class _Sender:
    """Sends numbered messages until told to stop, and keeps what was acknowledged."""

    grid: Grid
    size: int = 10
    acknowledged: list[bytes] = field(default_factory=list)
    stopped: bool = False
    refused: int = 0
    number: int = 0

    def _next(self, way: str) -> bytes:
        self.number += 1
        return f"{way} {self.number} ".encode().ljust(self.size, b".")

    async def over_mqtt(self) -> None:
        while not self.stopped:
            with contextlib.suppress(aiomqtt.MqttError):
                async with _mqtt(self.grid) as client:
                    while not self.stopped:
                        payload = self._next("mqtt")
                        try:
                            await client.publish(f"readings/{AREA}/{HOME}", payload, qos=1)
                        except aiomqtt.MqttError:
                            self.refused += 1
                            raise
                        self.acknowledged.append(payload)
            await asyncio.sleep(0.05)

    async def over_nats(self) -> None:
        client = await _connect(self.grid)
        stream = client.jetstream(timeout=_TIMEOUT_S)
        while not self.stopped:
            payload = self._next("nats")
            try:
                await stream.publish(f"intake.{AREA}.{HOME}", payload)
            except (nats.errors.Error, nats.js.errors.Error):
                self.refused += 1
                await asyncio.sleep(0.05)
            else:
                self.acknowledged.append(payload)
        with contextlib.suppress(OSError):  # nats-py raises what came of the server's end
            await client.close()


def test_intake_both_ways_of_a_home_meet_in_its_partition(metering_grid: Grid) -> None:
    async def play() -> None:
        client = await _connect(metering_grid)
        await asyncio.gather(*(ensure_streams(client, metering_grid.mqtt_url) for _ in range(3)))
        before = (await request(client, f"STREAM.INFO.{STREAM}"))["created"]
        await ensure_streams(client, metering_grid.mqtt_url)
        assert (await request(client, f"STREAM.INFO.{STREAM}"))["created"] == before
        area, home = str(uuid4()), str(uuid4())
        subject = f"meter.{partition_of(area)}.{area}.{home}"
        arrived = await client.jetstream().subscribe(subject, stream=STREAM, ordered_consumer=True)
        acknowledged = await client.jetstream().publish(f"intake.{area}.{home}", b"over nats")
        assert acknowledged.stream == STREAM
        async with _mqtt(metering_grid) as device:
            await device.publish(f"readings/{area}/{home}", b"over mqtt", qos=1)
        assert [(await arrived.next_msg(5)).data for _ in range(2)] == [b"over nats", b"over mqtt"]
        odd = await client.jetstream().subscribe("intake.>", stream=STREAM, ordered_consumer=True)
        await client.jetstream().publish(f"intake.{area}.{home}.more", b"fits no route")
        assert (await odd.next_msg(5)).data == b"fits no route"
        await client.close()

    asyncio.run(play())


def test_intake_a_killed_server_loses_nothing_acknowledged(grid: Grid) -> None:
    async def play() -> None:
        client = await _connect(grid)
        await ensure_streams(client, grid.mqtt_url)
        senders = [_Sender(grid), _Sender(grid)]
        sending = [asyncio.create_task(senders[0].over_mqtt()), asyncio.create_task(senders[1].over_nats())]
        for _ in range(3):
            await asyncio.sleep(0.7)
            grid.kill("nats")
            await asyncio.to_thread(grid.wait_for_servers)
        await asyncio.sleep(0.5)
        for sender in senders:
            sender.stopped = True
        await asyncio.gather(*sending)
        sent = [payload for sender in senders for payload in sender.acknowledged]
        assert min(len(sender.acknowledged) for sender in senders) > 50

        async def is_drawn() -> bool:
            state = await request(client, f"CONSUMER.INFO.{MQTT_STREAM}.METER")
            return bool(state["num_pending"] == 0)

        await _until(is_drawn)
        stored = await _stored(client)
        assert [payload for payload in sent if payload not in stored] == []
        assert [payload for payload in sent if stored[payload] != 1] == []
        await client.close()

    asyncio.run(play())


def test_intake_a_full_stream_acknowledges_nothing_it_does_not_keep(grid: Grid) -> None:
    async def play() -> None:
        client = await _connect(grid)
        await ensure_streams(client, grid.mqtt_url, largest_bytes=200_000)
        over_nats, over_mqtt = _Sender(grid, size=1000), _Sender(grid, size=1000)
        for sender, send in ((over_nats, over_nats.over_nats), (over_mqtt, over_mqtt.over_mqtt)):
            sending = asyncio.create_task(send())

            async def is_refused(sender: _Sender = sender) -> bool:
                return sender.refused > 2

            await _until(is_refused)
            sender.stopped = True
            await sending
        assert 50 < len(over_nats.acknowledged) < 200
        assert 50 < len(over_mqtt.acknowledged) < 400
        stored = await _stored(client)
        assert [payload for payload in over_nats.acknowledged if payload not in stored] == []
        await ensure_streams(client, grid.mqtt_url, largest_bytes=4_000_000)

        async def is_whole() -> bool:
            stored = await _stored(client)
            return all(payload in stored for payload in over_mqtt.acknowledged)

        await _until(is_whole)
        stored = await _stored(client)
        assert {stored[payload] for payload in over_mqtt.acknowledged + over_nats.acknowledged} == {1}
        await client.close()

    asyncio.run(play())
