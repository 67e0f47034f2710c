"""Questions of one kind that come while others are being answered are asked together.

An answer is read after its question was put, never before, so nobody gets what was true earlier. A question
that comes alone is asked at once; where many come, they are gathered for two milliseconds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

LARGEST_BATCH = 128
GATHERED_FOR_S = 0.002


class Batch(Generic[K, V]):
    """One kind of question. `ask` answers many at once; what it leaves out is answered by `nothing`."""

    def __init__(
        self, ask: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], nothing: Callable[[], V]
    ) -> None:
        self._ask = ask
        self._nothing = nothing
        self._waiting: dict[K, list[asyncio.Future[V]]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def answer(self, key: K) -> V:
        """The answer to one question; raises what asking raised."""
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await future

    async def _ask_all(self) -> None:
        is_busy = False
        try:
            while self._waiting:
                if is_busy:
                    await asyncio.sleep(GATHERED_FOR_S)
                asked = [*self._waiting][:LARGEST_BATCH]
                is_busy = len(asked) > 1
                waiting = {key: self._waiting.pop(key) for key in asked}
                try:
                    answers = await self._ask(asked)
                except Exception as error:
                    for future in _unsettled(waiting.values()):
                        future.set_exception(error)
                    continue
                for key, futures in waiting.items():
                    answer = answers[key] if key in answers else self._nothing()
                    for future in _unsettled((futures,)):
                        future.set_result(answer)
        finally:
            self._asking = None


def _unsettled(waiting: Iterable[list[asyncio.Future[V]]]) -> Iterator[asyncio.Future[V]]:
    """Those who still wait: whoever has gone away is told nothing."""
    return (future for futures in waiting for future in futures if not future.done())
