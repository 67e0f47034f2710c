"""The newest rows of a view, read once for all who follow them and handed to whom they concern.

Each subscriber has a seat with a bounded queue. A seat that falls behind is emptied and told so: its
subscriber then reads from the view's own table, behind the last row it has, and comes back to the queue.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar
from uuid import UUID

import psycopg

from gateway.waiting import Views
from projections.visibility import Scope

log = logging.getLogger(__name__)

K = TypeVar("K")
R = TypeVar("R")

LONGEST_QUEUE = 256
_ROWS_AT_ONCE = 1_000
_LOOK_EVERY_S = 1.0


class Seat(Generic[R]):
    """Where one subscriber takes its rows: those that concern its household, or all there are."""

    __slots__ = ("_rows", "_waiting", "fell_behind")

    def __init__(self) -> None:
        self.fell_behind = False
        self._rows: deque[R] = deque()
        self._waiting: asyncio.Future[None] | None = None

    def put(self, row: R) -> None:
        """Hands a row over; too many, and the seat is emptied."""
        if len(self._rows) >= LONGEST_QUEUE:
            self._rows.clear()
            self.fell_behind = True
        if not self.fell_behind:
            self._rows.append(row)
        self._wake()

    def send_away(self) -> None:
        """Has its subscriber look again at what it may see."""
        self.fell_behind = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def begin_anew(self) -> None:
        """From here on it takes rows again."""
        self._rows.clear()
        self.fell_behind = False

    async def next(self) -> R | None:
        """The next row; None once it fell behind."""
        while not self._rows:
            if self.fell_behind:
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self._rows.popleft()


class Tail(Generic[K, R]):
    """What is new in one view, for all its subscribers.

    `read` answers the rows behind a key, at most so many, for everybody; `concerned` which of some households
    may see each of some rows.
    """

    def __init__(
        self,
        views: Views,
        view: str,
        first_key: Callable[[int], K],
        read: Callable[[K, int], Awaitable[Sequence[R]]],
        key: Callable[[R], K],
        concerned: Callable[[Sequence[R], Sequence[UUID]], Awaitable[Sequence[Iterable[UUID]]]],
    ) -> None:
        self.view, self.first_key, self.key = view, first_key, key
        self._views, self._read, self._concerned = views, read, concerned
        self._of_households: dict[UUID, set[Seat[R]]] = {}
        self._of_everything: set[Seat[R]] = set()
        self._following: asyncio.Task[None] | None = None
        self._began: asyncio.Future[None] | None = None

    @contextmanager
    def seat(self, scope: Scope) -> Iterator[Seat[R]]:
        """A seat for as long as this lasts."""
        taken: Seat[R] = Seat()
        seats = self._of_everything
        if not scope.everything:
            seats = self._of_households.setdefault(scope.household_id or UUID(int=0), set())
        seats.add(taken)
        try:
            yield taken
        finally:
            seats.discard(taken)
            if not seats and not scope.everything:
                self._of_households.pop(scope.household_id or UUID(int=0), None)

    async def begun(self, within: float) -> bool:
        """Whether every row that comes from now on is handed to the seats that are taken; waits for it at
        most `within` seconds."""
        if self._following is None or self._following.done():
            self._began = asyncio.get_running_loop().create_future()
            self._following = asyncio.create_task(self._follow())
        assert self._began is not None
        if not self._began.done():
            await asyncio.wait((self._began,), timeout=within)
        return self._began.done()

    def close(self) -> None:
        """Ends it."""
        if self._following is not None:
            self._following.cancel()

    async def _follow(self) -> None:
        behind: K | None = None
        while True:
            since = self._views.moves(self.view)
            try:
                if behind is None:
                    behind = self.first_key(await self._views.look(self.view))
                    assert self._began is not None
                    self._began.set_result(None)
                rows = await self._read(behind, _ROWS_AT_ONCE)
                concerned = await self._concerned(rows, [*self._of_households])
            except (psycopg.Error, TimeoutError) as error:
                log.warning("the subscriptions to %s wait for the database: %r", self.view, error)
                rows, concerned = (), ()
            for row, households in zip(rows, concerned, strict=True):
                self._hand_over(row, households)
            if rows:
                behind = self.key(rows[-1])
            if len(rows) < _ROWS_AT_ONCE:
                await self._views.moved(self.view, since, _LOOK_EVERY_S)

    def _hand_over(self, row: R, households: Iterable[UUID]) -> None:
        for seat in self._of_everything:
            seat.put(row)
        for household in households:
            for seat in self._of_households.get(household, ()):
                seat.put(row)
