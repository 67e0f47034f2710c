"""What the gateway does while NATS or PostgreSQL is away, and that it comes back by itself."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import nats
import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from tests.gateway.conftest import FIRST_SLOT, Neighbourhood
from tests.gateway.test_road import CHANGED, RECORD, Asker, next_event
from write_side.app import NotReady
from write_side.commands import ChangeAutarky
from write_side.events import AutarkyChange, AutarkyState


def _change(around: Neighbourhood, household_id: str, slot: int) -> None:
    """A household reaches autarky in a slot, as the standing orders would state it."""
    begins = FIRST_SLOT + timedelta(minutes=15 * slot)
    change = AutarkyChange(
        subject_id=UUID(household_id),
        from_state=AutarkyState.NOT_REACHED,
        to_state=AutarkyState.REACHED,
        since_slot_start=begins,
        self_sufficiency_percent=Decimal(100),
        own_wh=100,
        consumption_wh=100,
        coverage_percent=Decimal(100),
        notify=True,
    )
    stated = ChangeAutarky(community_id=None, slot_start=begins, households=(change,), community=None)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            around.app.send(stated, by="tests", key=f"{household_id}/{slot}").result(5)
            return
        except NotReady:
            time.sleep(0.2)
    pytest.fail("the write side does not come back")


def _await(around: Neighbourhood, token: str) -> None:
    deadline = time.monotonic() + 30
    while around.ask("{ me { role } household { name } }", token=token).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_without_nats_commands_stand_and_pushes_only_take_longer(neighbourhood: Neighbourhood) -> None:
    household = neighbourhood.register("Calm", 42.7, 2.9)
    asker = Asker(neighbourhood.url, household["token"])
    neighbourhood.grid.stop_part("nats")
    try:
        with asker.subscribe(CHANGED) as changes:
            _change(neighbourhood, household["household"]["uuid"], 1)
            event = next_event(changes, within=6)["autarkyChanged"]
            assert (event["to"], event["household"]) == ("REACHED", {"name": "Calm"})
        began = time.perf_counter()
        neighbourhood.register("Without NATS", 42.7, 2.9)
        assert time.perf_counter() - began < 2.5
        reading = {"slot": "2026-01-05T00:00:00Z", "devices": []}
        sent = {"householdId": household["householdId"], "readings": [reading]}
        answer = neighbourhood.ask(RECORD, token=household["token"], input=sent)
        assert answer.status_code == 503
    finally:
        neighbourhood.grid.start_part("nats")
        neighbourhood.grid.wait_for_servers()


def test_a_killed_database_is_not_ready_and_then_there_again(neighbourhood: Neighbourhood) -> None:
    household = neighbourhood.register("Storm", 42.7, 2.9)
    asker = Asker(neighbourhood.url, household["token"])
    with asker.subscribe(CHANGED) as changes:
        neighbourhood.grid.stop_part("postgres")
        for _ in range(3):
            began = time.perf_counter()
            answer = neighbourhood.ask("{ household { name } }", token=household["token"])
            assert time.perf_counter() - began < 2.2
            assert answer.json()["errors"][0]["extensions"]["code"] == "NOT_READY"
            assert answer.status_code == 503
        neighbourhood.grid.start_part("postgres")
        _await(neighbourhood, household["token"])
        _change(neighbourhood, household["household"]["uuid"], 2)
        assert next_event(changes, within=15)["autarkyChanged"]["slotStart"] == "2026-01-05T00:30:00Z"
    for _ in range(3):
        neighbourhood.grid.kill("postgres")
        _await(neighbourhood, household["token"])


def test_a_full_intake_refuses_and_says_so(neighbourhood: Neighbourhood) -> None:
    household = neighbourhood.register("Flood", 42.7, 2.9)

    async def with_stream(messages: int | None) -> None:
        client = await nats.connect(neighbourhood.grid.nats_url)
        stream = client.jetstream()
        if messages is None:
            await stream.delete_stream("SMALL")
        else:
            await stream.add_stream(
                StreamConfig("SMALL", subjects=["intake.*.*"], max_msgs=messages, discard=DiscardPolicy.NEW)
            )
        await client.close()

    def record() -> object:
        reading = {"slot": datetime.now(UTC).isoformat(), "devices": []}
        sent = {"householdId": household["householdId"], "readings": [reading]}
        return neighbourhood.data(RECORD, token=household["deviceToken"], input=sent)["recordReadings"]

    asyncio.run(with_stream(2))
    try:
        kept = [record() for _ in range(3)]
    finally:
        asyncio.run(with_stream(None))
    assert kept[:2] == [
        {"__typename": "RecordReadingsPayload", "accepted": 1, "sequence": sequence} for sequence in (1, 2)
    ]
    message = "the intake is full: send the readings again later"
    assert kept[2] == {"__typename": "IntakeFull", "message": message}
