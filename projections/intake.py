"""The metering worker's side of NATS: messages in as they come, announcements out, kept up for ever."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from projections.intake_reader import IntakeReader, ReadingBroken
from projections.intake_stream import (
    StreamError,
    StreamState,
    ensure_streams,
    idle_partitions,
    purge_behind,
    stream_state,
)
from projections.metering_batch import Partitions, StreamMessage
from write_side.fact_batches import SUBJECT as FACTS
from write_side.nats_connection import connect_nats
from write_side.settings import Settings

log = logging.getLogger(__name__)

LONGEST_SILENCE_S = 0.25
GATHER_S = 0.01
BATCH_MESSAGES = 5000
BATCH_BYTES = 8 << 20
_BACKOFF_S = 0.3
_FAULTS = (OSError, nats.errors.Error, StreamError, ReadingBroken, TimeoutError)


class Intake:
    """A connection to NATS, and a reader of the partitions asked for last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._reader: IntakeReader | None = None
        self._state = Partitions()
        self._changed = asyncio.Event()
        self._woken = asyncio.Event()

    def read(self, state: Partitions) -> None:
        """From now on these partitions, each behind its position; what came of others is dropped."""
        self._state = state
        self._reader = None
        self._changed.set()

    async def gather(self) -> tuple[StreamState | None, list[StreamMessage]]:
        """The messages that come within a short time, in order, and the stream they are of.

        None come where nothing happens for LONGEST_SILENCE_S, and when facts are announced: at once.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), LONGEST_SILENCE_S)
        self._woken.clear()
        if self._reader is not None and self._reader.waiting and not self._has_batch(self._reader):
            await asyncio.sleep(GATHER_S)
        reader = self._reader  # it may have broken meanwhile
        if reader is None:
            return None, []
        messages = reader.take(BATCH_MESSAGES, BATCH_BYTES)
        if reader.waiting:
            self._woken.set()
        return reader.stream, messages

    @staticmethod
    def _has_batch(reader: IntakeReader) -> bool:
        return reader.waiting >= BATCH_MESSAGES or reader.waiting_bytes >= BATCH_BYTES

    async def tell(self, subject: str, data: bytes) -> None:
        """Publishes where NATS is there to hear it."""
        if self._client is not None and self._client.is_connected:
            with contextlib.suppress(nats.errors.Error):
                await self._client.publish(subject, data)

    async def purge(self, sequence: int) -> None:
        """Forgets what lies in the stream up to a sequence; where that fails, next time."""
        if self._client is not None and self._client.is_connected:
            try:
                await purge_behind(self._client, sequence)
            except _FAULTS as error:
                log.warning("the intake was not purged: %s", error)

    async def idle(self, positions: Mapping[int, int]) -> tuple[StreamState | None, list[int]]:
        """Which of these partitions have nothing behind their position in the stream as it is told."""
        if self._client is not None and self._client.is_connected:
            try:
                return await idle_partitions(self._client, positions)
            except _FAULTS as error:
                log.warning("it is not known which partitions are idle: %s", error)
        return None, []

    async def run(self) -> None:
        """Connects, makes the streams, and reads; begins again after any fault, for ever."""
        while True:
            try:
                await self._read_on(await self._connected())
            except _FAULTS as error:
                log.warning("the intake is read anew: %s: %s", type(error).__name__, error)
                await asyncio.sleep(_BACKOFF_S)

    async def _connected(self) -> Client:
        if self._client is None or self._client.is_closed:
            self._client = await connect_nats(self._settings.nats_url)
            await self._client.subscribe(FACTS, cb=self._hear_facts)
        return self._client

    async def _hear_facts(self, _: Msg) -> None:
        self._woken.set()

    async def _read_on(self, client: Client) -> None:
        await ensure_streams(client, self._settings.mqtt_url)
        while True:
            self._changed.clear()
            if self._state.stream:
                stream = await stream_state(client)
                await self._read_until_changed(IntakeReader(client, stream, self._woken), self._state)
            else:
                await self._changed.wait()

    async def _read_until_changed(self, reader: IntakeReader, state: Partitions) -> None:
        await reader.start(state.positions_in(reader.stream.created))
        changed = asyncio.create_task(self._changed.wait())
        reading = asyncio.create_task(reader.run())
        if not self._changed.is_set():
            self._reader = reader
        try:
            await asyncio.wait((changed, reading), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            if self._reader is reader:
                self._reader = None
            for task in (changed, reading):
                task.cancel()
            await reader.stop()
