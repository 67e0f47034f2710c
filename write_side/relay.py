"""The relay: tails the log and tells NATS. It hurries readers on; what it loses they find in the log."""

import asyncio
import logging
import time
from typing import Any

import nats
import psycopg
from nats.aio.client import Client

from write_side.fact_batches import SUBJECT, pack, pack_nothing
from write_side.log import CHANNEL, create_log, forget_old_keys
from write_side.nats_connection import connect_nats
from write_side.settings import Settings

log = logging.getLogger(__name__)

LONGEST_SILENCE_S = 1.0
READ_AT_ONCE = 1000
FLOOD, FLOOD_S = 20_000, 2.0  # so many facts in so short a time: somebody imports
TOLD_EVERY_S = 0.5
BACKOFF_S = 0.5
DAY_S = 86_400.0


def run(settings: Settings, index: int) -> None:
    """Relays until the process ends; a lost server is tried again."""
    log.info("relay %d", index)
    asyncio.run(_relay_for_ever(settings))


async def _relay_for_ever(settings: Settings) -> None:
    while True:
        try:
            await asyncio.to_thread(_keep_house, settings.database_url)
            messages = await connect_nats(settings.nats_url)
            try:
                async with await psycopg.AsyncConnection.connect(
                    settings.database_url, autocommit=True, connect_timeout=3
                ) as connection:
                    await _relay(connection, messages)
            finally:
                await messages.close()
        except (psycopg.Error, OSError, nats.errors.Error) as error:
            log.warning("relay starts over: %s", error)
            await asyncio.sleep(BACKOFF_S)


def _keep_house(database_url: str) -> None:
    create_log(database_url)
    with psycopg.connect(database_url, autocommit=True, connect_timeout=3) as connection:
        forget_old_keys(connection)


async def _relay(connection: psycopg.AsyncConnection[Any], messages: Client) -> None:
    """Publishes what comes behind the log's head, for a day; readers find what came before in the log."""
    await connection.execute(f"listen {CHANNEL}")
    position = await _head(connection)
    until = time.monotonic() + DAY_S
    counted_from, count = time.monotonic(), 0
    while time.monotonic() < until:
        rows = await _rows_after(connection, position)
        for message in pack(position, rows):
            await messages.publish(SUBJECT, message)
        if rows:
            position = rows[-1][0]
            await messages.flush(timeout=1)
        if time.monotonic() - counted_from > FLOOD_S:
            counted_from, count = time.monotonic(), 0
        count += len(rows)
        if count >= FLOOD:
            position, count = await _let_pass(connection, messages, position), 0
        elif len(rows) < READ_AT_ONCE:
            async for _ in connection.notifies(timeout=LONGEST_SILENCE_S, stop_after=1):
                pass


async def _let_pass(connection: psycopg.AsyncConnection[Any], messages: Client, position: int) -> int:
    """Tells now and then that there are facts, until half as many come; the position they reached.

    Readers take many at once from the log, which costs them less than as many messages.
    """
    while True:
        await asyncio.sleep(TOLD_EVERY_S)
        before, position = position, await _head(connection)
        await messages.publish(SUBJECT, pack_nothing(position))
        await messages.flush(timeout=1)
        if position - before < FLOOD / FLOOD_S * TOLD_EVERY_S / 2:
            return position


async def _head(connection: psycopg.AsyncConnection[Any]) -> int:
    found = await connection.execute("select coalesce(max(notification_id), 0) from log.fact")
    row = await found.fetchone()
    assert row is not None
    return int(row[0])


async def _rows_after(connection: psycopg.AsyncConnection[Any], position: int) -> list[Any]:
    found = await connection.execute(
        """select notification_id, originator_id, originator_version, topic, state from log.fact
           where notification_id > %s order by notification_id limit %s""",
        (position, READ_AT_ONCE),
    )
    return await found.fetchall()
