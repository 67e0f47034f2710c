"""Reading partitions of the intake stream in order from a position on, through a consumer that forgets.

No acknowledgements: PostgreSQL knows how far each partition is. Messages are asked for in bounded portions,
so a slow database holds the stream back; a portion that does not end in time, or a gap, ends the reading, and
the owner begins again from its position.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from projections.intake_stream import STREAM, StreamState, request
from projections.metering_batch import StreamMessage, partition_of_subject

PORTION_MESSAGES = 2000
PORTION_BYTES = 8 << 20
MOST_BUFFERED_MESSAGES = 20_000
MOST_BUFFERED_BYTES = 32 << 20
_PORTION_S = 1.0
_LATE_S = 2.0
_FORGOTTEN_AFTER_NS = 30_000_000_000
_FULL = ("MaxBytes", "Batch Completed")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ReadingBroken(Exception):
    """The stream cannot be read on from here: begin again from the position."""


class IntakeReader:
    """What has come of some partitions and not been taken yet, in the order of the stream."""

    def __init__(self, client: Client, stream: StreamState, arrived: asyncio.Event) -> None:
        self.stream = stream
        self._arrived = arrived
        self._client = client
        self._waiting: deque[StreamMessage] = deque()
        self._bytes = 0
        self._delivered = 0
        self._ended = asyncio.Event()
        self._room = asyncio.Event()
        self._fault: str | None = None
        self._consumer = ""
        self._partitions: frozenset[int] = frozenset()
        self._inbox = ""
        self._subscription: Subscription | None = None

    async def start(self, partitions: Iterable[int], position: int) -> None:
        """Reads these partitions behind a position. StreamError or TimeoutError from JetStream.

        The consumer brings the whole stream and what is of other partitions is dropped here: nats-server
        looks through all subjects of a block for each message where there is more than one filter.
        A consumer that starts behind the stream's end would wait in silence for ever: it starts at the end.
        """
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(self._inbox, cb=self._receive)
        config = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": min(position, self.stream.last_sequence) + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": _FORGOTTEN_AFTER_NS,
        }
        self._partitions = frozenset(partitions)
        answer = await request(
            self._client, f"CONSUMER.CREATE.{STREAM}", {"stream_name": STREAM, "config": config}
        )
        self._consumer = answer["name"]

    async def run(self) -> None:
        """Asks for one portion after the other, for as long as all goes well; then ReadingBroken."""
        body = {"batch": PORTION_MESSAGES, "max_bytes": PORTION_BYTES, "expires": int(_PORTION_S * 1e9)}
        wanted = json.dumps(body).encode()
        while True:
            while self._is_full():
                self._room.clear()
                await self._room.wait()
            self._ended.clear()
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._consumer}"
            await self._client.publish(subject, wanted, reply=self._inbox)
            try:
                await asyncio.wait_for(self._ended.wait(), _PORTION_S + _LATE_S)
            except TimeoutError:
                self._fault = "a portion did not end"
            if self._fault is not None:
                raise ReadingBroken(self._fault)

    async def stop(self) -> None:
        """Takes nothing more; what waits is dropped, it is still in the stream."""
        if self._subscription is not None and self._client.is_connected:
            await self._subscription.unsubscribe()
        self._waiting.clear()

    def take(self, most_messages: int, most_bytes: int) -> list[StreamMessage]:
        """The next messages, at least one if there is any."""
        taken: list[StreamMessage] = []
        size = 0
        while self._waiting and len(taken) < most_messages and size < most_bytes:
            message = self._waiting.popleft()
            size += len(message.data)
            taken.append(message)
        self._bytes -= size
        if not self._is_full():
            self._room.set()
        return taken

    @property
    def waiting(self) -> int:
        """How many messages wait to be taken."""
        return len(self._waiting)

    def _is_full(self) -> bool:
        return len(self._waiting) >= MOST_BUFFERED_MESSAGES or self._bytes >= MOST_BUFFERED_BYTES

    async def _receive(self, message: Msg) -> None:
        if not message.reply:
            self._hear_status(message)
            return
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>
        *_, sequence, delivered, nanoseconds, _pending = message.reply.split(".")
        self._delivered += 1
        if int(delivered) != self._delivered:
            self._fault = "a message is missing"
            self._ended.set()
            return
        if partition_of_subject(message.subject) not in self._partitions:
            return
        known_at = _EPOCH + timedelta(microseconds=int(nanoseconds) // 1000)
        self._waiting.append(StreamMessage(int(sequence), message.subject, known_at, message.data))
        self._bytes += len(message.data)
        self._arrived.set()

    def _hear_status(self, message: Msg) -> None:
        """404, 408 and the 409 of a full portion end it; anything else says that the consumer is gone.

        A portion bounded by bytes is told to be complete by messages too: it ends by that, behind its last.
        """
        status = (message.headers or {}).get("Status", "")
        told = (message.headers or {}).get("Description", "")
        if status == "100":
            return
        is_full = status == "409" and told.endswith(_FULL)
        if status not in ("404", "408") and not is_full:
            self._fault = f"{status} {told}"
        self._ended.set()
