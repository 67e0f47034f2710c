"""The load of the intake benches, a process of its own: what it costs is told beside what it measures.

It publishes over NATS or MQTT as fast as the grid takes it, and at most so far ahead of the totals: a message
counts as visible when the position that was committed with its rows and totals has passed it in every
partition. One JSON line in is one stretch of load, one JSON line out its report.
"""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median
from types import TracebackType
from typing import Any, Self

import nats
import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg

from bench.intake_messages import Expected, Sent, from_concentrators, from_homes
from bench.metered_load import Community, communities
from bench.mqtt_sender import MqttSender
from deploy.grid import REPOSITORY, Grid
from projections.metered_homes import partition_of
from write_side.settings import PARTITIONS

_POLL_S = 0.02
_PATIENCE_S = 100.0
_CONNECTIONS = 8
_OUTSTANDING = 64  # unacknowledged publishes over NATS
_LOOK_EVERY = 16  # messages between two looks at the clock and at the totals
# How far the totals are, by partition: a stream's sequence, or how many homes' slots they hold.
_POSITIONS = "select partition, stream from metering.metering_position"
_SLOTS = "select 0, coalesce(sum(reporting), 0)::bigint from metering.grid_energy"


@dataclass(frozen=True)
class Plan:
    """Which homes send, where to, and how far ahead of the totals (messages)."""

    nats_url: str
    mqtt_url: str
    database_url: str
    communities: int
    homes: int
    lead: int
    over_mqtt: bool = False


@dataclass(frozen=True)
class Report:
    """One stretch: its messages, seconds until all were acknowledged and visible, its own CPU."""

    first: int
    revisit: bool
    messages: int
    acknowledged_s: float
    visible_s: float
    cpu_s: float
    visible_after_s: float  # the median message, from its acknowledgement


class IntakeClient:
    """The client process, and what the totals must be after what it has sent."""

    def __init__(self, grid: Grid, made: list[Community], lead: int, over_mqtt: bool = False) -> None:
        homes = len(made[0].homes)
        self._plan = Plan(grid.nats_url, grid.mqtt_url, grid.database_url, len(made), homes, lead, over_mqtt)
        self.expected = Expected(made)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.intake_client", json.dumps(asdict(self._plan))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            text=True,
        )
        self._read()

    def send(self, seconds: float, revisit: bool = False) -> Report:
        """Load for so long, until all of it is visible. With `revisit` every tenth is a second one."""
        self.begin(seconds, revisit)
        return self.report()

    def begin(self, seconds: float, revisit: bool = False) -> None:
        """Starts a stretch and does not wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"seconds": seconds, "revisit": revisit}) + "\n")
        self._process.stdin.flush()

    def report(self) -> Report:
        """The report of the stretch begun last, whose messages count as sent from now on."""
        report = Report(**self._read())
        messages = _messages(self._plan, report.first, report.revisit)
        self.expected.add(next(messages) for _ in range(report.messages))
        return report

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the client process ended")
        told: dict[str, Any] = json.loads(line)
        return told

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        if error is not None:
            self._process.kill()
        self._process.wait(30)


def _messages(plan: Plan, first: int, revisit: bool) -> Iterator[Sent]:
    if plan.over_mqtt:
        return from_homes(plan.communities, plan.homes, first)
    return from_concentrators(plan.communities, first, revisit)


class _Visible(threading.Thread):
    """Follows how many messages are in the totals, and how long after its acknowledgement each was."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(daemon=True)
        self._database_url = plan.database_url
        self._query = _SLOTS if plan.over_mqtt else _POSITIONS
        self.count = 0
        self.at = time.monotonic()
        # Of each partition, what is acknowledged and not visible yet: where it is, and since when.
        self.waiting: tuple[deque[tuple[int, float]], ...] = tuple(deque() for _ in range(PARTITIONS))
        self.ages_s: list[float] = []
        self.ended = False

    def run(self) -> None:
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            while not self.ended:
                seen: dict[int, int] = dict(connection.execute(self._query).fetchall())
                self._pass_by(seen, time.monotonic())
                time.sleep(_POLL_S)

    def _pass_by(self, seen: dict[int, int], now: float) -> None:
        before = self.count
        for partition, waiting in enumerate(self.waiting):
            while waiting and waiting[0][0] <= seen[partition]:
                self.ages_s.append(now - waiting.popleft()[1])
                self.count += 1
        if self.count > before:
            self.at = now


class _OverNats:
    """Publishes with an inbox for the answers, which come in the order of the stream."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._room = asyncio.Semaphore(_OUTSTANDING)
        self._outstanding: deque[int] = deque()  # partitions; the stream answers in order
        self.visible: _Visible | None = None
        self.failed = ""

    async def connect(self) -> None:
        await self._client.subscribe(self._inbox, cb=self._hear)

    async def send(self, community: Community, sent: Sent) -> None:
        await self._room.acquire()
        if self.failed:
            raise RuntimeError(f"the stream refused a message: {self.failed}")
        self._outstanding.append(partition_of(str(community.area)))
        data = community.message(sent.variant, sent.slot, sent.revision)
        await self._client.publish(f"intake.{community.area}.all", data, reply=self._inbox)

    async def settled(self) -> None:
        for _ in range(_OUTSTANDING):
            await asyncio.wait_for(self._room.acquire(), _PATIENCE_S)
        for _ in range(_OUTSTANDING):
            self._room.release()

    async def _hear(self, message: Msg) -> None:
        answer = json.loads(message.data)
        self.failed = self.failed or str(answer.get("error", ""))
        partition = self._outstanding.popleft()
        if self.visible is not None and not self.failed:
            self.visible.waiting[partition].append((answer["seq"], time.monotonic()))
        self._room.release()


class _OverMqtt:
    """Homes' messages over several connections; a home keeps to its own."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._senders = [MqttSender(self._hear) for _ in range(_CONNECTIONS)]
        self._acknowledged = 0
        self.visible: _Visible | None = None

    async def connect(self) -> None:
        for sender in self._senders:
            await sender.connect(self._plan.mqtt_url, self._plan.nats_url)

    async def send(self, community: Community, sent: Sent) -> None:
        assert sent.home is not None
        topic = f"readings/{community.area}/{community.homes[sent.home].household}".encode()
        data = community.home_message(sent.home, sent.variant, sent.slot)
        await self._senders[sent.home % _CONNECTIONS].publish(topic, data)

    async def settled(self) -> None:
        for sender in self._senders:
            await asyncio.wait_for(sender.settled(), _PATIENCE_S)

    def _hear(self) -> None:
        self._acknowledged += 1
        assert self.visible is not None
        self.visible.waiting[0].append((self._acknowledged, time.monotonic()))


class _Load:
    """One stretch after the other, over connections that are made once."""

    def __init__(self, plan: Plan, client: Client) -> None:
        self._plan = plan
        self._made = communities(plan.communities, plan.homes)
        self._sender = _OverMqtt(plan) if plan.over_mqtt else _OverNats(client)
        self._next = 0

    async def run(self) -> None:
        await self._sender.connect()
        print("{}", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            report = await self._stretch(**json.loads(line))
            print(json.dumps(asdict(report)), flush=True)

    async def _stretch(self, seconds: float, revisit: bool) -> Report:
        first = self._next
        visible = self._sender.visible = _Visible(self._plan)
        visible.start()
        cpu, begin, count = time.process_time(), time.monotonic(), 0
        for sent in _messages(self._plan, first, revisit):
            await self._sender.send(self._made[sent.community], sent)
            self._next = sent.next_number
            count += 1
            if count % _LOOK_EVERY == 0:
                if time.monotonic() - begin >= seconds:
                    break
                while count - visible.count > self._plan.lead:
                    await asyncio.sleep(_POLL_S / 4)
        await self._sender.settled()
        acknowledged = time.monotonic()
        while visible.count < count:
            if time.monotonic() - acknowledged > _PATIENCE_S:
                raise TimeoutError(f"{visible.count} of {count} messages became visible")
            await asyncio.sleep(_POLL_S)
        visible.ended = True
        visible.join()
        age = median(visible.ages_s) if visible.ages_s else 0.0
        spent = time.process_time() - cpu
        return Report(first, revisit, count, acknowledged - begin, visible.at - begin, spent, age)


async def _main(plan: Plan) -> None:
    client = await nats.connect(plan.nats_url)
    await _Load(plan, client).run()
    await client.close()


if __name__ == "__main__":
    asyncio.run(_main(Plan(**json.loads(sys.argv[1]))))
