"""Subscriptions: rows behind a place, pushed as the view gets them, none missed and none twice."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import psycopg

from gateway.context import Context
from gateway.faults import not_ready
from gateway.tail import Seat, Tail
from projections.visibility import Scope

log = logging.getLogger(__name__)

K = TypeVar("K")
R = TypeVar("R")

MOST_IN_ONE_PROCESS = 20_000
_BEGUN_WITHIN_S = 2.0
_ROWS_AT_ONCE = 100
_PAUSE_S = 0.5


async def follow(
    context: Context,
    tail: Tail[K, R],
    after: K | None,
    look: Callable[[K, int], Awaitable[Sequence[R]]],
    scope: Scope,
    is_wanted: Callable[[R], bool] = lambda _row: True,
) -> AsyncIterator[R]:
    """The rows behind a key in order, for as long as the asker's token holds; without one, those to come.

    What lies between the key and now is read from the view with `look`; so is what a subscriber missed that
    was too slow for its queue. A dead NATS or database costs time only.
    """
    assert context.asker
    with counted(context), tail.seat(scope) as seat, _until_expiry(context, seat):
        while not await tail.begun(_BEGUN_WITHIN_S):
            if after is None:
                raise not_ready(f"the view {tail.view} does not answer")
        behind = tail.first_key(await context.parts.views.look(tail.view)) if after is None else after
        seat.fell_behind = after is not None
        while True:
            row = await seat.next()
            assert context.asker
            if row is None:
                seat.begin_anew()
                async for missed in _missed(context, tail.key, behind, look):
                    behind = tail.key(missed)
                    context.parts.metrics.pushes[(("view", tail.view),)] += 1
                    yield missed
            elif _is_behind(tail.key(row), behind) and is_wanted(row):
                behind = tail.key(row)
                context.parts.metrics.pushes[(("view", tail.view),)] += 1
                yield row


def _is_behind(key: Any, other: Any) -> bool:
    return bool(key > other)


async def _missed(
    context: Context, key: Callable[[R], K], behind: K, look: Callable[[K, int], Awaitable[Sequence[R]]]
) -> AsyncIterator[R]:
    """What the view has behind a key now, page by page."""
    while True:
        assert context.asker
        try:
            rows = await look(behind, _ROWS_AT_ONCE)
        except (psycopg.Error, TimeoutError) as error:
            log.warning("a subscription waits for the database: %r", error)
            await asyncio.sleep(_PAUSE_S)
            continue
        for row in rows:
            assert context.asker
            yield row
        if len(rows) < _ROWS_AT_ONCE:
            return
        behind = key(rows[-1])


@contextlib.contextmanager
def _until_expiry(context: Context, seat: Seat[R]) -> Iterator[None]:
    """Has the subscriber look at its token when its time is over."""
    left = context.asker.expires_at - time.time()
    timer = asyncio.get_running_loop().call_later(left, seat.send_away)
    try:
        yield
    finally:
        timer.cancel()


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
