"""Reading partitions of the intake stream, each in order from its position on, through consumers that forget.

No acknowledgements: PostgreSQL knows how far each partition is. Messages are asked for in bounded portions,
so a slow database holds the stream back; a portion that does not end in time, or a gap, ends the reading, and
the owner begins again from its positions.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from projections.intake_stream import STREAM, StreamState, request, subjects_of
from projections.metering_batch import StreamMessage

PORTION_MESSAGES = 2000
PORTION_BYTES = 3 << 20  # of one partition; more than the largest message
MOST_BUFFERED_MESSAGES = 20_000
MOST_BUFFERED_BYTES = 32 << 20
_PORTION_S = 1.0
_LATE_S = 2.0
_FORGOTTEN_AFTER_NS = 30_000_000_000
_FULL = ("MaxBytes", "Batch Completed")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ReadingBroken(Exception):
    """The stream cannot be read on from here: begin again from the position."""


class _Consumer:
    """One partition's consumer: how much it has delivered, and whether its portion has ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.delivered = 0
        self.ended = asyncio.Event()
        self.fault: str | None = None

    def fail(self, fault: str) -> None:
        self.fault = fault
        self.ended.set()


class IntakeReader:
    """What has come of some partitions and not been taken yet, each partition in the order of the stream."""

    def __init__(self, client: Client, stream: StreamState, arrived: asyncio.Event) -> None:
        self.stream = stream
        self._arrived = arrived
        self._client = client
        self._waiting: deque[StreamMessage] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._consumers: dict[str, _Consumer] = {}
        self._inbox = ""
        self._subscription: Subscription | None = None

    async def start(self, positions: Mapping[int, int]) -> None:
        """Reads these partitions, each behind its position. StreamError or TimeoutError from JetStream.

        A partition has a consumer of its own: with one for several, nats-server looks through all subjects of
        a block for each message, and one for all brings every worker the whole stream.
        A consumer that starts behind the stream's end would wait in silence for ever: it starts at the end.
        """
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._receive)
        for partition, position in positions.items():
            subjects = subjects_of(partition)
            config = {
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": min(position, self.stream.last_sequence) + 1,
                "ack_policy": "none",
                "replay_policy": "instant",
                "mem_storage": True,
                "num_replicas": 1,
                "inactive_threshold": _FORGOTTEN_AFTER_NS,
            } | ({"filter_subject": subjects[0]} if len(subjects) == 1 else {"filter_subjects": subjects})
            answer = await request(
                self._client, f"CONSUMER.CREATE.{STREAM}", {"stream_name": STREAM, "config": config}
            )
            self._consumers[answer["name"]] = _Consumer(answer["name"])

    async def run(self) -> None:
        """Asks for one portion after the other, for as long as all goes well; then ReadingBroken."""
        asking = [asyncio.create_task(self._ask(consumer)) for consumer in self._consumers.values()]
        try:
            await asyncio.gather(*asking)
        finally:
            for task in asking:
                task.cancel()

    async def _ask(self, consumer: _Consumer) -> None:
        body = {"batch": PORTION_MESSAGES, "max_bytes": PORTION_BYTES, "expires": int(_PORTION_S * 1e9)}
        wanted = json.dumps(body).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer.name}"
        while True:
            while self._is_full():
                self._room.clear()
                await self._room.wait()
            consumer.ended.clear()
            await self._client.publish(subject, wanted, reply=f"{self._inbox}.{consumer.name}")
            try:
                await asyncio.wait_for(consumer.ended.wait(), _PORTION_S + _LATE_S)
            except TimeoutError:
                consumer.fault = "a portion did not end"
            if consumer.fault is not None:
                raise ReadingBroken(consumer.fault)

    async def stop(self) -> None:
        """Takes nothing more; what waits is dropped, it is still in the stream."""
        if self._subscription is not None and self._client.is_connected:
            await self._subscription.unsubscribe()
        self._waiting.clear()

    def take(self, most_messages: int, most_bytes: int) -> list[StreamMessage]:
        """The next messages by their sequence, at least one if there is any."""
        taken: list[StreamMessage] = []
        size = 0
        while self._waiting and len(taken) < most_messages and size < most_bytes:
            message = self._waiting.popleft()
            size += len(message.data)
            taken.append(message)
        self._bytes -= size
        if not self._is_full():
            self._room.set()
        return sorted(taken, key=lambda message: message.sequence)

    @property
    def waiting(self) -> int:
        """How many messages wait to be taken."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """How large they are together."""
        return self._bytes

    def _is_full(self) -> bool:
        return len(self._waiting) >= MOST_BUFFERED_MESSAGES or self._bytes >= MOST_BUFFERED_BYTES

    async def _receive(self, message: Msg) -> None:
        if not message.reply:
            self._hear_status(message)
            return
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>
        *_, name, _deliveries, sequence, delivered, nanoseconds, _pending = message.reply.split(".")
        consumer = self._consumers[name]
        consumer.delivered += 1
        if int(delivered) != consumer.delivered:
            consumer.fail("a message is missing")
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
        consumer = self._consumers[message.subject.rpartition(".")[2]]
        is_full = status == "409" and told.endswith(_FULL)
        if status not in ("404", "408") and not is_full:
            consumer.fail(f"{status} {told}")
        consumer.ended.set()
