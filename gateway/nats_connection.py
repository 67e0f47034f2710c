"""The gateway's connection to NATS: announcements in, readings out; without it everything but these works."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from gateway.faults import not_ready
from write_side.nats_connection import connect_nats
from write_side.settings import Settings

log = logging.getLogger(__name__)

ACKNOWLEDGED_WITHIN_S = 2.0
_BACKOFF_S = 0.3
LIVE_EVERY_S = 1.0
_LIVE_WAITING = 64
_FULL = ("maximum messages", "maximum bytes", "insufficient")


class IntakeFull(Exception):
    """The stream takes nothing more until the workers have caught up; nothing was kept."""


class Messages:
    """Connects in the background, and again for ever."""

    def __init__(self, settings: Settings, hear: Callable[[bytes], None]) -> None:
        self._settings = settings
        self._hear = hear
        self._client: Client | None = None

    @property
    def is_connected(self) -> bool:
        """Whether NATS is there now."""
        return self._client is not None and self._client.is_connected

    async def keep_connected(self) -> None:
        """Makes the first connection, however long it takes; the client renews it by itself."""
        while self._client is None:
            try:
                client = await connect_nats(self._settings.nats_url)
                await client.subscribe("views.>", cb=self._announced)
                self._client = client
            except (OSError, nats.errors.Error) as error:
                log.warning("no NATS yet: %s", error)
                await asyncio.sleep(_BACKOFF_S)

    async def close(self) -> None:
        """Ends the connection."""
        if self._client is not None:
            await self._client.close()

    async def keep(self, subject: str, message: bytes) -> int:
        """Publishes to the intake and answers the stream's sequence once the message is on disk.

        IntakeFull when it is refused, NOT_READY when nobody answers: whether it was kept is then unknown.
        """
        if self._client is None or not self._client.is_connected:
            raise not_ready("the intake of readings does not answer")
        try:
            acknowledged = await self._client.jetstream().publish(
                subject, message, timeout=ACKNOWLEDGED_WITHIN_S
            )
        except nats.js.errors.APIError as error:
            if any(sign in (error.description or "") for sign in _FULL):
                raise IntakeFull("the intake is full: send the readings again later") from error
            raise
        except (nats.errors.Error, TimeoutError):
            raise not_ready("the intake of readings does not answer") from None
        return acknowledged.seq

    async def live(self, household_id: UUID) -> AsyncIterator[bytes]:
        """What a home tells of its power, at most once in LIVE_EVERY_S: the newest of what came meanwhile."""
        while self._client is None:
            await asyncio.sleep(LIVE_EVERY_S)
        told = await self._client.subscribe(f"live.{household_id}", pending_msgs_limit=_LIVE_WAITING)
        try:
            while True:
                try:
                    message = await told.next_msg(LIVE_EVERY_S)
                except (TimeoutError, nats.errors.Error):
                    if self._client.is_closed:
                        return
                    await asyncio.sleep(0.1)
                    continue
                while told.pending_msgs:
                    message = await told.next_msg()
                yield message.data
                await asyncio.sleep(LIVE_EVERY_S)
        finally:
            with contextlib.suppress(nats.errors.Error):
                await told.unsubscribe()

    async def _announced(self, message: Msg) -> None:
        self._hear(message.data)
