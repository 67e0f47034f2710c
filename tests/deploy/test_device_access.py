"""Devices at the door, with real MQTT and NATS clients: their own topics, and nobody else's."""

import asyncio
import logging
import time
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import aiomqtt
import jwt
import nats
import pytest
from nats.aio.client import Client

from deploy.access import without_password
from deploy.grid import Grid
from gateway.access import mint

AREA = str(uuid4())
REFUSED = 0x80


@pytest.fixture(autouse=True)
def _quiet_mqtt() -> Iterator[None]:
    logger = logging.getLogger("mqtt")
    before, logger.level = logger.level, logging.CRITICAL
    yield
    logger.level = before


def _token(grid: Grid, household: str) -> str:
    return mint(grid.signing_key, "device", household, household=household, area=AREA)


def _mqtt(grid: Grid, user: str, password: str) -> aiomqtt.Client:
    port = urlsplit(grid.mqtt_url).port
    return aiomqtt.Client(
        "127.0.0.1",
        port or 0,
        username=user,
        password=password,
        identifier=f"box-{user}",
        clean_session=False,
        timeout=5,
    )


async def _nats(grid: Grid, user: str, password: str, refusals: list[str]) -> Client:
    async def note(error: Exception) -> None:
        refusals.append(str(error))

    return await nats.connect(
        without_password(grid.nats_url),
        user=user,
        password=password,
        inbox_prefix=f"_INBOX.{user}".encode(),
        allow_reconnect=False,
        connect_timeout=5,
        error_cb=note,
    )


async def _told(client: Client, refusals: list[str], count: int) -> None:
    """After everything sent was seen by the server, and the client told of so many refusals."""
    await client.flush(5)
    deadline = time.monotonic() + 5
    while len(refusals) < count and time.monotonic() < deadline:
        await asyncio.sleep(0.01)


def test_readings_over_mqtt_arrive_from_their_own_household_alone(running: Grid) -> None:
    mine, other = str(uuid4()), str(uuid4())

    async def play() -> list[str]:
        platform = await nats.connect(running.nats_url)
        seen = await platform.subscribe("readings.>")
        await platform.flush()
        async with _mqtt(running, mine, _token(running, mine)) as box:
            await box.publish(f"readings/{AREA}/{other}", b"foreign", qos=1)
            await box.publish(f"readings/{AREA}/{mine}", b"own", qos=1)
        first = await seen.next_msg(timeout=5)
        await platform.close()
        return [first.subject, first.data.decode()]

    assert asyncio.run(play()) == [f"readings.{AREA}.{mine}", "own"]


def test_an_order_reaches_a_box_that_was_away(running: Grid) -> None:
    mine, other = str(uuid4()), str(uuid4())

    async def play() -> list[object]:
        async with _mqtt(running, mine, _token(running, mine)) as box:
            granted = await box.subscribe(f"orders/{mine}", qos=1)
            foreign = [await box.subscribe(f, qos=1) for f in (f"orders/{other}", "#", "$MQTT/sub/#")]
        platform = await nats.connect(running.nats_url)
        order = f"$MQTT.msgs.orders.{mine}"
        await platform.jetstream().publish(order, b"CURTAIL", headers={"Nmqtt-Pub": "1"})
        await platform.close()
        async with _mqtt(running, mine, _token(running, mine)) as box:
            message = await asyncio.wait_for(anext(aiter(box.messages)), 5)
        return [granted, *foreign, message.payload]

    granted, *foreign, order = asyncio.run(play())
    assert _codes(granted) == [1]
    assert [_codes(codes) for codes in foreign] == [[REFUSED]] * 3
    assert order == b"CURTAIL"


def _codes(answer: object) -> list[int]:
    assert isinstance(answer, (tuple, list))
    return [code if isinstance(code, int) else code.value for code in answer]


def test_over_nats_a_device_has_its_own_subjects_and_inbox(running: Grid) -> None:
    mine, other = str(uuid4()), str(uuid4())
    refusals: list[str] = []

    async def play() -> int:
        platform = await nats.connect(running.nats_url)
        await platform.jetstream().add_stream(name="INTAKE", subjects=["intake.*.*"])
        box = await _nats(running, mine, _token(running, mine), refusals)
        kept = await box.jetstream().publish(f"intake.{AREA}.{mine}", b"own", timeout=5)
        assert refusals == []
        await box.publish(f"intake.{AREA}.{other}", b"foreign")
        await box.publish("$JS.API.STREAM.DELETE.INTAKE", b"")
        for subject in (f"orders.{other}", "orders.>", "_INBOX.>", "$MQTT.sub.>", "$SYS.REQ.USER.AUTH"):
            await box.subscribe(subject)
        await box.subscribe(f"orders.{mine}")
        await _told(box, refusals, 7)
        info = await platform.jetstream().stream_info("INTAKE")
        await box.close()
        await platform.close()
        return info.state.messages - kept.seq

    assert asyncio.run(play()) == 0
    assert len([refusal for refusal in refusals if "permissions violation" in refusal]) == 7


def test_the_clock_answers_only_about_the_clock(running: Grid) -> None:
    refusals: list[str] = []

    async def play() -> bytes:
        platform = await nats.connect(running.nats_url)
        joined = await platform.subscribe("clock.joined.*")
        await platform.flush()
        source = await _nats(running, "clock", mint(running.signing_key, "operator", "nikola"), refusals)
        await source.subscribe("clock.stride")
        await source.publish("clock.joined.homes", b"here")
        assert refusals == []
        await source.publish("clock.stride", b"forged")
        await _told(source, refusals, 1)
        message = await joined.next_msg(timeout=5)
        await source.close()
        await platform.close()
        return message.data

    assert asyncio.run(play()) == b"here"
    assert ["clock.stride" in refusal for refusal in refusals] == [True]


def test_wrong_tokens_are_refused(running: Grid) -> None:
    mine = str(uuid4())
    claims = {"sub": mine, "role": "device", "household": mine, "area": AREA}
    expired = jwt.encode(claims | {"exp": int(time.time()) - 5}, running.signing_key, "HS256")
    endless = jwt.encode(claims, running.signing_key, "HS256")
    forged = mint(b"another key that is long enough to sign", "device", mine, household=mine, area=AREA)
    foreign = _token(running, str(uuid4()))

    async def knock(token: str) -> None:
        async with _mqtt(running, mine, token):
            pass

    for token in (expired, endless, forged, foreign, "no token"):
        with pytest.raises(aiomqtt.MqttError):
            asyncio.run(knock(token))


def test_a_device_enters_while_postgres_is_down(running: Grid) -> None:
    mine = str(uuid4())

    async def enter() -> None:
        async with _mqtt(running, mine, _token(running, mine)) as box:
            await box.publish(f"readings/{AREA}/{mine}", b"own", qos=1)

    running.stop_part("postgres")
    try:
        asyncio.run(enter())
    finally:
        running.start_part("postgres")
        running.wait_for_servers()
