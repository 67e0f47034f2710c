"""How soon people know: a slot's closing to the notification on a client, a mutation to its own read.

Three homes feed themselves in every other slot, so that each closing brings each of them a notification. The
slots are closed one after the other on a grid that does nothing else; so are the mutations.
"""

import asyncio
import http.client
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from urllib.parse import urlsplit

import nats
import numpy as np
import psycopg
from nats.js import JetStreamContext

from bench.door_homes import Home, await_views, found, homes, readings
from bench.fan_out import advance
from bench.figures import Figure, WrongAnswer
from bench.listeners import Audience, Heard, Listeners
from deploy.grid import CLOCK_START, Grid
from write_side.rules.timeslots import slot_of, slot_start

SAMPLES, HOMES = 201, 3
_CONSUMED_WH = 1_000
_TOLD_WITHIN_S = 2.0
_NOTIFICATIONS = "subscription { notifications { position kind slotStart } }"
_RENAME = """mutation($input: RenameHouseholdInput!) { renameHousehold(input: $input) {
    __typename ... on HouseholdPayload { position } ... on Refusal { message } } }"""
_READ = "query($after: Position!) { household(after: $after) { name } }"
_REGISTER = """mutation { registerHousehold(input: {name: "home", latitude: "45.8", longitude: "4.8"}) {
    ... on RegisterHouseholdPayload { householdId token } } }"""
_RULE = {
    "window_slots": 1,
    "threshold_percent": Decimal(50),
    "hysteresis_points": Decimal(0),
    "dwell_slots": 1,
    "minimum_coverage_percent": Decimal(90),
}


def run(scale: float) -> list[Figure]:
    """Both, as percentiles."""
    closings = max(5, int(SAMPLES * scale) // HOMES)
    made = homes(HOMES, 1, HOMES)
    with Grid() as grid:
        grid.wait_healthy()
        await_views(grid.database_url, found(grid.database_url, made, CLOCK_START, _RULE))
        own_read = _own_reads(grid, closings * HOMES)
        tokens = [home.token(grid.signing_key) for home in made]
        audience = Audience(url=grid.url, tokens=tokens, query=_NOTIFICATIONS)
        with Listeners(audience) as listeners:
            time.sleep(0.5)
            asyncio.run(_live(grid, made, closings + 1))
            heard = _all_heard(listeners, closings)
        told = _delays(grid, heard, closings)
    return [
        _figure("slot closed to notification", told, 250.0),
        _figure("mutation to its own read", own_read, 50.0),
    ]


def _figure(name: str, seconds: list[float], at_most_ms: float) -> Figure:
    found = np.array(seconds) * 1000
    return Figure(
        name=f"latency: {name}, p99 of {len(seconds)}",
        figure=float(np.percentile(found, 99)),
        unit="ms",
        at_most=at_most_ms,
        beside=float(np.median(found)),
        rival="median",
    )


async def _live(grid: Grid, made: Sequence[Home], slots: int) -> None:
    """Slot by slot: the readings, acknowledged, then the clock. The first slot is judged and tells nobody."""
    client = await nats.connect(grid.nats_url)
    stream: JetStreamContext = client.jetstream(timeout=5)
    for number in range(slots):
        first = slot_of(CLOCK_START) + number
        measured = [[_CONSUMED_WH]], [_produced(number)]
        message = readings(made, first, 1, ([measured] * len(made)).__getitem__)
        await stream.publish(f"intake.{made[0].area}.all", message)
        await asyncio.to_thread(advance, grid, slot_start(first + 1))
    await client.close()


def _produced(number: int) -> int:
    return _CONSUMED_WH * (number % 2)


def _all_heard(listeners: Listeners, closings: int) -> Heard:
    deadline = time.monotonic() + _TOLD_WITHIN_S
    while True:
        heard = listeners.heard()
        if all(len(told) >= closings for told in heard.told) or time.monotonic() > deadline:
            return heard
        time.sleep(0.1)


def _delays(grid: Grid, heard: Heard, closings: int) -> list[float]:
    """From each closing to its notifications. WrongAnswer unless each came once, in order, with its kind."""
    with psycopg.connect(grid.database_url, options="-csearch_path=slots") as connection:
        rows = connection.execute("select slot, closed_at from closed_slot").fetchall()
    closed: dict[int, datetime] = dict(rows)
    first = slot_of(CLOCK_START)
    kinds = ("AUTARKY_LOST", "AUTARKY_REACHED")
    expected = [(first + number, kinds[number % 2]) for number in range(1, closings + 1)]
    delays = []
    for messages in heard.told:
        told = [(at, message["payload"]["data"]["notifications"]) for at, message in messages]
        seen = [(slot_of(datetime.fromisoformat(event["slotStart"])), event["kind"]) for _, event in told]
        if seen != expected:
            raise WrongAnswer(f"to be told {expected}, and told {seen}")
        delays += [at - closed[slot].timestamp() for (at, _), (slot, _) in zip(told, seen, strict=True)]
    return delays


@dataclass
class _Person:
    """One connection that asks one thing after the other."""

    url: str
    token: str

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)

    def ask(self, query: str, **variables: object) -> dict[str, dict[str, str]]:
        """The data of an answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        body = json.dumps({"query": query, "variables": variables})
        self._connection.request("POST", "/graphql", body, headers)
        answer = json.loads(self._connection.getresponse().read())
        if answer.get("errors"):
            raise RuntimeError(f"{query}: {answer}")
        data: dict[str, dict[str, str]] = answer["data"]
        return data

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


def _own_reads(grid: Grid, samples: int) -> list[float]:
    """From sending a mutation to holding an answer that has it. WrongAnswer for one that has not."""
    with closing(_Person(grid.url, grid.tokens["operator"])) as operator:
        signed_up = operator.ask(_REGISTER)["registerHousehold"]
    with closing(_Person(grid.url, signed_up["token"])) as person:
        return [_own_read(person, signed_up["householdId"], f"home {number}") for number in range(samples)]


def _own_read(person: _Person, household: str, name: str) -> float:
    began = time.perf_counter()
    renamed = person.ask(_RENAME, input={"householdId": household, "name": name})["renameHousehold"]
    read = person.ask(_READ, after=renamed["position"])["household"]["name"]
    took = time.perf_counter() - began
    if read != name:
        raise WrongAnswer(f"it was named {name}, and read was {read}")
    time.sleep(0.01)
    return took
