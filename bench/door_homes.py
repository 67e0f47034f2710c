"""Homes for the benches of the gateway: put into the log as facts, measured by readings over NATS.

What each home measured is known here, so that every answer can be checked without asking the grid.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import nats
import psycopg

from deploy.grid import CLOCK_START
from gateway.access import mint
from write_side.events import (
    AutarkyRuleSet,
    CommunityFounded,
    CommunityJoined,
    DeviceAttached,
    DeviceKind,
    Fact,
    Flexibility,
    HouseholdRegistered,
)
from write_side.log import LOG_LOCK, append
from write_side.rules.timeslots import slot_start
from write_side.stored_form import encode

_FACTS_AT_ONCE = 20_000
_HOMES_A_MESSAGE = 500
_UNACKNOWLEDGED = 8
_PATIENCE_S = 60.0
_VIEWS = ("households", "slots", "autarky", "notifications", "metering")


@dataclass(frozen=True)
class Home:
    """A household, where it stands, and its devices: appliances and then panels."""

    household: UUID
    area: UUID
    community: UUID
    appliances: tuple[UUID, ...]
    panels: UUID

    def token(self, signing_key: bytes) -> str:
        """What its people ask with."""
        return mint(signing_key, "household", str(self.household), household=str(self.household))


def homes(count: int, appliances: int, a_community: int, seed: int = 1) -> list[Home]:
    """So many homes with so many appliances each, in communities of so many; the same for the same seed."""
    dice = random.Random(seed)

    def an_id() -> UUID:
        return UUID(int=dice.getrandbits(128), version=4)

    area = an_id()
    made: list[Home] = []
    for number in range(count):
        community = an_id() if number % a_community == 0 else made[-1].community
        made.append(Home(an_id(), area, community, tuple(an_id() for _ in range(appliances)), an_id()))
    return made


def found(
    database_url: str, made: Sequence[Home], since: datetime, rule: dict[str, Any] | None = None
) -> int:
    """Appends the facts of these homes, each with an autarky rule of its own where one is given; answers
    the position of the last."""
    told: dict[str, Any] = {"at": CLOCK_START, "recorded_at": datetime.now(UTC), "by": "bench"}
    told |= {"key": "bench", "cause": None, "correlation": "bench"}
    facts = list(_facts(made, since, rule))
    position = 0
    with psycopg.connect(database_url) as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", (LOG_LOCK,))
        for begin in range(0, len(facts), _FACTS_AT_ONCE):
            part = facts[begin : begin + _FACTS_AT_ONCE]
            rows = [("bench", begin + n, *encode(fact, **told)) for n, fact in enumerate(part, 1)]
            position = append(connection, rows)[-1]
    return position


def _facts(made: Sequence[Home], since: datetime, rule: dict[str, Any] | None) -> Iterator[Fact]:
    founded: set[UUID] = set()
    for home in made:
        if home.community not in founded:
            founded.add(home.community)
            yield CommunityFounded(community_id=home.community, area_id=home.area)
        yield HouseholdRegistered(
            household_id=home.household,
            area_id=home.area,
            subscribed_power_w=9_000,
            latitude_deg=Decimal("45.8"),
            longitude_deg=Decimal("4.8"),
        )
        yield CommunityJoined(
            community_id=home.community, household_id=home.household, from_slot_start=CLOCK_START
        )
        for number, device in enumerate(home.appliances):
            yield _device(home, device, DeviceKind.APPLIANCE, f"appliance {number}", since)
        yield _device(home, home.panels, DeviceKind.SOLAR, "panels", since)
        if rule is not None:
            yield AutarkyRuleSet(subject_id=home.household, **rule)


def _device(home: Home, device: UUID, kind: DeviceKind, name: str, since: datetime) -> DeviceAttached:
    return DeviceAttached(
        device_id=device,
        household_id=home.household,
        kind=kind,
        name=name,
        since=since,
        flexibility=Flexibility.ESSENTIAL,
        rated_power_w=2_000,
    )


Measured = Callable[[int], tuple[list[list[int]], list[int]]]
"""By a home's number: what each appliance consumed, and what the panels produced, Wh slot by slot."""


async def measure(
    nats_url: str, made: Sequence[Home], first_slot: int, slots: int, measured: Measured
) -> None:
    """Sends the readings of some slots of every home; returns when all are on disk."""
    client = await nats.connect(nats_url)
    stream = client.jetstream(timeout=20)
    room = asyncio.Semaphore(_UNACKNOWLEDGED)
    at_once = max(1, _HOMES_A_MESSAGE // slots)

    async def send(begin: int) -> None:
        part = made[begin : begin + at_once]
        async with room:
            message = readings(part, first_slot, slots, lambda number: measured(begin + number))
            await stream.publish(f"intake.{part[0].area}.all", message)

    await asyncio.gather(*(send(begin) for begin in range(0, len(made), at_once)))
    await client.close()


def readings(made: Sequence[Home], first_slot: int, slots: int, measured: Measured) -> bytes:
    """The message of some homes' concentrator."""
    head = {"from": _written(first_slot), "slots": slots}
    households = {}
    for number, home in enumerate(made):
        consumption, production = measured(number)
        devices: dict[str, Any] = {str(home.panels): {"productionWh": production}}
        for appliance, consumed in zip(home.appliances, consumption, strict=True):
            devices[str(appliance)] = {"consumptionWh": consumed}
        households[str(home.household)] = head | {"devices": devices}
    return msgspec.json.encode({"households": households})


def _written(slot: int) -> str:
    return slot_start(slot).isoformat().replace("+00:00", "Z")


def await_views(database_url: str, position: int) -> None:
    """Until every view has every fact up to a position; TimeoutError after a minute."""

    def are_there(connection: psycopg.Connection[Any]) -> bool:
        rows = [connection.execute(f"select min(facts) from {v}.{v}_position").fetchone() for v in _VIEWS]
        return all(row is not None and row[0] >= position for row in rows)

    wait_for(database_url, are_there, "the views do not have the homes")


def await_readings(database_url: str, slots: int) -> None:
    """Until the energy of so many slots of homes is there; TimeoutError after a minute."""

    def are_there(connection: psycopg.Connection[Any]) -> bool:
        row = connection.execute("select sum(reporting)::bigint from metering.grid_energy").fetchone()
        return row is not None and (row[0] or 0) >= slots

    wait_for(database_url, are_there, "the readings do not arrive")


def wait_for(database_url: str, holds: Callable[[psycopg.Connection[Any]], bool], otherwise: str) -> None:
    """Until something holds; TimeoutError after a minute."""
    deadline = time.monotonic() + _PATIENCE_S
    with psycopg.connect(database_url, autocommit=True) as connection:
        while not holds(connection):
            if time.monotonic() > deadline:
                raise TimeoutError(otherwise)
            time.sleep(0.05)
