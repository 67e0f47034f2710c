"""A source that lives by the grid's simulated clock: it sends each stride's readings, then says done."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from simulator.box_links import LinkDown, connect_nats
from simulator.slots import parse_time

JOIN_SECONDS = 10.0
ANSWER_SECONDS = 2.0
REJOIN_SECONDS = 5.0
Produce = Callable[[datetime, datetime], Awaitable[None]]


class ClockSource:
    """Joined while `async with` lasts. `produce(begin, end)` returns when its readings are acknowledged.

    A stride told twice is answered twice and produced once. LinkDown where nobody lets it join.
    """

    def __init__(self, nats_url: str, operator_token: str, name: str, produce: Produce) -> None:
        self.name = name
        self._nats_url = nats_url
        self._token = operator_token
        self._produce = produce
        self._last_stride: str | None = None
        self._client: Client | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "ClockSource":
        client = await connect_nats(self._nats_url, "clock", self._token)
        try:
            self._client = client
            await client.subscribe("clock.stride", cb=self._on_stride)
            await self._join(client)
        except BaseException:
            await client.close()
            raise
        self._keeper = asyncio.create_task(self._keep_joined(client))
        return self

    async def _keep_joined(self, client: Client) -> None:
        """The grid forgets a source that was too slow for a stride; joining twice does no harm."""
        while True:
            await asyncio.sleep(REJOIN_SECONDS)
            with suppress(nats.errors.Error, OSError):
                await client.request(f"clock.joined.{self.name}", b"", timeout=ANSWER_SECONDS)

    async def _join(self, client: Client) -> None:
        deadline = asyncio.get_running_loop().time() + JOIN_SECONDS
        while True:
            try:
                await client.request(f"clock.joined.{self.name}", b"", timeout=ANSWER_SECONDS)
                return
            except nats.errors.Error as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise LinkDown(f"nobody let the source {self.name} join the clock: {error!r}") from error
                await asyncio.sleep(0.1)

    async def _on_stride(self, message: Msg) -> None:
        stride = json.loads(message.data)
        if stride["id"] != self._last_stride:
            await self._produce(parse_time(stride["from"]), parse_time(stride["to"]))
            self._last_stride = stride["id"]
        done = json.dumps({"id": stride["id"], "name": self.name}).encode()
        if self._client is not None:
            await self._client.publish(f"clock.done.{self.name}", done)

    async def __aexit__(self, *_: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        if self._client is not None:
            with suppress(nats.errors.Error, OSError):
                await self._client.request(f"clock.left.{self.name}", b"", timeout=ANSWER_SECONDS)
            await self._client.close()
