"""The process of the standing orders: one at a time, under a lock; a second instance stands by."""

import asyncio
import logging
from contextlib import ExitStack, closing
from typing import Any

import nats
import psycopg

from gateway.standing_orders import clock, device_orders, slots
from gateway.standing_orders.autarky import Judge
from gateway.standing_orders.clock_sources import Sources
from gateway.standing_orders.desk import Desk, ViewLags
from projections.schemas import connect, create_schema
from write_side.app import App, NotReady
from write_side.commands import Refusal
from write_side.log import create_log
from write_side.nats_connection import connect_nats
from write_side.settings import Settings

log = logging.getLogger(__name__)

BY = "standing-order"
BACKOFF_S = 0.3
_ORDERS_LOCK = 0x5371_4000

PROGRESS = "create table if not exists standing_order (name text primary key, reached bigint not null)"


def run(settings: Settings, index: int) -> None:
    """Serves the standing orders until the process ends; a lost server is tried again."""
    log.info("standing orders %d", index)
    asyncio.run(_serve_for_ever(settings))


async def _serve_for_ever(settings: Settings) -> None:
    while True:
        app = App(settings.database_url, simulated=settings.simulated)
        try:
            await asyncio.to_thread(create_log, settings.database_url)
            with connect(settings.database_url, "standing_orders") as connection:
                await _serve(settings, connection, app)
        except (
            psycopg.Error,
            OSError,
            TimeoutError,
            nats.errors.Error,
            NotReady,
            ViewLags,
            Refusal,
        ) as error:
            log.warning("standing orders start over: %s: %s", type(error).__name__, error, exc_info=error)
            await asyncio.sleep(BACKOFF_S)
        finally:
            await asyncio.to_thread(app.close)


async def _serve(settings: Settings, connection: psycopg.Connection[Any], app: App) -> None:
    await _alone(connection)
    create_schema(connection, "standing_orders", PROGRESS)
    messages = await connect_nats(settings.nats_url)
    stack = ExitStack()
    try:
        desk = Desk(connection, app, messages, BY)
        await _await_views(desk)
        judge = stack.enter_context(closing(Judge(desk, settings.database_url)))
        await slots.found_grid(desk, settings)
        sources = await Sources.open(desk)
        async with asyncio.TaskGroup() as orders:
            post = await device_orders.Post.open(desk)
            orders.create_task(post.deliver_for_ever())
            if settings.simulated:
                orders.create_task(clock.run_simulated(desk, judge, sources, post))
            else:
                orders.create_task(slots.run_wall(desk, judge))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        stack.close()
        await messages.close()


async def _alone(connection: psycopg.Connection[Any]) -> None:
    """Waits for its turn: the lock ends with the connection that holds it."""
    while True:
        row = connection.execute("select pg_try_advisory_lock(%s)", (_ORDERS_LOCK,)).fetchone()
        if row == (True,):
            return
        await asyncio.sleep(0.5)


async def _await_views(desk: Desk) -> None:
    """Waits until the workers have made the tables that are read here, and have in them all there is: what
    the one before has stated is not stated again under another slot's name."""
    wanted = ["slots_position", "households_position", "autarky_position", "metering_position", "mark"]
    while any(desk.value("select to_regclass(%s)", (name,)) is None for name in wanted):
        await asyncio.sleep(0.05)
    head = desk.value("select max(notification_id) from fact") or 0
    for view in ("slots", "households", "autarky"):
        await desk.reached(view, head)
