"""How the grid is: its parts as the supervisor knows them, the servers, and how far each view has come."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

import psycopg

from gateway.context import Parts
from gateway.database import Connection
from projections.read_clock import clock
from projections.read_positions import VIEWS, log_head, view_error, view_position

LARGEST_LAG = 10_000


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part, in the words of the interface."""

    name: str
    status: str
    since: str | None = None
    restarts: int | None = None
    position: int | None = None
    lag: int | None = None
    error: str | None = None

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


async def health(parts: Parts) -> list[Part]:
    """Every part: what runs, the servers as this process reaches them, the views."""
    running = await asyncio.to_thread(_supervised, parts)
    servers = [await _database(parts), _nats(parts)]
    return [*running, *servers, *await _views(parts), await _clock(parts)]


def overall(found: list[Part]) -> str:
    """down without a database, degraded while anything is not well, else ok."""
    status = {part.name: part.status for part in found}
    if status.get("database") == "down":
        return "down"
    return "ok" if all(part.status == "ok" for part in found) else "degraded"


async def lags(parts: Parts) -> dict[str, int]:
    """How many positions each view is behind the log; without those whose tables are not there."""
    head = await parts.database.read(log_head)
    found = {}
    for view in VIEWS:
        with contextlib.suppress(psycopg.errors.UndefinedTable):
            found[view] = max(0, head - await parts.database.read(view_position, view))
    return found


def _supervised(parts: Parts) -> list[Part]:
    """What run.json says; nothing where this process was started by hand."""
    try:
        run = json.loads((parts.settings.home / "run.json").read_text())
    except (OSError, ValueError):
        return []
    return [
        Part(
            name=part["name"],
            status=part["status"],
            since=part.get("since"),
            restarts=part.get("restarts"),
            error=part.get("error"),
        )
        for part in run.get("parts", [])
    ]


async def _database(parts: Parts) -> Part:
    try:
        position = await parts.database.read(log_head)
    except (psycopg.Error, TimeoutError) as error:
        return Part(name="database", status="down", error=str(error).strip())
    return Part(name="database", status="ok", position=position)


def _nats(parts: Parts) -> Part:
    if parts.messages.is_connected:
        return Part(name="messages", status="ok")
    return Part(name="messages", status="down", error="NATS does not answer")


async def _clock(parts: Parts) -> Part:
    """Whether the grid has been founded, without which little can be answered."""
    try:
        found = await parts.database.read(clock)
    except (psycopg.Error, TimeoutError) as error:
        return Part(name="clock", status="down", error=str(error).strip())
    if found is None:
        return Part(name="clock", status="degraded", error="the grid is being founded")
    return Part(name="clock", status="ok")


async def _views(parts: Parts) -> list[Part]:
    return [await _view(parts, view) for view in VIEWS]


async def _view(parts: Parts, view: str) -> Part:
    name = f"view {view}"
    try:
        head, position, trouble = await parts.database.read(_standing, view)
    except psycopg.errors.UndefinedTable:
        return Part(name=name, status="down", error="its worker has not started yet")
    except (psycopg.Error, TimeoutError) as error:
        return Part(name=name, status="down", error=str(error).strip())
    lag = max(0, head - position)
    status = "degraded" if trouble or lag > LARGEST_LAG else "ok"
    return Part(name=name, status=status, position=position, lag=lag, error=trouble)


async def _standing(db: Connection, view: str) -> tuple[int, int, str | None]:
    return await log_head(db), await view_position(db, view), await view_error(db, view)
