"""A grid for benches of what is stored: PostgreSQL alone, homes by facts in the log, readings as they lie.

Facts go straight into the log and readings through the worker's own functions: no message is on its way.
"""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID, uuid5

import numpy as np

from bench.measured_homes import SLOTS, Ints, MeasuredDevice
from deploy.grid import Grid
from deploy.health import wait_for_postgres
from projections.binary_copy import MISSING, copy_in
from projections.metered_homes import partition_of
from projections.metering_batch import FACTS_AT_ONCE, Partitions, StreamMessage, advance, load_partitions
from projections.metering_tables import NAME, VALUES, create_intake, create_tables
from projections.readings import KEY_TYPES, NAMED_TYPES, microseconds, value_types
from projections.schemas import connect
from projections.sealed_days import assign_groups, seal_next
from projections.view_rebuild import rebuild as rebuild_view
from projections.views import VIEWS
from projections.views import create_tables as create_view
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
from write_side.log import append, create_log
from write_side.rules.timeslots import slot_of
from write_side.settings import PARTITIONS
from write_side.stored_form import encode

START = datetime(2026, 1, 5, tzinfo=UTC)
FIRST = slot_of(START)
IN_A_COMMUNITY = 50
_IDS = UUID("b1c0a6f7-0000-4000-8000-000000000000")
_CREATED = START - timedelta(days=1)


class StoredGrid:
    """A database with homes in communities of 50, each community an area of its own."""

    def __init__(self, url: str, homes: Sequence[Sequence[MeasuredDevice]], days: int) -> None:
        self.url = url
        self.homes = homes
        self.areas = [_id("area", home // IN_A_COMMUNITY) for home in range(len(homes))]
        create_log(url)
        self.connection = connect(url)
        create_intake(self.connection)
        create_tables(self.connection, NAME)
        facts = [*_begun(days), *(fact for home in range(len(homes)) for fact in self._home(home))]
        envelope: dict[str, Any] = {"at": START, "recorded_at": START, "by": "bench", "key": "k"}
        envelope |= {"cause": None, "correlation": "c"}
        rows = [("bench", number, *encode(fact, **envelope)) for number, fact in enumerate(facts, 1)]
        with self.connection.transaction():
            for begin in range(0, len(rows), FACTS_AT_ONCE):
                append(self.connection, rows[begin : begin + FACTS_AT_ONCE])
        self.sent = 0
        self._dice = random.Random(4)
        self.take_over()
        advance(self.connection, self.state, ())

    def take_over(self) -> None:
        """The state as a worker of all partitions loads it."""
        self.state: Partitions = load_partitions(self.connection, range(PARTITIONS))
        self.state.adopt(_CREATED, 2**62)

    def show_households(self) -> None:
        """Builds the view that names the devices of a household."""
        view = VIEWS["households"]
        create_view(self.connection, view, view.name)
        rebuild_view(self.url, view)

    def _home(self, home: int) -> Iterator[Fact]:
        if home % IN_A_COMMUNITY == 0:
            yield CommunityFounded(community_id=self.community_id(home), area_id=self.areas[home])
        household_id = self.household_id(home)
        yield HouseholdRegistered(
            household_id=household_id,
            area_id=self.areas[home],
            subscribed_power_w=9000,
            latitude_deg=Decimal("45.8"),
            longitude_deg=Decimal("4.0"),
        )
        yield CommunityJoined(
            community_id=self.community_id(home), household_id=household_id, from_slot_start=START
        )
        for place, device in enumerate(self.homes[home]):
            yield DeviceAttached(
                device_id=self.device_id(home, place),
                household_id=household_id,
                kind=DeviceKind(device.kind),
                name=f"{device.kind} {place}",
                since=START,
                flexibility=Flexibility.ESSENTIAL,
                rated_power_w=1000,
                **({"capacity_wh": 9000, "efficiency_permille": 900} if device.kind == "BATTERY" else {}),
            )

    def community_id(self, home: int) -> UUID:
        """The community of a home."""
        return _id("community", home // IN_A_COMMUNITY)

    def household_id(self, home: int) -> UUID:
        """A home's id."""
        return _id("home", home)

    def device_id(self, home: int, place: int) -> UUID:
        """The id of a home's device."""
        return _id(f"device {place}", home)

    def number(self, home: int, place: int) -> int:
        """The number of a device in the tables."""
        devices = self.state.homes
        return int(devices.devices["number"][devices.device_index[str(self.device_id(home, place))]])

    def message(self, members: Sequence[int], slot: int, revision: int = 0) -> StreamMessage:
        """What these homes of one community measured in a slot, from 0, as one message."""
        told = {str(self.household_id(home)): self._measured(home, slot, revision) for home in members}
        who = "all" if len(members) > 1 else str(self.household_id(members[0]))
        area = str(self.areas[members[0]])
        subject = f"meter.{partition_of(area)}.{area}.{who}"
        body = {"households": told} if who == "all" else told[who]
        late = timedelta(minutes=15, microseconds=self._dice.randrange(60_000_000))
        return self._sent(subject, json.dumps(body).encode(), START + timedelta(minutes=15 * slot) + late)

    def marks(self, slot: int) -> list[StreamMessage]:
        """The mark of a slot, from 0, in every partition."""
        body = json.dumps({"slot": FIRST + slot}).encode()
        at = START + timedelta(minutes=15 * (slot + 1))
        return [self._sent(f"meter.{partition}.mark", body, at) for partition in range(PARTITIONS)]

    def _sent(self, subject: str, body: bytes, at: datetime) -> StreamMessage:
        self.sent += 1
        return StreamMessage(self.sent, subject, at, body)

    def _measured(self, home: int, slot: int, revision: int) -> dict[str, Any]:
        start = START + timedelta(minutes=15 * slot)
        devices = {
            str(self.device_id(home, place)): {
                f"{name}Wh": int(series[slot]) for name, series in device.series.items()
            }
            for place, device in enumerate(self.homes[home])
        }
        return {"revision": revision, "slot": start.strftime("%Y-%m-%dT%H:%M:%SZ"), "devices": devices}

    def take(self, messages: Sequence[StreamMessage]) -> None:
        """A worker of all partitions takes these messages in one batch."""
        advance(self.connection, self.state, messages)

    def lay_down(self, day: int) -> int:
        """A day's readings (from 0) into the table as they came, past the worker; how many."""
        slots = np.arange(day * SLOTS, (day + 1) * SLOTS)
        values: list[Ints] = []
        numbers: list[int] = []
        for home, devices in enumerate(self.homes):
            for place, device in enumerate(devices):
                lines = np.full((SLOTS, len(VALUES)), MISSING, dtype=np.int64)
                for name, series in device.series.items():
                    lines[:, VALUES.index(_COLUMN[name])] = series[slots]
                values.append(lines)
                numbers.append(self.number(home, place))
        lines = np.stack(values, axis=1).reshape(-1, len(VALUES))  # slot by slot, as they come
        columns = {
            "device": np.tile(np.array(numbers), SLOTS),
            "slot": FIRST + np.repeat(slots, len(numbers)),
            **{name: lines[:, place] for place, name in enumerate(VALUES)},
            "revision": np.zeros(len(lines), dtype=np.int64),
            "sequence": self.sent + 1 + np.repeat(np.arange(SLOTS), len(numbers)),
            "known_at": np.repeat(microseconds(START) + (slots + 1) * 900_000_000, len(numbers)),
        }
        self.sent += SLOTS
        copy_in(self.connection, "reading", KEY_TYPES | value_types(VALUES) | NAMED_TYPES, columns)
        return len(lines)

    def size(self, *tables: str) -> int:
        """Bytes on disk of these tables with all that belongs to them."""
        return sum(int(self.one("select pg_total_relation_size(%s::regclass)", table)) for table in tables)

    def seal(self, before: int) -> int:
        """Seals every day before a slot, step by step as a worker does; the readings it sealed."""
        sealed = 0
        for partition in range(PARTITIONS):
            with self.connection.transaction():
                assign_groups(self.connection, self.state.homes, partition, before)
            while (count := self._seal_next(partition, before)) is not None:
                sealed += count
        return sealed

    def _seal_next(self, partition: int, before: int) -> int | None:
        with self.connection.transaction():
            return seal_next(self.connection, partition, before)

    def one(self, query: LiteralString, *params: object) -> Any:
        """The one value that a query answers."""
        row = self.connection.execute(query, params).fetchone()
        assert row is not None
        return row[0]


_COLUMN = {
    "consumption": "consumption_wh",
    "production": "production_wh",
    "gridImport": "grid_import_wh",
    "gridExport": "grid_export_wh",
    "charge": "charge_wh",
    "discharge": "discharge_wh",
    "soc": "soc_wh",
}


def _begun(days: int) -> list[Fact]:
    end = START + timedelta(days=days + 1)
    clock = ClockAdvanced(since=START, to=end, target=end, stride=Stride.SLOT)
    return [GridFounded(first_slot_start=START, simulated=True), clock]


def _id(what: str, number: int) -> UUID:
    return uuid5(_IDS, f"{what} {number}")


@contextmanager
def stored_grid(homes: Sequence[Sequence[MeasuredDevice]], days: int) -> Iterator[StoredGrid]:
    """An embedded PostgreSQL of the bench's own with these homes, measured over some days."""
    with Grid(parts=[]) as grid:
        wait_for_postgres(grid.database_url, 60.0)
        stored = StoredGrid(grid.database_url, homes, days)
        try:
            yield stored
        finally:
            stored.connection.close()
