"""Measured homes through the grid's intake: sent day by day, then compared with what the grid answers."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import track

from simulator import operations
from simulator.box_links import Account, LinkDown, MqttLink
from simulator.client import GridClient, GridError
from simulator.measured import Measured, read_measured
from simulator.operations import Attached
from simulator.replay_comparison import compared_when_complete, month_lines
from simulator.scenarios.narrative import is_terminal
from simulator.slots import format_time, local_days, slot_number

T = TypeVar("T")
Send = Callable[[dict[str, Any]], Awaitable[None]]


def main(file: str, url: str, tokens: dict[str, str], mqtt_url: str, household: str | None) -> int:
    """Sends a file's home, day by day, and compares every local day by query with the file's own sums.

    Without `household` (an id of GraphQL) it signs one up and sends over MQTT, as its box would; a household
    that is named has its box already, so its readings come in by `recordReadings`.
    0: all agree to 1 Wh; 1: they do not, or the grid is away; 2: the file cannot be used."""
    try:
        measured = read_measured(Path(file))
    except (OSError, ValueError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return 2
    try:
        return asyncio.run(_replay(measured, url, tokens["operator"], mqtt_url, household))
    except (GridError, LinkDown) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 1


async def _replay(measured: Measured, url: str, token: str, mqtt_url: str, named: str | None) -> int:
    async with GridClient(url, token) as operator:
        print(f"{measured.name}: {format_time(measured.begin)} to {format_time(measured.end)}")
        if named is None:
            household_id = await _replay_new(measured, operator, mqtt_url)
        else:
            household_id = named
            await _replay_named(measured, operator, named)
        comparison = await compared_when_complete(operator, household_id, measured)
        for line in [*comparison.lines(), *await month_lines(operator, household_id, measured)]:
            print(line)
    return 0 if comparison.holds else 1


async def _replay_new(measured: Measured, operator: GridClient, mqtt_url: str) -> str:
    """Signs the home up and sends over MQTT at QoS 1; answers the household's id."""
    registered = await operations.register_household(
        operator, measured.name, "measured", measured.place, subscribed_power_w=12_000
    )
    attached = await _attach(operator, registered.id, measured)
    ids = {name: device.uuid for name, device in attached.items()}
    link = MqttLink(mqtt_url, Account(registered.uuid, registered.area, registered.device_token))
    await link.open(lambda _order: b"{}")
    try:

        async def send(reading: dict[str, Any]) -> None:
            await link.send(json.dumps(reading, separators=(",", ":")).encode())

        await _send_days(measured, ids, send)
    finally:
        await link.close()
    return registered.id


async def _replay_named(measured: Measured, operator: GridClient, household_id: str) -> None:
    if await operations.household(operator, household_id) is None:
        raise GridError(f"there is no household {household_id}")
    attached = await _attach(operator, household_id, measured)
    ids = {name: device.id for name, device in attached.items()}

    async def send(reading: dict[str, Any]) -> None:
        await operations.record_readings(operator, household_id, reading)

    await _send_days(measured, ids, send)


async def _attach(operator: GridClient, household_id: str, measured: Measured) -> dict[str, Attached]:
    """The devices by the series' names; what is attached already under its name is used again."""
    there = {device.name: device for device in await operations.devices(operator, household_id)}
    for series in measured.series:
        known = there.get(series.name)
        if known is not None and known.since > measured.begin:
            raise GridError(f"{known.name} is measured from {format_time(known.since)} on, not before")
        if known is None:
            there[series.name] = await operations.attach_device(
                operator, household_id, series.kind, series.name, since=format_time(measured.begin)
            )
    return there


async def _send_days(measured: Measured, ids: dict[str, str], send: Send) -> None:
    for begin, end in _with_progress(list(local_days(measured.begin, measured.end)), "days sent"):
        first, beyond = slot_number(begin), slot_number(end)
        devices = {
            ids[series.name]: {series.field: series.between(first, beyond)} for series in measured.series
        }
        await send({"from": format_time(begin), "slots": beyond - first, "devices": devices})


def _with_progress(items: Sequence[T], what: str) -> Iterator[T]:
    """A bar that moves in a terminal; elsewhere a line at each quarter."""
    if is_terminal():
        yield from track(items, description=what)
        return
    for number, item in enumerate(items, 1):
        yield item
        if number * 4 // len(items) > (number - 1) * 4 // len(items):
            print(f"{what}: {number} of {len(items)}", flush=True)
