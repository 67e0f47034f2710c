"""Rows read once for all subscribers: each gets its own, all of them and once, however slow it is."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from gateway.access import Principal
from gateway.faults import Fault
from gateway.following import follow
from gateway.metrics import Metrics
from gateway.tail import LONGEST_QUEUE, Tail
from projections.visibility import Scope

OWNERS = [UUID(int=number) for number in range(3)]
EVERYTHING = Scope(everything=True)


class View:
    """A view in memory: rows (position, owner), announced as they come; and the tail on it."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, UUID]] = []
        self.reads = self._moves = 0
        self._moved = asyncio.Event()
        self.tail: Tail[int, tuple[int, UUID]] = Tail(
            self,
            "autarky",
            int,
            self.read,
            lambda row: row[0],
            _concerned,  # type: ignore[arg-type]
        )

    def add(self, owner: UUID) -> None:
        """One row more."""
        self.rows.append((len(self.rows) + 1, owner))
        self._moves += 1
        self._moved.set()
        self._moved = asyncio.Event()

    async def look(self, _view: str) -> int:
        return len(self.rows)

    def moves(self, _view: str) -> int:
        return self._moves

    async def moved(self, _view: str, since: int, _within: float) -> None:
        if self._moves == since:
            await self._moved.wait()

    async def read(self, behind: int, limit: int) -> list[tuple[int, UUID]]:
        self.reads += 1
        return self.rows[behind : behind + limit]

    def follow(self, scope: Scope, after: int | None, expires_in: float = 60) -> Any:
        """A subscriber's rows."""
        asker = Principal(role="household", subject="x", expires_at=time.time() + expires_in)
        parts = SimpleNamespace(metrics=Metrics(), views=self)

        async def look(behind: int, limit: int) -> list[tuple[int, UUID]]:
            rows = await self.read(behind, len(self.rows))
            return [row for row in rows if scope.everything or row[1] == scope.household_id][:limit]

        return follow(_Context(parts, asker), self.tail, after, look, scope)  # type: ignore[arg-type]


class _Context(SimpleNamespace):
    def __init__(self, parts: Any, principal: Principal) -> None:
        super().__init__(parts=parts, principal=principal)

    @property
    def asker(self) -> Principal:
        if self.principal.has_expired:
            raise Fault("UNAUTHENTICATED", "the token has expired")
        return self.principal  # type: ignore[no-any-return]


async def _concerned(rows: Sequence[Any], _households: Sequence[UUID]) -> list[Iterable[UUID]]:
    return [(row[1],) for row in rows]


async def _take(rows: Any, count: int, pause_s: float = 0) -> list[int]:
    taken = []
    while len(taken) < count:
        taken.append((await asyncio.wait_for(anext(rows), 5))[0])
        await asyncio.sleep(pause_s)
    await rows.aclose()
    return taken


def test_each_gets_its_own_and_the_view_is_read_once_for_all() -> None:
    async def play() -> None:
        view = View()
        own = [asyncio.create_task(_take(view.follow(Scope(household_id=o), None), 50)) for o in OWNERS * 40]
        await asyncio.sleep(0.5)
        read = view.reads
        for number in range(150):
            view.add(OWNERS[number % 3])
        for number, task in enumerate(own):
            assert await task == list(range(number % 3 + 1, 151, 3))
        assert view.reads - read < 5
        view.tail.close()

    asyncio.run(play())


@pytest.mark.parametrize("after", [None, 0, 7])
def test_a_slow_reader_misses_none_and_gets_none_twice(after: int | None) -> None:
    async def play() -> None:
        view = View()
        for number in range(10):
            view.add(OWNERS[number % 3])
        begin = 10 if after is None else after
        count = 10 + 5 * LONGEST_QUEUE - begin
        reading = asyncio.create_task(_take(view.follow(EVERYTHING, after), count, 0.0005))
        for _ in range(5):
            await asyncio.sleep(0.1)
            for number in range(LONGEST_QUEUE):
                view.add(OWNERS[number % 3])
        assert await reading == list(range(begin + 1, begin + count + 1))
        view.tail.close()

    asyncio.run(play())


def test_a_token_that_expires_ends_a_subscription_to_which_nothing_comes() -> None:
    async def play() -> None:
        view = View()
        with pytest.raises(Fault, match="expired"):
            await asyncio.wait_for(anext(view.follow(EVERYTHING, None, expires_in=0.2)), 5)
        view.tail.close()

    asyncio.run(play())
