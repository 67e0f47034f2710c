"""A small living neighbourhood for a grid that is served: a few homes in one community, going on and on.

`python -m simulator.neighbourhood --url URL --token TOKEN --mqtt-url URL --nats-url URL --home DIR`
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from simulator import operations
from simulator.box import Box
from simulator.box_links import Account, LinkDown, MqttLink, NatsLink
from simulator.client import GridClient, GridError
from simulator.clock_source import ClockSource
from simulator.devices import Battery, Device, Machine
from simulator.home import Home
from simulator.neighbours import MOST_HOMES, PLACE, neighbour
from simulator.slots import SLOT, format_time, parse_time, slot_number, slot_start, slot_starts

HISTORY = timedelta(days=1)
LONGEST_CATCH_UP = timedelta(days=7)
LIVE_SECONDS = 5.0
QUIET_SECONDS = 10.0


@dataclass
class Resident:
    """What is remembered of a home between two runs."""

    household: str
    area: str
    device_token: str
    name: str
    since: str
    devices: dict[str, str]


class Neighbourhood:
    """The homes, their boxes, and the file that lets a restart go on with both."""

    def __init__(self, folder: Path, mqtt_url: str, nats_url: str) -> None:
        self.boxes: list[Box] = []
        self._folder = folder
        self._mqtt_url = mqtt_url
        self._nats_url = nats_url
        self._file = folder / "neighbourhood.json"
        self._stack = AsyncExitStack()

    async def close(self) -> None:
        """Closes the boxes."""
        await self._stack.aclose()

    async def settle(self, client: GridClient, count: int) -> None:
        """Registers the homes that are not there yet, and opens a box for each."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file.touch(mode=0o600)
        residents = [Resident(**saved) for saved in json.loads(self._file.read_text() or "[]")]
        since = slot_start(slot_number((await operations.clock(client)).now - HISTORY))
        for number in range(count):
            if number == len(residents):
                residents.append(await _move_in(client, number, since))
                self._file.write_text(json.dumps([asdict(resident) for resident in residents], indent=1))
            await self._open_box(residents[number], number)

    async def _open_box(self, resident: Resident, number: int) -> None:
        home = Home(resident.name, *neighbour(number).devices)
        for device in home.devices:
            device.device_id = resident.devices.get(device.name, "")
        account = Account(resident.household, resident.area, resident.device_token)
        link = NatsLink(self._nats_url, account) if number % 2 else MqttLink(self._mqtt_url, account)
        path = self._folder / f"box-{resident.household}.sqlite"
        box = await self._stack.enter_async_context(Box(home, path, link))
        home.next_slot = home.next_slot or parse_time(resident.since)
        self.boxes.append(box)

    async def live_until(self, end: datetime) -> None:
        """Lets all slots pass that end by then, and sends them."""
        await asyncio.gather(*(self._box_until(box, end) for box in self.boxes))

    async def _box_until(self, box: Box, end: datetime) -> None:
        begin = max(box.home.next_slot or end, end - LONGEST_CATCH_UP)
        await box.pass_slots(slot_starts(begin, end))

    async def produce(self, _begin: datetime, end: datetime) -> None:
        """A stride of the simulated clock; slots that were missed before it are made up for."""
        await self.live_until(end)

    async def send_live_power(self, now: datetime) -> None:
        """The power of the slot that runs, home by home."""
        for box in self.boxes:
            await box.send_live_power(box.home.live_power(now))


async def _move_in(client: GridClient, number: int, since: datetime) -> Resident:
    """Signs a home up and attaches its devices from `since` on: the day before is imported."""
    planned = neighbour(number)
    place = (PLACE[0] + planned.north_m / 111_000, PLACE[1] + planned.east_m / 77_500)
    registered = await operations.register_household(
        client, planned.name, planned.address, place, subscribed_power_w=9000
    )
    devices = {}
    for device in planned.reporting:
        attached = await operations.attach_device(
            client, registered.id, device.kind, device.name, since=format_time(since), **_ratings(device)
        )
        devices[device.name] = attached.uuid
    return Resident(
        household=registered.uuid,
        area=registered.area,
        device_token=registered.device_token,
        name=planned.name,
        since=format_time(since),
        devices=devices,
    )


def _ratings(device: Device) -> dict[str, int | str]:
    if isinstance(device, Battery):
        efficiency = f"{device.efficiency_permille / 10}"
        return {
            "ratedPowerW": device.rated_power_w,
            "capacityWh": device.capacity_wh,
            "efficiencyPercent": efficiency,
        }
    return {"ratedPowerW": device.rated_power_w} if isinstance(device, Machine) else {}


@asynccontextmanager
async def _settled(options: argparse.Namespace) -> AsyncIterator[tuple[GridClient, Neighbourhood]]:
    neighbourhood = Neighbourhood(options.home, options.mqtt_url, options.nats_url)
    try:
        async with GridClient(options.url, options.token) as client:
            await neighbourhood.settle(client, options.homes)
            yield client, neighbourhood
    finally:
        await neighbourhood.close()


async def _live(options: argparse.Namespace) -> None:
    async with _settled(options) as (client, neighbourhood):
        clock = await operations.clock(client)
        print(f"{len(neighbourhood.boxes)} homes near Lyon, from {format_time(clock.now)}", flush=True)
        if not clock.simulated:
            await _by_the_wall(neighbourhood)
        async with ClockSource(options.nats_url, options.token, "neighbourhood", neighbourhood.produce):
            await neighbourhood.live_until(clock.now)
            await _by_the_simulated_clock(client, neighbourhood, options.pace)


async def _by_the_simulated_clock(
    client: GridClient, neighbourhood: Neighbourhood, pace_seconds: float
) -> None:
    """Moves the clock a slot at a time, and leaves it alone for a while where somebody else moves it."""
    left_at = (await operations.clock(client)).now
    while True:
        await asyncio.sleep(pace_seconds)
        try:
            while (now := (await operations.clock(client)).now) != left_at:
                left_at = now
                await asyncio.sleep(QUIET_SECONDS)
            left_at = await operations.advance_clock(client, now + SLOT)
            await neighbourhood.send_live_power(left_at)
        except GridError as error:
            print(f"the clock was not moved: {error}", flush=True)


async def _by_the_wall(neighbourhood: Neighbourhood) -> None:
    while True:
        now = slot_start(slot_number(datetime.now(UTC)))
        await neighbourhood.live_until(now)
        await neighbourhood.send_live_power(now)
        await asyncio.sleep(LIVE_SECONDS)


async def _until_stopped(options: argparse.Namespace) -> None:
    living = asyncio.create_task(_live(options))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, living.cancel)
    await asyncio.wait([living])
    if not living.cancelled():
        living.result()


def main(arguments: list[str] | None = None) -> int:
    """Runs until SIGINT or SIGTERM (0). 3: the grid cannot be reached or refuses."""
    parser = argparse.ArgumentParser("simulator.neighbourhood", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True, help="an operator's token")
    parser.add_argument("--mqtt-url", required=True)
    parser.add_argument("--nats-url", required=True)
    parser.add_argument("--homes", type=int, default=MOST_HOMES, choices=range(1, MOST_HOMES + 1))
    parser.add_argument("--home", type=Path, required=True, help="the folder of what is remembered")
    parser.add_argument(
        "--pace", type=float, default=5.0, help="seconds for each slot of the simulated clock"
    )
    try:
        asyncio.run(_until_stopped(parser.parse_args(arguments)))
    except (GridError, LinkDown) as error:
        print(f"neighbourhood: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
