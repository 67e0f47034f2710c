"""Subscriptions: rows behind a place, pushed as the view gets them, none missed and none twice."""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TypeVar
from uuid import UUID

import psycopg

from gateway.context import Context
from gateway.faults import not_ready
from gateway.positions import Place

log = logging.getLogger(__name__)

K = TypeVar("K")
R = TypeVar("R")

LAST_ID = UUID(int=2**128 - 1)  # behind every row of a position
MOST_IN_ONE_PROCESS = 5_000
_ROWS_AT_ONCE = 100
_LOOK_EVERY_S = 1.0


async def start_of(context: Context, view: str, after: Place | None) -> Place:
    """Where a subscription begins: behind the place asked for, else behind all that the view has now."""
    assert context.asker
    return Place(await context.parts.views.look(view)) if after is None else after


async def follow(
    context: Context,
    view: str,
    start: K,
    look: Callable[[K, int], Awaitable[Sequence[R]]],
    key: Callable[[R], K],
) -> AsyncIterator[R]:
    """The rows behind `start` in order, for as long as the asker's token holds.

    The view's announcements wake it; without them it looks once a second, so a dead NATS costs time only,
    and so does a dead database.
    """
    behind, views = start, context.parts.views
    with counted(context):
        while True:
            assert context.asker
            since = views.moves(view)
            rows = await _rows(look, behind)
            for row in rows:
                assert context.asker
                behind = key(row)
                context.parts.metrics.pushes[(("view", view),)] += 1
                yield row
            if len(rows) < _ROWS_AT_ONCE:
                await views.moved(view, since, _LOOK_EVERY_S)


async def _rows(look: Callable[[K, int], Awaitable[Sequence[R]]], behind: K) -> Sequence[R]:
    try:
        return await look(behind, _ROWS_AT_ONCE)
    except (psycopg.Error, TimeoutError) as error:
        log.warning("a subscription waits for the database: %r", error)
        return ()


@contextlib.contextmanager
def counted(context: Context) -> Iterator[None]:
    """One subscription of those this process can serve; NOT_READY where it serves as many already."""
    metrics = context.parts.metrics
    if metrics.subscriptions >= MOST_IN_ONE_PROCESS:
        raise not_ready("this gateway has as many subscriptions as it can serve")
    metrics.subscriptions += 1
    try:
        yield
    finally:
        metrics.subscriptions -= 1
