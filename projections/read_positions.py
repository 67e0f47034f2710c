"""Reading how far each view has come in the log, and the log itself."""

from typing import Any, LiteralString

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]

_POSITIONS: dict[str, LiteralString] = {
    "households": "select min(facts) from households_position",
    "slots": "select min(facts) from slots_position",
    "autarky": "select min(facts) from autarky_position",
    "notifications": "select min(facts) from notifications_position",
    "metering": "select min(facts) from metering_position",
}
_ERRORS: dict[str, LiteralString] = {
    "households": "select error from households_position where error is not null",
    "slots": "select error from slots_position where error is not null",
    "autarky": "select error from autarky_position where error is not null",
    "notifications": "select error from notifications_position where error is not null",
}
VIEWS = tuple(_POSITIONS)


async def view_position(db: Connection, view: str) -> int:
    """The position up to which a view has every fact; of several partitions the hindmost. 0: none yet."""
    cursor = await db.execute(_POSITIONS[view])
    row = await cursor.fetchone()
    return int(row[0]) if row and row[0] is not None else 0


async def view_error(db: Connection, view: str) -> str | None:
    """Why a view built from facts goes no further; None while it does."""
    statement = _ERRORS.get(view)
    if statement is None:
        return None
    row = await (await db.execute(statement)).fetchone()
    return None if row is None else str(row[0])


async def log_head(db: Connection) -> int:
    """The newest position of the log, 0 for an empty one."""
    cursor = await db.execute("select coalesce(max(notification_id), 0) from fact")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
