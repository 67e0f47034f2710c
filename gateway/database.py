"""Reading the views: a bounded set of connections that survives the database's end and its return."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg

from projections.schemas import search_path

Connection = psycopg.AsyncConnection[Any]
P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_S = 1.8  # a caller is promised an answer, if only "not ready", within two seconds
LONGEST_READ_S = 5
_PAUSE_S = 0.05


class Database:
    """At most `size` connections; reads wait for one of them, and are tried again when it breaks.

    With `plans_once` a statement is planned once for all its values: for those that any values suit alike.
    """

    def __init__(self, database_url: str, size: int = 12, *, plans_once: bool = False) -> None:
        self._url = database_url
        self._plans = "force_generic_plan" if plans_once else "auto"
        self._places = asyncio.Semaphore(size)
        self._idle: list[Connection] = []

    async def read(
        self, function: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What a read function answers; psycopg's error once the database has not answered for 1.8 s."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                async with self._connection(deadline) as connection, asyncio.timeout(LONGEST_READ_S + 1):
                    return await function(connection, *args, **kwargs)
            except psycopg.errors.QueryCanceled:
                raise
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if time.monotonic() + _PAUSE_S >= deadline:
                    raise
                await asyncio.sleep(_PAUSE_S)

    async def read_once(
        self,
        within: float,
        function: Callable[Concatenate[Connection, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As read, tried once: psycopg's error at once, TimeoutError after `within` seconds."""
        async with asyncio.timeout(within), self._connection(time.monotonic() + within) as connection:
            return await function(connection, *args, **kwargs)

    async def close(self) -> None:
        """Closes what is idle."""
        while self._idle:
            await self._idle.pop().close()

    @asynccontextmanager
    async def _connection(self, deadline: float) -> AsyncIterator[Connection]:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
            await self._places.acquire()
        try:
            connection = self._idle.pop() if self._idle else await self._connected(deadline)
            try:
                yield connection
            except BaseException:
                await connection.close()
                raise
            self._idle.append(connection)
        finally:
            self._places.release()

    async def _connected(self, deadline: float) -> Connection:
        path = search_path().replace(" ", "")
        async with asyncio.timeout(max(deadline - time.monotonic(), _PAUSE_S)):
            return await psycopg.AsyncConnection.connect(
                self._url,
                autocommit=True,
                connect_timeout=2,
                options=f"-c search_path={path} -c statement_timeout={LONGEST_READ_S}s -c TimeZone=UTC"
                f" -c plan_cache_mode={self._plans}",
            )
