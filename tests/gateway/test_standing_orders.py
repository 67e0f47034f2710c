"""What the grid does by itself, seen from outside: closings, corrections, unanswered orders, a successor."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.grid import CLOCK_START, REPOSITORY, Grid
from gateway.standing_orders import device_orders
from gateway.standing_orders.desk import Desk
from projections.schemas import connect
from write_side.app import App
from write_side.nats_connection import connect_nats

SLOT = timedelta(minutes=15)
REGISTER = """mutation($input: RegisterHouseholdInput!) { registerHousehold(input: $input) {
    ... on RegisterHouseholdPayload { token household { id uuid } } } }"""
ATTACH = """mutation($input: AttachDeviceInput!) { attachDevice(input: $input) {
    ... on DevicePayload { device { id } } } }"""
RECORD = """mutation($input: RecordReadingsInput!) { recordReadings(input: $input) {
    __typename ... on Refusal { message } } }"""
SWITCH = """mutation($input: SwitchDeviceInput!) { switchDevice(input: $input) { __typename } }"""
ADVANCE = """mutation($input: AdvanceClockInput!) { advanceClock(input: $input) { __typename
    ... on AdvanceClockPayload { closedSlots clock { now } } ... on Refusal { message } } }"""
FACTS = """query($after: Position) { facts(first: 100, after: $after) {
    nodes { name body position } pageInfo { hasNextPage } } }"""
TOLD = "{ notifications(first: 50) { nodes { kind title } } }"


@pytest.fixture(scope="module")
def own() -> Iterator[Grid]:
    """A grid of this module's own: its standing orders are stopped here."""
    with Grid() as grid:
        grid.wait_healthy()
        yield grid


def ask(grid: Grid, query: str, token: str | None = None, **variables: object) -> Any:
    """The data of an answer without errors; what is not ready is asked again under the same key."""
    headers = {"Authorization": f"Bearer {token or grid.tokens['operator']}"}
    wanted = variables.get("input")
    if isinstance(wanted, dict) and "recordReadings" not in query:
        variables["input"] = {"idempotencyKey": uuid4().hex, **wanted}
    body = {"query": query, "variables": variables}
    for _ in range(5):
        answer = httpx.post(f"{grid.url}/graphql", json=body, headers=headers, timeout=60)
        if answer.status_code != 503:
            break
        time.sleep(1)
    assert "errors" not in answer.json(), answer.text
    return answer.json()["data"]


def home(grid: Grid) -> tuple[dict[str, Any], str]:
    """A household and the id of its only device, a base load."""
    place = {"name": f"home {uuid4().hex[:6]}", "latitude": "46.5", "longitude": "2.5"}
    signed_up = ask(grid, REGISTER, input=place)["registerHousehold"]
    wanted = {"householdId": signed_up["household"]["id"], "kind": "APPLIANCE", "name": "base load"}
    device = ask(grid, ATTACH, signed_up["token"], input=wanted)["attachDevice"]["device"]["id"]
    return signed_up, device


def advance(grid: Grid, slots: int) -> dict[str, Any]:
    """The clock moved on by slots."""
    now = datetime.fromisoformat(ask(grid, "{ clock { now } }")["clock"]["now"])
    answered = ask(grid, ADVANCE, input={"to": (now + slots * SLOT).isoformat()})["advanceClock"]
    assert answered["__typename"] == "AdvanceClockPayload", answered
    return dict(answered)


def facts(grid: Grid) -> list[dict[str, Any]]:
    """Every fact of the log."""
    found: list[dict[str, Any]] = []
    while True:
        page = ask(grid, FACTS, after=found[-1]["position"] if found else None)["facts"]
        found += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


@contextmanager
def second_standing_orders(grid: Grid, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A second instance, which waits for the lock of the first."""
    env = os.environ | {
        "DATABASE_URL": grid.database_url,
        "NATS_URL": grid.nats_url,
        "SMARTRIX_SIGNING_KEY": grid.signing_key.decode(),
        "SMARTRIX_CLOCK": "simulated",
        "SMARTRIX_CLOCK_START": CLOCK_START.isoformat(),
    }
    command = [sys.executable, "-m", "deploy.role", "standing-orders", "--index", "1"]
    with log.open("wb") as written:
        process = subprocess.Popen(command, env=env, cwd=REPOSITORY, stdout=written, stderr=written)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


def test_a_second_instance_takes_over_and_closes_each_slot_once(own: Grid, tmp_path: Path) -> None:
    with second_standing_orders(own, tmp_path / "second.log"):
        assert advance(own, 3)["closedSlots"] == 3
        own.stop_part("standing-orders")
        try:
            assert advance(own, 4)["closedSlots"] == 4
        finally:
            own.start_part("standing-orders")
    assert advance(own, 2)["closedSlots"] == 2
    closed = [fact["body"]["slot_start"] for fact in facts(own) if fact["name"] == "SlotClosed"]
    assert len(closed) >= 9
    assert [datetime.fromisoformat(start) for start in closed] == [
        CLOCK_START + count * SLOT for count in range(len(closed))
    ]


def test_a_late_reading_is_stated_as_a_correction_once(own: Grid) -> None:
    signed_up, device = home(own)
    began = datetime.fromisoformat(ask(own, "{ clock { now } }")["clock"]["now"])
    advance(own, 2)
    late = {"slot": began.isoformat(), "devices": [{"deviceId": device, "consumptionWh": 250}]}
    wanted = {"householdId": signed_up["household"]["id"], "readings": [late]}
    said = ask(own, RECORD, signed_up["token"], input=wanted)["recordReadings"]
    assert said["__typename"] == "RecordReadingsPayload", said
    advance(own, 1)
    stated = [
        fact["body"]
        for fact in facts(own)
        if fact["name"] == "SlotsCorrected"
        and signed_up["household"]["uuid"] in fact["body"]["household_ids"]
    ]
    assert [(body["slots"], body["consumption_wh_change"]) for body in stated] == [(1, 250)]


def test_an_order_nobody_answers_is_given_up_and_its_people_are_told(own: Grid) -> None:
    signed_up, device = home(own)
    ask(own, SWITCH, signed_up["token"], input={"deviceId": device, "on": False})
    advance(own, 7)
    assert ask(own, TOLD, signed_up["token"])["notifications"]["nodes"] == []
    advance(own, 2)
    told = ask(own, TOLD, signed_up["token"])["notifications"]["nodes"]
    assert told == [{"kind": "ORDER_EXPIRED", "title": "base load does not answer"}]


def test_a_loop_that_is_held_up_ends_no_standing_order(own: Grid) -> None:
    """Behind its time nats-py's fetch raises another timeout than in it."""

    async def play() -> None:
        messages = await connect_nats(own.nats_url)
        with (
            connect(own.database_url, "standing_orders") as connection,
            closing(App(own.database_url)) as app,
        ):
            post = await device_orders.Post.open(Desk(connection, app, messages, "test"))
            delivering = asyncio.create_task(post.deliver_for_ever())
            for _ in range(20):
                time.sleep(2 * device_orders.IDLE_S)  # holds the loop up
                await asyncio.sleep(0)
                await asyncio.sleep(0.001)
            is_done = delivering.done()
            delivering.cancel()
            await asyncio.wait([delivering])
        await messages.close()
        assert not is_done

    asyncio.run(play())


def test_an_advance_is_refused_while_another_runs_and_where_it_goes_back(own: Grid) -> None:
    now = datetime.fromisoformat(ask(own, "{ clock { now } }")["clock"]["now"])
    back = ask(own, ADVANCE, input={"to": (now - SLOT).isoformat()})["advanceClock"]
    assert back["__typename"] == "ClockNotMovable"
    odd = ask(own, ADVANCE, input={"to": (now + timedelta(minutes=7)).isoformat()})["advanceClock"]
    assert odd["__typename"] == "InvalidInput"
