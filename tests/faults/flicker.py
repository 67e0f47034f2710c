"""A home that feeds itself in every other stretch of slots, so that each stretch brings a change to tell."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import uuid4

from gql import gql

from deploy.grid import Grid
from simulator import operations
from simulator.client import Answer, GridClient
from simulator.clock_source import ClockSource
from simulator.operations import Attached
from simulator.slots import format_time, slot_number, slot_starts
from tests.faults.clients import Home, Way, move_in, until_answered, way_of

ENERGY_WH = 300
_SET_RULE = gql(
    """mutation($input: SetAutarkyRuleInput!) { setAutarkyRule(input: $input) {
      ... on SetAutarkyRulePayload { position } ... on Refusal { message code } } }"""
)
_ADVANCE = gql(
    """mutation($input: AdvanceClockInput!) { advanceClock(input: $input) {
      ... on AdvanceClockPayload { position closedSlots } ... on Refusal { message code } } }"""
)


@dataclass
class Flicker:
    """A home with a load of its own and panels that give all of it, or nothing, `stretch` slots at a time."""

    home: Home
    panels: Attached
    stretch: int

    def is_fed(self, slot: datetime) -> bool:
        """Whether the panels carry the load in a slot."""
        return slot_number(slot) // self.stretch % 2 == 1

    async def produce(self, way: Way, begin: datetime, end: datetime) -> None:
        """Sends the readings of [begin, end); returns when they are acknowledged."""
        for slot in slot_starts(begin, end):
            reading = self.home.reading(slot, ENERGY_WH)
            reading["devices"][self.panels.uuid] = {"productionWh": ENERGY_WH * self.is_fed(slot)}
            await way.deliver(reading)

    def changes(self, begin: datetime, end: datetime) -> list[tuple[str, str]]:
        """What autarkyChanged must tell of [begin, end), its first slots: the slot and the new state."""
        told: list[tuple[str, str]] = []
        for slot in slot_starts(begin, end):
            state = "REACHED" if self.is_fed(slot) else "NOT_REACHED"
            if not told or told[-1][1] != state:
                told.append((format_time(slot), state))
        return told

    def notifications(self, begin: datetime, end: datetime) -> list[tuple[str, str]]:
        """What its people must be told of [begin, end): every change but the first judgement."""
        kinds = {"REACHED": "AUTARKY_REACHED", "NOT_REACHED": "AUTARKY_LOST"}
        return [(slot, kinds[state]) for slot, state in self.changes(begin, end)[1:]]


async def move_flicker_in(client: GridClient, place: tuple[float, float], stretch: int) -> Flicker:
    """A home that is judged on each slot alone, at once."""
    home = await move_in(client, f"flickers every {stretch}", place)
    panels = await operations.attach_device(client, home.registered.id, "SOLAR", "panels", ratedPowerW=1200)
    await client.tell(
        _SET_RULE,
        householdId=home.registered.id,
        windowSlots=1,
        dwellSlots=1,
        thresholdPercent="99",
        hysteresisPoints="5",
        minimumCoveragePercent="90",
    )
    return Flicker(home, panels, stretch)


@asynccontextmanager
async def living(grid: Grid, flickers: list[Flicker]) -> AsyncIterator[None]:
    """While this lasts the homes live by the grid's clock, over MQTT."""
    ways = [way_of(grid, flicker.home, "MQTT") for flicker in flickers]

    async def produce(begin: datetime, end: datetime) -> None:
        for flicker, way in zip(flickers, ways, strict=True):
            await flicker.produce(way, begin, end)

    try:
        async with ClockSource(grid.nats_url, grid.tokens["operator"], f"flickers-{uuid4().hex}", produce):
            yield
    finally:
        for way in ways:
            await way.close()


async def advance(client: GridClient, to: datetime) -> Answer:
    """Moves the clock slot by slot, repeated under one key until it is there."""
    told = {"to": format_time(to), "stride": "SLOT", "idempotencyKey": f"advance to {format_time(to)}"}
    return await until_answered(partial(client.tell, _ADVANCE, **told))
