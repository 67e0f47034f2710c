"""How the grid is: its parts as the supervisor knows them, the servers, and how far each view has come."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from gateway.context import Parts
from gateway.database import Connection
from projections.read_clock import clock
from projections.read_positions import VIEWS, log_head, view_error, view_position

LARGEST_LAG = 10_000
ANSWERED_WITHIN_S = 0.8


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
    """Every part: what runs, the servers as this process reaches them, the views. Within two seconds."""
    running = await asyncio.to_thread(_supervised, parts)
    database = await _database(parts)
    is_there = database.status == "ok"
    read = [_read(parts, f"view {view}", _view(view)) for view in VIEWS] if is_there else []
    found = await asyncio.gather(*read, *([_read(parts, "clock", _clock)] if is_there else []))
    names = (*(f"view {view}" for view in VIEWS), "clock")
    away = [Part(name=name, status="down", error="the database does not answer") for name in names]
    return [*running, database, _nats(parts), *(found or away)]


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
    return await _read(parts, "database", _log)


async def _read(parts: Parts, name: str, look: Callable[[Connection], Awaitable[Part]]) -> Part:
    """What a look at the database tells of a part; down where it tells nothing in time."""
    try:
        return await parts.database.read_once(ANSWERED_WITHIN_S, look)
    except psycopg.errors.UndefinedTable:
        return Part(name=name, status="down", error="its worker has not started yet")
    except psycopg.Error as error:
        return Part(name=name, status="down", error=str(error).strip() or repr(error))
    except TimeoutError:
        return Part(name=name, status="down", error=f"no answer within {ANSWERED_WITHIN_S} s")


async def _log(db: Connection) -> Part:
    return Part(name="database", status="ok", position=await log_head(db))


def _nats(parts: Parts) -> Part:
    if parts.messages.is_connected:
        return Part(name="messages", status="ok")
    return Part(name="messages", status="down", error="NATS does not answer")


async def _clock(db: Connection) -> Part:
    """Whether the grid has been founded, without which little can be answered."""
    if await clock(db) is None:
        return Part(name="clock", status="degraded", error="the grid is being founded")
    return Part(name="clock", status="ok")


def _view(view: str) -> Callable[[Connection], Awaitable[Part]]:
    async def look(db: Connection) -> Part:
        head, position = await log_head(db), await view_position(db, view)
        trouble = await view_error(db, view)
        lag = max(0, head - position)
        status = "degraded" if trouble or lag > LARGEST_LAG else "ok"
        return Part(name=f"view {view}", status=status, position=position, lag=lag, error=trouble)

    return look
