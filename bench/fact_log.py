"""A log as long as one likes: facts as a busy grid states them, straight into the log by COPY."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg

from write_side.events import (
    AutarkyChange,
    AutarkyChanged,
    AutarkyState,
    ClockAdvanced,
    CommunityFounded,
    CommunityJoined,
    DeviceAttached,
    DeviceKind,
    Fact,
    Flexibility,
    GridFounded,
    HouseholdRegistered,
    SlotClosed,
    SlotsCorrected,
    Stride,
)
from write_side.log import LOG_LOCK
from write_side.stored_form import encode

START = datetime(2026, 1, 5, tzinfo=UTC)
SLOT = timedelta(minutes=15)
MEMBERS = 100
DEVICES = 5


def id_of(kind: int, number: int) -> UUID:
    """The id of the nth of a kind, spread over the whole range as real ids are."""
    return UUID(int=((number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 + kind) % 2**128)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many of each there are."""

    households: int
    slots: int
    changes: int
    corrections: int


def facts(plan: Plan) -> Iterator[tuple[str, Fact]]:
    """The stream and the fact, in the order in which they are stated."""
    yield "grid", GridFounded(first_slot_start=START, simulated=True)
    for household in range(plan.households):
        yield from _household(household)
    for slot in range(plan.slots):
        since, to = START + slot * SLOT, START + (slot + 1) * SLOT
        yield "clock", ClockAdvanced(since=since, to=to, target=to, stride=Stride.SLOT)
        yield "slots", SlotClosed(slot_start=since, missing_partitions=(), silent_sources=())
    for number in range(plan.changes):
        yield "autarky", _change(number, plan)
    for number in range(plan.corrections):
        household = number % plan.households
        yield (
            "corrections",
            SlotsCorrected(
                community_id=id_of(0, household // MEMBERS),
                household_ids=(id_of(1, household),),
                first_slot_start=START,
                last_slot_start=START + SLOT,
                slots=2,
                consumption_wh_change=number,
                production_wh_change=0,
                run=number,
            ),
        )


def _household(number: int) -> Iterator[tuple[str, Fact]]:
    household_id, community_id = id_of(1, number), id_of(0, number // MEMBERS)
    area_id = id_of(3, number // MEMBERS)
    stream = f"household/{household_id}"
    if number % MEMBERS == 0:
        yield f"community/{community_id}", CommunityFounded(community_id=community_id, area_id=area_id)
    yield (
        stream,
        HouseholdRegistered(
            household_id=household_id,
            area_id=area_id,
            subscribed_power_w=6000,
            latitude_deg=Decimal("45.7"),
            longitude_deg=Decimal("4.8"),
        ),
    )
    yield (
        stream,
        CommunityJoined(community_id=community_id, household_id=household_id, from_slot_start=START),
    )
    for device in range(DEVICES):
        yield (
            stream,
            DeviceAttached(
                device_id=id_of(2, number * DEVICES + device),
                household_id=household_id,
                kind=DeviceKind.APPLIANCE,
                name=f"device {device}",
                since=START,
                flexibility=Flexibility.ESSENTIAL,
                rated_power_w=1000 + device,
            ),
        )


def _change(number: int, plan: Plan) -> AutarkyChanged:
    household, turn = number % plan.households, number // plan.households
    to = AutarkyState.REACHED if turn % 2 == 0 else AutarkyState.NOT_REACHED
    change = AutarkyChange(
        subject_id=id_of(1, household),
        from_state=AutarkyState.NOT_REACHED if turn % 2 == 0 else AutarkyState.REACHED,
        to_state=to,
        since_slot_start=START + turn * SLOT,
        self_sufficiency_percent=Decimal("99.50"),
        own_wh=199,
        consumption_wh=200,
        coverage_percent=Decimal("98.96"),
        notify=True,
    )
    community_id = id_of(0, household // MEMBERS)
    return AutarkyChanged(
        community_id=community_id, slot_start=START + turn * SLOT, households=(change,), community=None
    )


def write(database_url: str, plan: Plan) -> int:
    """Puts the facts of the plan into an empty log; answers how many there are."""
    versions: dict[str, int] = {}
    count = 0
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        connection.execute("select pg_advisory_xact_lock(%s)", (LOG_LOCK,))
        columns = "originator_id, originator_version, topic, state"
        with cursor.copy(f"copy log.fact ({columns}) from stdin (format binary)") as copy:
            copy.set_types(["text", "int8", "text", "bytea"])
            for count, (stream, fact) in enumerate(facts(plan), 1):
                versions[stream] = versions.get(stream, 0) + 1
                topic, state = encode(
                    fact,
                    at=START,
                    recorded_at=START,
                    by="import",
                    key=f"import/{count}",
                    cause=None,
                    correlation="import",
                )
                copy.write_row((stream, versions[stream], topic, state))
    return count
