"""The box at home on real MQTT and NATS: it keeps, sends later, in order, and obeys an order once."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client

from deploy.grid import Grid
from deploy.people import mint
from simulator.box import Box
from simulator.box_links import Account, Link, MqttLink, NatsLink
from simulator.box_memory import BoxMemory
from simulator.devices import constant
from simulator.home import Home
from simulator.slots import SLOT, format_time

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LINKS = {
    "mqtt": ("readings.a.", lambda g, a: MqttLink(g.mqtt_url, a)),
    "nats": ("intake.a.", lambda g, a: NatsLink(g.nats_url, a)),
}


def _home() -> Home:
    home = Home("Marie", constant("APPLIANCE", "base load", 400), constant("APPLIANCE", "fridge", 80))
    for device in home.devices:
        device.device_id = device.name[:1]
    return home


def _account(grid: Grid) -> Account:
    household = str(uuid4())
    token = mint(grid.signing_key, "device", household, household=household, area="a")
    return Account(household, "a", token)


@asynccontextmanager
async def _listening(grid: Grid, subject: str) -> AsyncIterator[tuple[Client, list[bytes]]]:
    """The platform's side: what arrives on a subject."""
    client = await nats.connect(grid.nats_url)
    heard: list[bytes] = []

    async def hear(message: nats.aio.msg.Msg) -> None:
        heard.append(message.data)

    await client.subscribe(subject, cb=hear)
    await client.flush()
    yield client, heard
    await client.close()


async def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that within 10 s")


@pytest.mark.parametrize("way", LINKS)
def test_readings_arrive_in_the_form_of_the_wire(outside: Grid, tmp_path: Path, way: str) -> None:
    async def play() -> None:
        account = _account(outside)
        subject, link = LINKS[way]
        async with (
            _listening(outside, subject + account.household) as (_, heard),
            Box(_home(), tmp_path / "box.sqlite", link(outside, account)) as box,
        ):
            assert await box.pass_slots([NOON])
            assert await box.pass_slots([NOON + SLOT, NOON + 2 * SLOT])
            await _until(lambda: len(heard) == 2)
        assert json.loads(heard[0]) == {
            "slot": "2026-01-05T12:00:00Z",
            "devices": {"b": {"consumptionWh": 100}, "f": {"consumptionWh": 20}},
        }
        assert json.loads(heard[1]) == {
            "from": "2026-01-05T12:15:00Z",
            "slots": 2,
            "devices": {"b": {"consumptionWh": [100, 100]}, "f": {"consumptionWh": [20, 20]}},
        }

    asyncio.run(play())


@pytest.mark.parametrize("way", LINKS)
def test_with_the_platform_stopped_it_shows_its_slots_and_sends_them_later(
    outside: Grid, tmp_path: Path, way: str
) -> None:
    async def play() -> None:
        account = _account(outside)
        subject, link = LINKS[way]
        async with Box(_home(), tmp_path / "box.sqlite", link(outside, account)) as box:
            assert await box.pass_slots([NOON])
            outside.stop_part("nats")
            try:
                assert not await box.pass_slots(NOON + SLOT * number for number in range(1, 101))
                assert box.unsent_slots() == 96
                shown = box.consumption(NOON, NOON + 101 * SLOT)
                assert len(shown) == 101
                assert shown[NOON + 100 * SLOT] == {"base load": 100, "fridge": 20}
                table = box.consumption_table(NOON, NOON + SLOT).splitlines()
                assert table[0].split() == ["time", "(Wh)", "base", "load", "fridge", "sum"]
                assert table[1].split() == ["05", "Jan", "13:00", "100", "20", "120"]
            finally:
                outside.start_part("nats")
            await asyncio.to_thread(outside.wait_for_servers)
            async with _listening(outside, subject + account.household) as (_, heard):
                await _until(lambda: box.unsent_slots() == 0)
                await _until(lambda: len(heard) == 2)
        spans = [(json.loads(payload)["from"], json.loads(payload)["slots"]) for payload in heard]
        assert spans == [(format_time(NOON + SLOT), 96), (format_time(NOON + 97 * SLOT), 4)]

    asyncio.run(play())


@pytest.mark.parametrize("way", LINKS)
def test_an_order_is_obeyed_once_and_answered_each_time(outside: Grid, tmp_path: Path, way: str) -> None:
    order = {"id": "77", "device": "b", "kind": "SETPOINT", "from": format_time(NOON + SLOT), "powerW": 0}
    unknown = order | {"id": "78", "device": "x"}

    async def play() -> None:
        account = _account(outside)
        _, link = LINKS[way]
        home = _home()
        async with (
            _listening(outside, f"orders.done.{account.household}") as (platform, heard),
            Box(home, tmp_path / "box.sqlite", link(outside, account)) as box,
        ):
            await _until(lambda: box.is_connected)
            for each in (order, order, unknown):
                await platform.publish(f"orders.{account.household}", json.dumps(each).encode())
            await _until(lambda: len(heard) == 3)
            assert await box.wait_for_orders(1, 1)
            await box.pass_slots([NOON, NOON + SLOT])
        answers = [json.loads(payload) for payload in heard]
        assert answers[:2] == [{"id": "77", "accepted": True}] * 2
        assert (answers[2]["id"], answers[2]["accepted"]) == ("78", False)
        assert len(box.orders) == 1
        assert [entry.device_wh["base load"] for entry in home.journal] == [100, 0]

    asyncio.run(play())


def test_a_box_that_was_off_goes_on_with_its_home_and_its_orders(outside: Grid, tmp_path: Path) -> None:
    order = {"id": "9", "device": "b", "kind": "SETPOINT", "from": format_time(NOON), "powerW": 0}

    async def play() -> None:
        account = _account(outside)
        async with _listening(outside, f"orders.done.{account.household}") as (platform, heard):
            async with Box(_home(), tmp_path / "box.sqlite", MqttLink(outside.mqtt_url, account)) as box:
                await box.pass_slots([NOON])
                payload = json.dumps(order | {"from": format_time(NOON + SLOT)}).encode()
                await platform.publish(f"orders.{account.household}", payload)
                await _until(lambda: len(heard) == 1)
            home = _home()
            async with Box(home, tmp_path / "box.sqlite", MqttLink(outside.mqtt_url, account)) as box:
                await box.pass_slots([NOON, NOON + SLOT])
                assert [entry.start for entry in home.journal] == [NOON + SLOT]
                assert home.journal[0].device_wh["base load"] == 0

    asyncio.run(play())


def test_nobody_else_gets_in(outside: Grid, tmp_path: Path) -> None:
    async def play(link: Link) -> None:
        async with Box(_home(), tmp_path / "box.sqlite", link) as box:
            assert not await box.pass_slots([NOON])
            assert box.unsent_slots() == 1

    stranger = Account(str(uuid4()), "a", "no token")
    for link in (MqttLink(outside.mqtt_url, stranger), NatsLink(outside.nats_url, stranger)):
        asyncio.run(play(link))


def test_the_memory_sends_gaps_as_nulls(tmp_path: Path) -> None:
    memory = BoxMemory(tmp_path / "box.sqlite")
    memory.keep_slot(NOON, {"b": {"consumptionWh": 1}}, {})
    memory.keep_slot(NOON + SLOT, {"b": {"consumptionWh": 2}, "s": {"productionWh": 3}}, {})
    memory.keep_slot(NOON + 3 * SLOT, {"b": {"consumptionWh": 4}}, {})
    slots = memory.unsent(10)
    assert len(slots) == 2
    assert json.loads(memory.message(slots))["devices"] == {
        "b": {"consumptionWh": [1, 2]},
        "s": {"productionWh": [None, 3]},
    }
    memory.sent(slots)
    assert len(memory.unsent(10)) == 1
    memory.close()
