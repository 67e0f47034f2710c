"""Where a standing order sits: the views it reads, the commands it sends, the messages it passes on."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from nats.aio.client import Client

from write_side.app import App
from write_side.command_group import Receipt
from write_side.commands import Command, Refusal

LONGEST_LAG_S = 10.0
POLL_S = 0.01
SENT_AT_ONCE = 250  # an eighth of what the write side lets wait


class ViewLags(Exception):
    """A view did not reach a position in time; the order is tried again later."""


@dataclass(frozen=True)
class Statement:
    """A command with its name and what led to it."""

    command: Command
    key: str
    cause: int | None
    correlation: str


class Desk:
    """One process's connection for reading, its way to the write side, and NATS."""

    def __init__(self, connection: psycopg.Connection[Any], app: App, messages: Client, by: str) -> None:
        self.connection = connection
        self.app = app
        self.messages = messages
        self.by = by

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """What a query on the views answers."""
        return self.connection.execute(statement, parameters).fetchall()

    def value(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row, None without one."""
        row = self.connection.execute(statement, parameters).fetchone()
        return row[0] if row else None

    async def send(
        self, command: Command, *, key: str, cause: int | None = None, correlation: str
    ) -> Receipt:
        """Sends a command under its name; repeated, it answers what it answered first."""
        future = self.app.send(command, by=self.by, key=key, cause=cause, correlation=correlation)
        return await asyncio.wait_for(asyncio.wrap_future(future), 5)

    async def try_send(
        self, command: Command, *, key: str, cause: int | None, correlation: str
    ) -> int | None:
        """As send; None where it is refused because somebody did it before or it no longer fits."""
        try:
            receipt = await self.send(command, key=key, cause=cause, correlation=correlation)
        except Refusal:
            return None
        return receipt.position

    async def state_all(self, statements: Sequence[Statement]) -> tuple[int | None, bool]:
        """Sends commands together; answers the latest position, and whether none was refused or repeated."""
        latest, is_whole = None, True
        for begin in range(0, len(statements), SENT_AT_ONCE):
            part = statements[begin : begin + SENT_AT_ONCE]
            sent = [self.send(s.command, key=s.key, cause=s.cause, correlation=s.correlation) for s in part]
            for outcome in await asyncio.gather(*sent, return_exceptions=True):
                if isinstance(outcome, Receipt):
                    latest = max(latest or 0, outcome.position)
                    is_whole = is_whole and not outcome.repeated
                elif isinstance(outcome, Refusal):
                    is_whole = False
                else:
                    raise outcome
        return latest, is_whole

    async def reached(self, view: str, position: int) -> None:
        """Waits until a view has a position; ViewLags after ten seconds in which it did not move."""
        deadline, seen = time.monotonic() + LONGEST_LAG_S, -1
        while (found := self.value(f"select min(facts) from {view}_position") or 0) < position:
            if found != seen:
                deadline, seen = time.monotonic() + LONGEST_LAG_S, found
            elif time.monotonic() > deadline:
                raise ViewLags(f"the view {view} does not reach position {position}")
            await asyncio.sleep(POLL_S)

    def progress(self, order: str) -> int | None:
        """How far a standing order has come, None before its first time."""
        found: int | None = self.value("select reached from standing_order where name = %s", (order,))
        return found

    def note_progress(self, order: str, reached: int) -> None:
        """Writes down how far a standing order has come."""
        self.connection.execute(
            """insert into standing_order (name, reached) values (%s, %s)
               on conflict (name) do update set reached = excluded.reached""",
            (order, reached),
        )
