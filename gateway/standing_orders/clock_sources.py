"""The sources that joined the simulated clock: asked at each stride, waited for, passed over when silent.

Who has joined lies in a table of this order's own, so that it outlives the process.
"""

import asyncio
import json
import logging
from datetime import datetime

from nats.aio.msg import Msg

from gateway.standing_orders.desk import Desk

log = logging.getLogger(__name__)

LONGEST_STRIDE_S = 5.0
REPEAT_AFTER_S = 1.0

_JOINED = "create table if not exists standing_orders.clock_source (name text primary key)"


class Sources:
    """Who joined, and who has said done for the stride that runs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._done: dict[str, set[str]] = {}
        self._heard = asyncio.Event()

    @classmethod
    async def open(cls, desk: Desk) -> "Sources":
        """Listens for sources that join, leave and finish."""
        desk.connection.execute(_JOINED)
        sources = cls(desk)
        await desk.messages.subscribe("clock.joined.*", cb=sources._join)
        await desk.messages.subscribe("clock.left.*", cb=sources._leave)
        await desk.messages.subscribe("clock.done.*", cb=sources._finish)
        return sources

    async def _join(self, message: Msg) -> None:
        statement = "insert into clock_source (name) values (%s) on conflict do nothing"
        self._desk.connection.execute(statement, (_name(message),))
        await _answer(message)

    async def _leave(self, message: Msg) -> None:
        self._forget(_name(message))
        await _answer(message)

    def _forget(self, name: str) -> None:
        self._desk.connection.execute("delete from clock_source where name = %s", (name,))

    async def _finish(self, message: Msg) -> None:
        body = json.loads(message.data)
        self._done.setdefault(str(body.get("id")), set()).add(_name(message))
        self._heard.set()

    async def stride(self, since: datetime, to: datetime) -> tuple[str, ...]:
        """Asks every source for its readings of [since, to); answers those that kept silent, who are out."""
        stride_id = f"{since.isoformat()}/{to.isoformat()}"
        waiting = {row[0] for row in self._desk.rows("select name from clock_source")}
        deadline = asyncio.get_running_loop().time() + LONGEST_STRIDE_S
        told = json.dumps({"id": stride_id, "from": since.isoformat(), "to": to.isoformat()}).encode()
        while waiting and asyncio.get_running_loop().time() < deadline:
            self._heard.clear()
            await self._desk.messages.publish("clock.stride", told)
            await self._hear(stride_id, waiting, deadline)
        self._done.pop(stride_id, None)
        for name in waiting:
            log.warning("source %s said nothing for %s and is passed over", name, stride_id)
            self._forget(name)
        return tuple(sorted(waiting))

    async def _hear(self, stride_id: str, waiting: set[str], deadline: float) -> None:
        """Takes answers until all are there, or it is time to ask again."""
        again = min(asyncio.get_running_loop().time() + REPEAT_AFTER_S, deadline)
        while True:
            waiting -= self._done.get(stride_id, set())
            remaining = again - asyncio.get_running_loop().time()
            if not waiting or remaining <= 0:
                return
            try:
                await asyncio.wait_for(self._heard.wait(), remaining)
            except TimeoutError:
                return
            self._heard.clear()


def _name(message: Msg) -> str:
    return message.subject.rsplit(".", 1)[-1]


async def _answer(message: Msg) -> None:
    if message.reply:
        await message.respond(b"ok")
