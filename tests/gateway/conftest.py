"""Gateways that really serve: one with nobody behind it, one on real servers, relay and fact views."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn

from deploy.grid import Grid
from deploy.ports import free_port
from gateway.access import mint
from gateway.application import application, parts_of
from gateway.context import Parts
from gateway.server import configuration
from projections import metering_tables
from projections.schemas import connect
from write_side.app import App, NotReady
from write_side.commands import AdvanceClock, CloseSlots, FinishAdvance, FoundGrid, StepClock
from write_side.events import Stride
from write_side.settings import PARTITIONS, Settings

SIGNING_KEY = b"a key of the tests, long enough for HS256"
FIRST_SLOT = datetime(2026, 1, 5, tzinfo=UTC)
REGISTER = """mutation($input: RegisterHouseholdInput!) { registerHousehold(input: $input) { __typename
    ... on RegisterHouseholdPayload { position householdId token deviceToken
        household { id uuid name area registeredAt community { id memberCount } } }
    ... on Refusal { message code } } }"""
ATTACH = """mutation($input: AttachDeviceInput!) { attachDevice(input: $input) { __typename
    ... on DevicePayload { position device { id uuid name kind since } } ... on Refusal { message } } }"""


@dataclass(frozen=True)
class Door:
    """A gateway's address, and its parts to look into."""

    url: str
    parts: Parts

    def token(self, role: str = "operator", subject: str = "nikola", **claims: str) -> str:
        """A token this gateway takes."""
        return mint(self.parts.settings.signing_key, role, subject, **claims)

    def ask(self, query: str, *, token: str | None = None, **variables: object) -> httpx.Response:
        """The answer to a POST."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        body = {"query": query, "variables": variables}
        return httpx.post(f"{self.url}/graphql", json=body, headers=headers, timeout=20)

    def data(self, query: str, *, token: str | None = None, **variables: object) -> Any:
        """The data of an answer without errors; asked by the operator where no token is given."""
        answer = self.ask(query, token=token or self.token(), **variables).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def register(self, name: str, latitude: float = 48.85, longitude: float = 2.35) -> dict[str, Any]:
        """A household that signed up: householdId, token, deviceToken, household."""
        house = {"name": name, "latitude": str(latitude), "longitude": str(longitude)}
        signed_up: dict[str, Any] = self.data(REGISTER, input=house)["registerHousehold"]
        assert signed_up["household"] is not None
        return signed_up

    def attach(self, household: dict[str, Any], kind: str, name: str, **more: object) -> dict[str, Any]:
        """A device of the household, attached with its own token."""
        wanted = {"householdId": household["householdId"], "kind": kind, "name": name, **more}
        device: dict[str, Any] = self.data(ATTACH, token=household["token"], input=wanted)["attachDevice"][
            "device"
        ]
        return device


@dataclass(frozen=True)
class Neighbourhood(Door):
    """A gateway on real servers; `grid` can kill them, `database` fills views that no worker fills here."""

    grid: Grid
    database: psycopg.Connection[Any]
    app: App

    def number(self, table: str, raw_id: str) -> int:
        """The number that meter tables know a household or device by."""
        statement = f"select number from {table} where {table}_id = %s"
        row = self.database.execute(statement, (raw_id,)).fetchone()
        assert row is not None
        return int(row[0])

    def fill(self, table: str, *rows: dict[str, object]) -> None:
        """Inserts rows into a view."""
        for row in rows:
            places = ", ".join(["%s"] * len(row))
            statement = f"insert into {table} ({', '.join(row)}) values ({places})"
            self.database.execute(statement, list(row.values()))


def settings_of(home: Path, database_url: str, nats_url: str, signing_key: bytes = SIGNING_KEY) -> Settings:
    """Settings for a gateway on a free port."""
    return Settings(
        database_url=database_url,
        nats_url=nats_url,
        mqtt_url="",
        home=home,
        port=free_port(),
        signing_key=signing_key,
        simulated=True,
        clock_start=FIRST_SLOT,
        embedded=False,
    )


@contextmanager
def served(parts: Parts) -> Iterator[str]:
    """Serves in a thread, on a real port."""
    server = uvicorn.Server(configuration(application(parts), parts.settings))
    thread = threading.Thread(target=server.run, name="gateway", daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{parts.settings.port}"
    finally:
        server.should_exit = True
        thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """The door with nobody behind it."""
    nobody = f"127.0.0.1:{free_port()}"
    home = tmp_path_factory.mktemp("home")
    parts = parts_of(settings_of(home, f"postgresql://nobody@{nobody}/none", f"nats://{nobody}"))
    with served(parts) as url:
        yield Door(url, parts)


@pytest.fixture(scope="session")
def neighbourhood() -> Iterator[Neighbourhood]:
    """Real PostgreSQL, NATS, relay and fact views with a gateway; no metering worker, no standing orders.

    The clock stands at 01:00 and the four slots before have closed."""
    with Grid(parts=["device-access", "relay", "views"]) as grid:
        grid.wait_for_servers()
        parts = parts_of(settings_of(grid.home, grid.database_url, grid.nats_url, grid.signing_key))
        app = App(grid.database_url)
        with served(parts) as url, connect(grid.database_url) as database:
            _prepare(database, app)
            around = Neighbourhood(url, parts, grid, database, app)
            _await_clock(around)
            yield around
        app.close()


def _prepare(database: psycopg.Connection[Any], app: App) -> None:
    metering_tables.create_intake(database)
    metering_tables.create_tables(database, "metering")
    for partition in range(PARTITIONS):
        # No worker runs here, so nobody is to wait for one.
        database.execute(
            """insert into metering_position (partition, facts, stream) values (%s, %s, 0)
               on conflict (partition) do update set facts = excluded.facts""",
            (partition, 2**40),
        )
    deadline = time.monotonic() + 20
    while True:
        try:
            app.send(FoundGrid(first_slot_start=FIRST_SLOT, simulated=True), by="tests").result(5)
            break
        except NotReady:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    end = FIRST_SLOT + timedelta(hours=1)
    closing = CloseSlots(first_slot_start=FIRST_SLOT, end=end, missing_partitions=(), silent_sources=())
    for command in (
        AdvanceClock(to=end, stride=Stride.HOUR),
        StepClock(to=end),
        closing,
        FinishAdvance(at=end),
    ):
        app.send(command, by="tests").result(5)


def _await_clock(around: Neighbourhood) -> None:
    deadline = time.monotonic() + 20
    while around.ask("{ clock { now } }").json()["data"] != {"clock": {"now": "2026-01-05T01:00:00Z"}}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
