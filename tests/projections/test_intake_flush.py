"""A mark may not overtake readings that MQTT acknowledged before it was put."""

import asyncio
from urllib.parse import urlsplit
from uuid import uuid4

import aiomqtt
import nats
from nats.aio.client import Client

from deploy.grid import Grid
from projections.intake_stream import FLUSH, STREAM, ensure_streams, flush_mqtt, request

READINGS = 300
ROUNDS = 10


async def _lying(client: Client, area: str) -> int:
    """How many of an area's messages lie in METER."""
    wanted = {"subjects_filter": f"meter.*.{area}.>"}
    subjects = (await request(client, f"STREAM.INFO.{STREAM}", wanted))["state"].get("subjects") or {}
    return sum(subjects.values())


def _connected(grid: Grid) -> aiomqtt.Client:
    user, place = urlsplit(grid.nats_url), urlsplit(grid.mqtt_url)
    return aiomqtt.Client(
        place.hostname or "",
        place.port or 0,
        username=user.username,
        password=user.password,
        identifier=uuid4().hex,
        timeout=10,
        max_inflight_messages=READINGS,
    )


async def _rounds(grid: Grid) -> list[int]:
    client = await nats.connect(grid.nats_url)
    await ensure_streams(client, grid.mqtt_url)
    found = []
    async with _connected(grid) as device:
        device.pending_calls_threshold = READINGS
        for _ in range(ROUNDS):
            area = uuid4().hex
            topic = f"readings/{area}/home"
            await asyncio.gather(*(device.publish(topic, str(n), qos=1) for n in range(READINGS)))
            assert await flush_mqtt(client, 10)
            found.append(await _lying(client, area))
    token = await client.jetstream().get_last_msg(STREAM, FLUSH)
    assert token.data
    await client.close()
    return found


def test_after_a_flush_every_acknowledged_reading_lies_in_the_stream(metering_grid: Grid) -> None:
    assert asyncio.run(_rounds(metering_grid)) == [READINGS] * ROUNDS
