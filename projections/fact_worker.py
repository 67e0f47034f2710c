"""The process that keeps the views built from facts up to date.

NATS brings facts at once; whatever does not follow a view's position, and every second of silence,
sends the view to the log. One worker holds each view; a second one stands by for the lock.
"""

import asyncio
import json
import logging
import zlib
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any

import nats
import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg

from projections.log_ahead import batches
from projections.schemas import connect
from projections.views import (
    VIEWS,
    View,
    advance,
    create_tables,
    note_error,
    position_of,
    take,
    unused_by_all,
)
from write_side.fact_batches import SUBJECT, Batch, unpack
from write_side.log import create_log, head
from write_side.nats_connection import connect_nats
from write_side.settings import Settings

log = logging.getLogger(__name__)

LONGEST_SILENCE_S = 1.0
LONGEST_QUEUE = 100
TAKEN_AT_ONCE = 5_000
BACKOFF_S = 0.3
_VIEW_LOCK = 0x5371_3000


def run(settings: Settings, index: int) -> None:
    """Keeps the views until the process ends; a lost server is tried again."""
    log.info("fact worker %d", index)
    asyncio.run(FactWorker(settings).run())


class FactWorker:
    """Holds the views whose lock it got, on one connection that it commits with."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._batches: asyncio.Queue[Batch] = asyncio.Queue(LONGEST_QUEUE)
        self._held: Batch | None = None  # it does not follow what was taken before it
        self._positions: dict[str, int] = {}
        self._messages: Client | None = None

    async def run(self) -> None:
        """Works for ever; a lost database means to begin again with nothing held."""
        hurry = asyncio.create_task(self._listen())
        while True:
            try:
                await asyncio.to_thread(create_log, self._settings.database_url)
                with connect(self._settings.database_url) as connection:
                    for view in VIEWS.values():
                        create_tables(connection, view, view.name)
                    await self._work(connection)
            except psycopg.Error as error:
                log.warning("fact worker starts over: %s", error)
                self._positions.clear()
                await asyncio.sleep(BACKOFF_S)
            if hurry.done():
                hurry.result()

    async def _listen(self) -> None:
        """Takes facts from NATS for as long as the process lives; without NATS the log is enough."""
        while self._messages is None:
            try:
                messages = await connect_nats(self._settings.nats_url)
                await messages.subscribe(SUBJECT, cb=self._receive)
                self._messages = messages
            except (OSError, nats.errors.Error) as error:
                log.warning("no NATS yet: %s", error)
                await asyncio.sleep(BACKOFF_S)

    async def _receive(self, message: Msg) -> None:
        if not self._batches.full():  # what is dropped here is read from the log
            self._batches.put_nowait(unpack(message.data))

    async def _work(self, connection: psycopg.Connection[Any]) -> None:
        while True:
            self._take_locks(connection)
            batch = await self._brought()
            before = dict(self._positions)
            await self._bring_up_together(connection, batch)
            for name, position in before.items():
                if self._positions[name] == position:
                    await self._bring_up_alone(connection, VIEWS[name], batch)

    async def _brought(self) -> Batch | None:
        """What NATS has brought meanwhile, as one batch where nothing is missing between; None after a
        second of silence, and where the log has more than anybody sends."""
        if self._held is None:
            with suppress(TimeoutError):
                self._held = await asyncio.wait_for(self._batches.get(), LONGEST_SILENCE_S)
        batch, self._held = self._held, None
        if batch is None or not batch.rows:
            return None
        while len(batch.rows) < TAKEN_AT_ONCE and not self._batches.empty():
            following = self._batches.get_nowait()
            if following.previous != batch.rows[-1][0]:
                self._held = following
                break
            batch.rows.extend(following.rows)
        return batch

    def _take_locks(self, connection: psycopg.Connection[Any]) -> None:
        for name, view in VIEWS.items():
            if name in self._positions:
                continue
            key = _VIEW_LOCK + zlib.crc32(name.encode()) % 0x1000
            row = connection.execute("select pg_try_advisory_lock(%s)", (key,)).fetchone()
            if row == (True,):
                self._positions[name] = position_of(connection, view)

    async def _bring_up_together(self, connection: psycopg.Connection[Any], batch: Batch | None) -> None:
        """All views that stand at one place, at the price of one commit; none where one cannot follow."""
        place = batch.previous if batch is not None else min(self._positions.values(), default=0)
        views = [VIEWS[name] for name, at in self._positions.items() if at == place]
        if not views:
            return
        try:
            if batch is not None:
                # In a thread: meanwhile NATS brings more, which is then taken together.
                await self._reach(views, await asyncio.to_thread(advance, connection, views, batch.rows))
            else:
                await self._read_up(connection, views)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except Exception as error:
            log.info("the views go on each by itself behind position %d: %s", place, error)

    async def _bring_up_alone(
        self, connection: psycopg.Connection[Any], view: View, batch: Batch | None
    ) -> None:
        try:
            if batch is None or batch.rows[-1][0] > self._positions[view.name]:
                await self._read_up(connection, [view])
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except Exception as error:
            log.exception("%s stops behind position %d", view.name, self._positions[view.name])
            note_error(connection, view, error)

    async def _read_up(self, connection: psycopg.Connection[Any], views: Sequence[View]) -> None:
        """From the log; in a thread, so that NATS is answered meanwhile however much there is."""
        behind = self._positions[views[0].name]
        if head(connection) <= behind:
            return
        with closing(batches(self._settings.database_url, unused_by_all(views), behind, None)) as found:
            while (facts := await asyncio.to_thread(next, found, None)) is not None:
                await self._reach(views, await asyncio.to_thread(take, connection, views, facts))

    async def _reach(self, views: Sequence[View], positions: Sequence[int]) -> None:
        for view, position in zip(views, positions, strict=True):
            self._positions[view.name] = position
            await self._announce(view)

    async def _announce(self, view: View) -> None:
        if self._messages is None or not self._messages.is_connected:
            return
        told = {"view": view.name, "position": self._positions[view.name]}
        with suppress(nats.errors.Error):  # whoever waits for it looks at the table as well
            await self._messages.publish(f"views.{view.name}", json.dumps(told).encode())
