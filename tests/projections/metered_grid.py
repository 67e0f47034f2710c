"""A small grid for the tests of metering: facts straight into the log, messages as the stream brings them."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import psycopg

from projections.metered_homes import partition_of
from projections.metering_batch import Partitions, StreamMessage, advance, load_partitions
from projections.metering_tables import create_intake, create_tables
from projections.schemas import search_path
from write_side.events import (
    ClockAdvanced,
    CommunityFounded,
    CommunityJoined,
    DeviceAttached,
    DeviceKind,
    Fact,
    Flexibility,
    GridFounded,
    HouseholdRegistered,
    Stride,
)
from write_side.log import LOG_LOCK, append, create_log
from write_side.rules.timeslots import slot_of, slot_start
from write_side.settings import PARTITIONS
from write_side.stored_form import encode

_IDS = UUID("5c0a6f7e-0000-4000-8000-000000000000")
START = datetime(2026, 1, 5, tzinfo=UTC)
FIRST = slot_of(START)
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = "test"


def id_of(name: str) -> UUID:
    """The same name, the same id."""
    return uuid5(_IDS, name)


def connect(database_url: str) -> psycopg.Connection[Any]:
    """As the metering worker connects."""
    options = f"-c search_path={search_path().replace(' ', '')}"
    return psycopg.connect(database_url, autocommit=True, options=options)


@contextmanager
def database(server_url: str) -> Iterator[str]:
    """The URL of a database of one's own on a running server, with the log and the metering tables."""
    name = f"metering_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    url = f"{server_url.rpartition('/')[0]}/{name}"
    create_log(url)
    with connect(url) as connection:
        create_intake(connection)
        create_tables(connection, "metering")
    try:
        yield url
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")


def state(*facts: Fact, url: str, at: datetime = START) -> int:
    """Puts facts into the log; the position of the last one."""
    with psycopg.connect(url) as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", (LOG_LOCK,))
        row = connection.execute(
            "select coalesce(max(originator_version), 0) from log.fact where originator_id = %s", (ORIGIN,)
        ).fetchone()
        assert row is not None
        envelope: dict[str, Any] = {
            "at": at,
            "recorded_at": at,
            "by": "test",
            "key": "k",
            "cause": None,
            "correlation": "c",
        }
        rows = [
            (ORIGIN, int(row[0]) + number, *encode(fact, **envelope)) for number, fact in enumerate(facts, 1)
        ]
        return append(connection, rows)[-1]


def founded(simulated: bool = True) -> GridFounded:
    return GridFounded(first_slot_start=START, simulated=simulated)


def clock(slot: int) -> ClockAdvanced:
    """The clock stands where a slot begins."""
    at = slot_start(slot)
    return ClockAdvanced(since=at - timedelta(minutes=15), to=at, target=at, stride=Stride.SLOT)


def household(name: str, area: str = "area", latitude: str = "45.8", longitude: str = "4.0") -> Fact:
    return HouseholdRegistered(
        household_id=id_of(name),
        area_id=id_of(area),
        subscribed_power_w=6000,
        latitude_deg=Decimal(latitude),
        longitude_deg=Decimal(longitude),
    )


def community(name: str, area: str = "area") -> Fact:
    return CommunityFounded(community_id=id_of(name), area_id=id_of(area))


def joined(community_name: str, name: str, slot: int = FIRST) -> Fact:
    return CommunityJoined(
        community_id=id_of(community_name), household_id=id_of(name), from_slot_start=slot_start(slot)
    )


def device(name: str, of: str, kind: str, since: int = FIRST, **more: Any) -> Fact:
    return DeviceAttached(
        device_id=id_of(name),
        household_id=id_of(of),
        kind=DeviceKind(kind),
        name=name,
        since=slot_start(since),
        flexibility=Flexibility.ESSENTIAL,
        rated_power_w=1000,
        **more,
    )


def reading(slot: int, revision: int = 0, **devices: Mapping[str, Any]) -> dict[str, Any]:
    """A reading's body; devices by their name."""
    start = slot_start(slot).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {str(id_of(name)): dict(values) for name, values in devices.items()}
    return {"revision": revision, "slot": start, "devices": told}


class Stream:
    """Messages numbered as the intake stream numbers them."""

    def __init__(self) -> None:
        self.last = 0

    def sent(self, of: str, body: Any, area: str = "area") -> StreamMessage:
        """A household's message ("all": a concentrator's); bytes go as they are."""
        route = str(id_of(area))
        who = of if of == "all" else str(id_of(of))
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.raw(f"meter.{partition_of(route)}.{route}.{who}", data)

    def raw(self, subject: str, data: bytes) -> StreamMessage:
        self.last += 1
        return StreamMessage(self.last, subject, START + timedelta(seconds=self.last), data)

    def marks(self, slot: int) -> list[StreamMessage]:
        """The slot's mark in every partition."""
        body = json.dumps({"slot": slot}).encode()
        return [self.raw(f"meter.{partition}.mark", body) for partition in range(PARTITIONS)]


def taken(connection: psycopg.Connection[Any]) -> Partitions:
    """All partitions, as a worker takes them."""
    held = load_partitions(connection, range(PARTITIONS))
    held.adopt(CREATED, 2**62)
    return held


def apply(url: str, *messages: StreamMessage) -> None:
    """A fresh worker applies the facts and these messages in one batch."""
    with connect(url) as connection:
        advance(connection, taken(connection), messages)


def rows(url: str, query: str, *params: Any) -> list[tuple[Any, ...]]:
    with connect(url) as connection:
        return connection.execute(query, params).fetchall()
