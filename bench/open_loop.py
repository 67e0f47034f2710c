"""An HTTP client that offers load in a process of its own: each request when it is due, whatever became
of those before it, and its latency counted from that moment."""

import asyncio
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import urlsplit

import msgspec
import numpy as np
import uvloop

_TICK_S = 0.001
_RECONNECT_S = 0.05
_TO_COME_UP_S = 30.0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What to offer. `requests` are whole HTTP/1.1 requests, sent in order and from the first again.

    With `per_second` 0 each connection sends its next request as soon as the last is answered. Nothing is
    sent after `longest_s`, and nothing waited for longer than `patience_s` behind the last request.
    """

    url: str
    requests: Sequence[bytes]
    count: int
    per_second: float = 0.0
    connections: int = 128
    longest_s: float = 120.0
    patience_s: float = 10.0
    keeps_bodies: bool = False


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it, request by request in the order they were due.

    `statuses` holds 0 where no answer came; `latencies_s` counts from the moment a request was due (without
    a rate, from when it was sent); `seconds` from the first due to the last answered; `cpu_seconds` and
    `peak_bytes` are the client's own.
    """

    statuses: list[int]
    latencies_s: list[float]
    bodies: list[bytes]
    seconds: float
    cpu_seconds: float
    peak_bytes: int

    def answered(self, status: int = 200) -> int:
        """How many were answered with this status."""
        return self.statuses.count(status)

    def latency_ms(self, percentile: float, status: int = 200) -> float:
        """The latency that this share, in percent, of the answers with the status did not exceed."""
        pairs = zip(self.latencies_s, self.statuses, strict=True)
        found = [latency for latency, answered in pairs if answered == status]
        return float(np.percentile(found, percentile)) * 1000 if found else float("inf")


def request(
    url: str, path: str = "/graphql", body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole request as it goes over the wire: POST with a JSON body, GET without one."""
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def asking(url: str, token: str, query: str, variables: Mapping[str, object]) -> bytes:
    """A GraphQL operation as a whole request."""
    body = msgspec.json.encode({"query": query, "variables": variables})
    return request(url, body=body, headers={"Authorization": f"Bearer {token}"})


def offer(load: Load) -> Offered:
    """Offers the load from a process of its own and waits for what became of it."""
    command = (sys.executable, "-m", "bench.open_loop")
    allowed = _TO_COME_UP_S + load.longest_s + load.patience_s
    ended = subprocess.run(
        command, input=msgspec.msgpack.encode(load), stdout=subprocess.PIPE, timeout=allowed, check=True
    )
    return msgspec.msgpack.decode(ended.stdout, type=Offered)


class _Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, client: "_Client") -> None:
        self._client = client
        self._received = b""
        self._whole = 0  # length of the answer that is coming in, 0 while its head is not all there
        self.number: int | None = None  # the request under way
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's own is registered nowhere

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        if not self._whole:
            head = received.find(b"\r\n\r\n")
            if head < 0:
                return
            self._whole = head + 4 + _content_length(received[:head])
        if len(received) >= self._whole:
            status, body = int(received[9:12]), received[received.find(b"\r\n\r\n") + 4 : self._whole]
            self._received, self._whole = b"", 0
            self._client.answered(self, status, body)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._client.lost(self)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError(f"an answer that does not tell its length: {head[:200]!r}")


class _Client:
    """Connections that take what is due, and the book of what became of it."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[int] = deque()
        self._due: list[float] = []
        self._statuses: list[int] = []
        self._latencies: list[float] = []
        self._bodies: list[bytes] = []
        self._left = 0  # due, and neither answered nor lost
        self._last_answer = self._until = 0.0
        self._is_over = False
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self) -> Offered:
        """Opens the connections, offers what is due, and waits for the last answers."""
        for _ in range(self._load.connections):
            await self._connect()
        used, begin = _cpu_seconds(), time.perf_counter()
        self._last_answer, self._until = begin, begin + self._load.longest_s
        if self._load.per_second:
            await self._at_a_rate(begin)
        else:
            await self._one_after_the_other()
        patience = time.perf_counter() + self._load.patience_s
        while self._left and time.perf_counter() < patience:
            await asyncio.sleep(_TICK_S)
        self._is_over = True
        return Offered(
            statuses=self._statuses,
            latencies_s=self._latencies,
            bodies=self._bodies,
            seconds=self._last_answer - begin,
            cpu_seconds=_cpu_seconds() - used,
            peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )

    async def _at_a_rate(self, begin: float) -> None:
        apart = 1 / self._load.per_second
        for number in range(self._load.count):
            due = begin + number * apart
            while (now := time.perf_counter()) < due:
                await asyncio.sleep(max(due - now, _TICK_S))
            if now > self._until:
                return
            if number % 64 == 0:
                await asyncio.sleep(0)  # behind its time it must not keep the answers waiting as well
            self._take(due)

    async def _one_after_the_other(self) -> None:
        for _ in range(len(self._idle)):
            self._take_next()
        while self._has_more():
            await asyncio.sleep(_TICK_S)

    def _has_more(self) -> bool:
        return len(self._due) < self._load.count and time.perf_counter() < self._until

    def _take_next(self) -> None:
        if self._has_more():
            self._take(time.perf_counter())

    def _take(self, due: float) -> None:
        number = len(self._due)
        self._due.append(due)
        self._statuses.append(0)
        self._latencies.append(0.0)
        self._bodies.append(b"")
        self._left += 1
        if self._idle:
            self._send(self._idle.popleft(), number)
        else:
            self._waiting.append(number)

    def _send(self, connection: _Connection, number: int) -> None:
        assert connection.transport is not None
        connection.number = number
        connection.transport.write(self._load.requests[number % len(self._load.requests)])

    async def _connect(self) -> None:
        address = urlsplit(self._load.url)
        loop = asyncio.get_running_loop()
        while not self._is_over:
            try:
                _, connection = await loop.create_connection(
                    lambda: _Connection(self), str(address.hostname), address.port or 80
                )
            except OSError:
                if not self._due:
                    raise  # nobody was there from the beginning
                await asyncio.sleep(_RECONNECT_S)
                continue
            self._free(connection)
            return

    def _free(self, connection: _Connection) -> None:
        connection.number = None
        if self._waiting:
            self._send(connection, self._waiting.popleft())
            return
        # The one that has rested longest goes first, so that the server closes none for resting.
        self._idle.append(connection)
        if self._due and not self._load.per_second:
            self._take_next()

    def answered(self, connection: _Connection, status: int, body: bytes) -> None:
        """Notes an answer; the connection takes what waits."""
        assert connection.number is not None
        self._note(connection.number, status)
        if self._load.keeps_bodies:
            self._bodies[connection.number] = body
        self._free(connection)

    def lost(self, connection: _Connection) -> None:
        """Notes a request whose connection was closed before its answer; another is opened instead."""
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.number is not None:
            self._note(connection.number, 0)
        if not self._is_over:
            task = asyncio.ensure_future(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _note(self, number: int, status: int) -> None:
        self._last_answer = time.perf_counter()
        self._statuses[number] = status
        self._latencies[number] = self._last_answer - self._due[number]
        self._left -= 1


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """The load comes on the standard input, what became of it goes to the standard output."""
    load = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Load)
    became = msgspec.msgpack.encode(uvloop.run(_Client(load).run()))
    with open(
        sys.stdout.fileno(), "wb", closefd=False
    ) as out:  # with PYTHONUNBUFFERED stdout writes only a part
        out.write(became)


if __name__ == "__main__":
    main()
