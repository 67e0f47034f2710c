"""Outsiders of a grid that breaks: they repeat what was not acknowledged, and keep account of what was."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from gql import gql

from deploy.grid import Grid
from simulator import operations
from simulator.box_links import Account, Link, LinkDown, MqttLink, NatsLink
from simulator.client import Answer, GridClient, GridError, Refused
from simulator.operations import Attached, Registered
from simulator.slots import SLOT, format_time, parse_time

T = TypeVar("T")
PATIENCE_SECONDS = 45.0
PAUSE_SECONDS = 0.05
HISTORY_BEGIN = datetime(2025, 10, 1, tzinfo=UTC)  # room for every slot that is sent: what follows is future

_RECORD = gql(
    """mutation($input: RecordReadingsInput!) { recordReadings(input: $input) {
      ... on RecordReadingsPayload { position: sequence } ... on Refusal { message code } } }"""
)
_ENERGY = gql(
    """query($id: ID, $from: DateTime!, $to: DateTime!) { household(id: $id) {
      slots: energy(from: $from, to: $to, resolution: QUARTER_HOUR) { columns { starts consumptionWh } }
      whole: energy(from: $from, to: $to, resolution: MONTH) { total { consumptionWh } } } }"""
)
_HOUSEHOLDS = gql(
    """query($after: String) { households(first: 100, after: $after) {
      nodes { id name devices { id name } } pageInfo { hasNextPage endCursor } } }"""
)
_FACTS = gql("query($after: Position) { facts(first: 100, after: $after) { nodes { position name key } } }")


async def until_answered(asking: Callable[[], Awaitable[T]]) -> T:
    """Asks again while the grid cannot be reached or is not ready; anything else is raised at once."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await asking()
        except GridError as error:
            if (
                isinstance(error, Refused)
                or error.code not in ("", "NOT_READY")
                or time.monotonic() > deadline
            ):
                raise
            await asyncio.sleep(PAUSE_SECONDS)


async def eventually(check: Callable[[], Awaitable[None]], seconds: float = 30.0) -> float:
    """Checks until nothing is wrong; answers how long that took, in seconds. The last AssertionError after
    the time given."""
    began = time.monotonic()
    while True:
        try:
            await check()
            return time.monotonic() - began
        except AssertionError:
            if time.monotonic() - began > seconds:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


async def come_back(grid: Grid, part: str, killed: int, seconds: float = 30.0) -> None:
    """Until a part that was killed runs again as another process."""
    deadline = time.monotonic() + seconds
    while grid.pids().get(part, killed) == killed:
        assert time.monotonic() < deadline, f"{part} was not started again within {seconds} s"
        await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def operator_of(grid: Grid) -> AsyncIterator[GridClient]:
    """Nikola's client."""
    async with GridClient(grid.url, grid.tokens["operator"]) as client:
        yield client


class Way:
    """A box's way in that repeats a message until it is acknowledged."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._opening = asyncio.Lock()

    async def deliver(self, reading: Answer) -> None:
        """Returns once it is acknowledged. LinkDown where nobody acknowledges it in time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                async with self._opening:
                    if not self._link.is_up:
                        await self._link.open(_obeying)
                await self._link.send(json.dumps(reading).encode())
                return
            except LinkDown:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)

    async def close(self) -> None:
        """Disconnects."""
        await self._link.close()


def _obeying(order: bytes) -> bytes:
    return json.dumps({"id": json.loads(order)["id"], "accepted": True}).encode()


@dataclass
class Home:
    """A household with one load, and what of its readings was acknowledged: Wh by the slot's beginning."""

    registered: Registered
    load: Attached
    acknowledged: dict[datetime, int] = field(default_factory=dict)
    next_slot: datetime = HISTORY_BEGIN

    @property
    def account(self) -> Account:
        """What its box logs in with."""
        return Account(self.registered.uuid, self.registered.area, self.registered.device_token)

    def take_slot(self) -> datetime:
        """The next slot of its history that nothing was sent for."""
        self.next_slot += SLOT
        return self.next_slot - SLOT

    def reading(self, slot: datetime, energy_wh: int, revision: int = 0) -> Answer:
        """The message of one slot, in the form of the wire."""
        devices = {self.load.uuid: {"consumptionWh": energy_wh}}
        return {"revision": revision, "slot": format_time(slot), "devices": devices}

    async def send(self, way: Way, slot: datetime, energy_wh: int, mistaken_wh: int | None = None) -> None:
        """Sends a reading over MQTT or NATS; on the account once it is acknowledged.

        With a mistaken value besides, both are under way at once, the right one as a correction."""
        sending = [way.deliver(self.reading(slot, energy_wh, revision=0 if mistaken_wh is None else 1))]
        if mistaken_wh is not None:
            sending.append(way.deliver(self.reading(slot, mistaken_wh)))
        await asyncio.gather(*sending)
        self.acknowledged[slot] = energy_wh

    async def record(self, client: GridClient, readings: dict[datetime, int]) -> None:
        """Sends readings by the mutation; on the account once it has answered."""
        devices = [
            {"slot": format_time(slot), "devices": [{"deviceId": self.load.id, "consumptionWh": [energy_wh]}]}
            for slot, energy_wh in readings.items()
        ]
        asked = partial(client.tell, _RECORD, householdId=self.registered.id, readings=devices)
        await until_answered(asked)
        self.acknowledged |= readings


async def move_in(client: GridClient, name: str, place: tuple[float, float]) -> Home:
    """Registers a household, and attaches its one load with a history."""
    registered = await operations.register_household(client, name, "1 rue de la Panne", place, 6000)
    load = await operations.attach_device(
        client, registered.id, "APPLIANCE", "base load", since=format_time(HISTORY_BEGIN)
    )
    return Home(registered, load)


def way_of(grid: Grid, home: Home, protocol: str) -> Way:
    """The way of a home's box over MQTT or NATS."""
    if protocol == "MQTT":
        return Way(MqttLink(grid.mqtt_url, home.account))
    return Way(NatsLink(grid.nats_url, home.account))


async def energy_by_slot(client: GridClient, home: Home) -> tuple[dict[str, int], int]:
    """What the grid tells of a home: Wh by slot where it knows them, and the sum it tells itself."""
    begin, end = format_time(HISTORY_BEGIN), format_time(max(home.next_slot, HISTORY_BEGIN + SLOT))
    asked = partial(client.ask, _ENERGY, **{"id": home.registered.id, "from": begin, "to": end})
    household = (await until_answered(asked))["household"]
    columns = household["slots"]["columns"]
    pairs = zip(columns["starts"], columns["consumptionWh"], strict=True)
    known = {format_time(parse_time(start)): wh for start, wh in pairs if wh is not None}
    return known, household["whole"]["total"]["consumptionWh"] or 0


async def shows_readings(client: GridClient, home: Home) -> None:
    """The grid tells of a home exactly what was acknowledged, slot by slot and in sum."""
    own = {format_time(slot): energy_wh for slot, energy_wh in sorted(home.acknowledged.items())}
    by_slot, total_wh = await energy_by_slot(client, home)
    wrong = {slot: (own.get(slot), wh) for slot, wh in by_slot.items() if own.get(slot) != wh}
    missing = sorted(own.keys() - by_slot.keys())
    assert (wrong, missing) == ({}, []), f"{home.registered.uuid}: (sent, told) by slot, and slots not told"
    assert total_wh == sum(own.values())


async def all_households(client: GridClient) -> list[Answer]:
    """Every household with its devices, by pages."""
    found: list[Answer] = []
    after = None
    while True:
        page = (await until_answered(partial(client.ask, _HOUSEHOLDS, after=after)))["households"]
        found += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


async def all_facts(client: GridClient) -> list[Answer]:
    """The whole log: position, name and key of every fact."""
    found: list[Answer] = []
    while True:
        after = found[-1]["position"] if found else None
        page = (await until_answered(partial(client.ask, _FACTS, after=after)))["facts"]["nodes"]
        if not page:
            return found
        found += page
