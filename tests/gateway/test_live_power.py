"""Live power from a box to whoever may see the home, over the real NATS, and nowhere else."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.grid import Grid
from gateway.live_power import LARGEST_MESSAGE_BYTES, understood
from simulator.box_links import Account, Link, MqttLink, NatsLink
from tests.gateway.conftest import ATTACH, REGISTER
from tests.gateway.test_road import Asker, next_event

LIVE = """subscription($id: ID) { livePower(householdId: $id) {
    consumptionW productionW receivedAt household { name } devices { device { name } powerW } } }"""


def _move_in(asker: Asker, name: str) -> dict[str, Any]:
    asked = {"name": name, "latitude": "45.7", "longitude": "4.8"}
    registered: dict[str, Any] = asker.ask(REGISTER, input=asked)["registerHousehold"]
    devices = {}
    for kind, device in (("APPLIANCE", "oven"), ("SOLAR", "roof"), ("METER", "meter")):
        wanted = {"householdId": registered["householdId"], "kind": kind, "name": device}
        devices[device] = asker.ask(ATTACH, input=wanted)["attachDevice"]["device"]["uuid"]
    return {**registered, "devices": devices}


def _tell(link: Link, *payloads: object) -> None:
    async def tell() -> None:
        await link.open(lambda _order: b"")
        for payload in payloads:
            await link.live(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
        await asyncio.sleep(0.2)
        await link.close()

    asyncio.run(tell())


@pytest.mark.parametrize("protocol", ["MQTT", "NATS"])
def test_live_power_comes_as_it_is_told(grid: Grid, protocol: str) -> None:
    operator = Asker(grid.url, grid.tokens["operator"])
    home = _move_in(operator, f"live by {protocol}")
    account = Account(home["household"]["uuid"], home["household"]["area"], home["deviceToken"])
    link: Link = MqttLink(grid.mqtt_url, account) if protocol == "MQTT" else NatsLink(grid.nats_url, account)
    oven, roof, meter = (home["devices"][name] for name in ("oven", "roof", "meter"))
    powers = {oven: {"powerW": 1200}, roof: {"powerW": 700}, meter: {"powerW": 5}, "foreign": {"powerW": 9}}
    with Asker(grid.url, home["token"]).subscribe(LIVE) as socket:
        _tell(link, b"no JSON", {"powerW": -1}, {"devices": powers})
        first = next_event(socket)["livePower"]
        assert (first["consumptionW"], first["productionW"]) == (1200, 700)
        told = {each["device"]["name"]: each["powerW"] for each in first["devices"]}
        assert told == {"oven": 1200, "roof": 700}
        assert first["household"]["name"] == f"live by {protocol}"
        _tell(link, {"powerW": 300})
        assert next_event(socket)["livePower"]["consumptionW"] == 300


def test_at_most_one_a_second_and_the_newest_of_them(grid: Grid) -> None:
    home = _move_in(Asker(grid.url, grid.tokens["operator"]), "hasty")
    account = Account(home["household"]["uuid"], home["household"]["area"], home["deviceToken"])
    with Asker(grid.url, home["token"]).subscribe(LIVE) as socket:
        _tell(NatsLink(grid.nats_url, account), *({"powerW": watts} for watts in range(50)))
        shown = [next_event(socket)["livePower"]["consumptionW"]]
        while shown[-1] != 49:
            shown.append(next_event(socket)["livePower"]["consumptionW"])
        assert len(shown) <= 2


def test_a_foreign_home_is_as_one_that_does_not_exist(grid: Grid) -> None:
    operator = Asker(grid.url, grid.tokens["operator"])
    home, other = _move_in(operator, "mine"), _move_in(operator, "not mine")
    with Asker(grid.url, home["token"]).subscribe(LIVE, id=other["household"]["id"]) as socket:
        assert json.loads(socket.recv(timeout=5)) == {"id": "1", "type": "complete"}


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_message_or_passed_over(raw: bytes) -> None:
    told = understood(raw)
    assert told is None or json.loads(raw) is not None


def test_what_is_too_long_is_passed_over() -> None:
    assert understood(b'{"powerW":1}') is not None
    assert understood(b'{"powerW":1' + b" " * LARGEST_MESSAGE_BYTES + b"}") is None
