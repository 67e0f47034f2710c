"""Where a scenario plays: clients of the grid, houses with their boxes, all moved by the grid's own clock."""

import asyncio
import random
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from simulator import operations
from simulator.box import Box
from simulator.box_links import Account, Link, MqttLink, NatsLink
from simulator.client import GridClient, GridError, Refused, Subscription
from simulator.clock_source import ClockSource
from simulator.devices import Battery, Device, Machine
from simulator.home import Entry, Home
from simulator.operations import Attached, Registered
from simulator.scenarios.narrative import Narrative, StepFailed
from simulator.slots import SLOT, format_time, slot_starts

ADVANCE_SECONDS = 60.0
ANSWER_SECONDS = 5.0
Way = Literal["MQTT", "NATS"]
Question = Callable[[], Coroutine[Any, Any, Any]]


@dataclass
class House:
    """A household of the scenario: its people's client, its home, and the box between home and grid."""

    registered: Registered
    people: GridClient
    home: Home
    box: Box

    @property
    def id(self) -> str:
        """The household's id in GraphQL."""
        return self.registered.id


@dataclass(frozen=True)
class Addresses:
    """Where the grid listens."""

    url: str
    mqtt_url: str
    nats_url: str


class Stage:
    """Everything a scenario has in hand. A context manager: at its end nothing of it is left running."""

    def __init__(self, name: str, addresses: Addresses, tokens: dict[str, str]) -> None:
        self.narrative = Narrative()
        self.houses: list[House] = []
        self._addresses = addresses
        self._tokens = tokens
        self._name = f"{name}-{random.SystemRandom().randrange(16**8):08x}"
        self._stack = AsyncExitStack()
        self._facts_seen: str | None = None
        self._facts_untold: list[str] = []

    async def __aenter__(self) -> Self:
        try:
            await self._set_up()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _set_up(self) -> None:
        enter = self._stack.enter_async_context
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="smartrix-boxes-")))
        self.operator = await enter(GridClient(self._addresses.url, self._tokens["operator"]))
        if not (await operations.clock(self.operator)).simulated:
            raise GridError("scenarios move the clock, and this grid runs on the wall's")
        aggregator = self._tokens.get("aggregator", self._tokens["operator"])
        self.aggregator = await enter(GridClient(self._addresses.url, aggregator))
        source = ClockSource(self._addresses.nats_url, self._tokens["operator"], self._name, self._produce)
        await enter(source)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _produce(self, begin: datetime, end: datetime) -> None:
        passing = [house.box.pass_slots(slot_starts(begin, end)) for house in self.houses]
        await asyncio.gather(*passing)

    async def register(self, name: str, subscribed_power_w: int = 6000, way: Way = "MQTT") -> House:
        """A house signs up, somewhere it has no neighbours, and its box goes to work."""
        registered = await operations.register_household(
            self.aggregator, name, "1 rue de l'Essai", _lonely_place(), subscribed_power_w
        )
        self._facts_untold += await self._facts_of_signing_up(registered)
        people = await self._stack.enter_async_context(GridClient(self._addresses.url, registered.token))
        account = Account(registered.uuid, registered.area, registered.device_token)
        link = self._link(account, way)
        home = Home(name)
        box = await self._stack.enter_async_context(
            Box(home, self._folder / f"{registered.uuid}.sqlite", link)
        )
        house = House(registered, people, home, box)
        self.houses.append(house)
        return house

    async def _facts_of_signing_up(self, registered: Registered) -> list[str]:
        """All facts of the command behind the household's first one; the first of them starts the telling."""
        if self._facts_seen is not None:
            return []
        self._facts_seen = registered.position
        own = await operations.facts(self.operator, household=registered.id)
        together = await operations.facts(self.operator, correlation=own[0]["correlation"])
        return [fact["name"] for fact in together]

    def _link(self, account: Account, way: Way) -> Link:
        if way == "MQTT":
            return MqttLink(self._addresses.mqtt_url, account)
        return NatsLink(self._addresses.nats_url, account)

    async def attach(self, house: House, device: Device, **more: Any) -> Attached:
        """A device is installed and attached at once, by the house's people."""
        if isinstance(device, Machine | Battery):
            more.setdefault("ratedPowerW", device.rated_power_w)
        if isinstance(device, Battery):
            more["capacityWh"] = device.capacity_wh
            more["efficiencyPercent"] = f"{device.efficiency_permille / 10}"
        attached = await operations.attach_device(house.people, house.id, device.kind, device.name, **more)
        device.device_id = attached.uuid
        house.home.add(device)
        return attached

    async def subscribe(self, subscription: Subscription) -> Subscription:
        """Opens a subscription until the scenario's end."""
        return await self._stack.enter_async_context(subscription)

    async def advance(self, slots: int = 1) -> datetime:
        """Moves the clock by slots, one at a time; answers the beginning of the last one."""
        for _ in range(slots):
            last = (await operations.clock(self.operator)).now
            await self._advance_to(last + SLOT, "SLOT")
        return last

    async def advance_to_daylight(self) -> None:
        """Moves the clock, an hour at a time, to 10:00 UTC, unless the morning is there already."""
        now = (await operations.clock(self.operator)).now
        morning = now.replace(hour=10, minute=0)
        if now.hour not in (9, 10):
            await self._advance_to(morning if now < morning else morning + timedelta(days=1), "HOUR")

    async def _advance_to(self, to: datetime, stride: str) -> None:
        """Somebody else may be moving the clock: then this waits its turn."""
        deadline = asyncio.get_running_loop().time() + ADVANCE_SECONDS
        while (clock := await operations.clock(self.operator)).closed_until < to:
            if clock.now >= to:
                await asyncio.sleep(0.02)
                continue
            try:
                await operations.advance_clock(self.operator, to, stride)
            except Refused as refusal:
                if asyncio.get_running_loop().time() > deadline:
                    raise StepFailed(
                        f"the clock could not be moved to {format_time(to)}: {refusal}"
                    ) from refusal
                await asyncio.sleep(0.1)

    async def tell_facts(self) -> None:
        """Tells the facts since this was last asked."""
        found = await operations.facts(self.operator, after=self._facts_seen)
        if found:
            self._facts_seen = found[-1]["position"]
        self.narrative.facts([*self._facts_untold, *(fact["name"] for fact in found)])
        self._facts_untold.clear()

    async def wait_for(self, what: str, question: Question, wanted: Any) -> None:
        """Asks again until the answer is the wanted one. StepFailed after 5 s."""
        deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS
        while (seen := await question()) != wanted:
            if asyncio.get_running_loop().time() > deadline:
                raise StepFailed(f"{what}: expected {wanted}, seen {seen} after {ANSWER_SECONDS:.0f} s")
            await asyncio.sleep(0.05)
        self.narrative.line("holds", f"{what}: {wanted}", "green")

    async def check_slot(self, house: House, start: datetime, **fields: str) -> Entry:
        """The grid's figures of a slot are the journal's; `fields` maps the grid's names to the journal's."""
        seen = await operations.slot_energy(house.people, house.id, start)
        entry = house.home.entry(start)
        for name, logged in fields.items():
            expected = getattr(entry, logged)
            self.narrative.holds(
                f"{name} of {format_time(start)}, by query = by the home's log", seen[name], expected
            )
        return entry


def _lonely_place() -> tuple[float, float]:
    """Latitude and longitude of a random spot in France, where a house founds a community of its own."""
    chance = random.SystemRandom()
    return chance.uniform(43.5, 49.0), chance.uniform(-0.5, 6.5)
