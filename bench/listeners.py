"""Subscribers over graphql-transport-ws in a process of their own: a connection each, as cheap as can be.

They note what they are told and when; nothing is decoded before all is told.
"""

import asyncio
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import msgspec
import uvloop

_AT_ONCE = 100
_LONGEST_S = 60.0
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_HANDSHAKE = (
    "GET /graphql HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """Who listens: one connection for each token, all with the same subscription."""

    url: str
    tokens: list[str]
    query: str


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """By subscriber: what it was told, each with its wall time (Unix seconds); the client's cost."""

    told: list[list[tuple[float, dict[str, Any]]]]
    closed: int
    cpu_seconds: float


class Listeners:
    """The process; a context manager. Open means: every subscriber's connection was acknowledged."""

    def __init__(self, audience: Audience) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.listeners"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        self._write(msgspec.json.encode(audience))
        self._read()

    def heard(self) -> Heard:
        """All that they were told so far; they listen on."""
        self._write(b"")
        return msgspec.json.decode(self._read(), type=Heard)

    def close(self) -> None:
        """Ends the process, and with it every connection."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    def _read(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the listeners' process ended")
        return line


class _Listener(asyncio.Protocol):
    def __init__(self, host: str, token: str, query: str) -> None:
        self.opened = asyncio.get_running_loop().create_future()
        self.told: list[tuple[float, bytes]] = []
        self.is_closed = False
        self._handshake = _HANDSHAKE.format(host=host).encode()
        init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}
        subscribe = {"id": "1", "type": "subscribe", "payload": {"query": query}}
        self._words = b"".join(_frame(_TEXT, msgspec.json.encode(word)) for word in (init, subscribe))
        self._rest = b""
        self._is_upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._rest += data
        if not self._is_upgraded:
            head, found, self._rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            if b" 101 " not in head:
                self.opened.set_exception(ConnectionError(head.decode(errors="replace")))
                self._transport.close()
                return
            self._is_upgraded = True
            self._transport.write(self._words)
        while (frame := _first_frame(self._rest)) is not None:
            opcode, payload, length = frame
            self._rest = self._rest[length:]
            self._take(now, opcode, payload)

    def _take(self, now: float, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self._transport.write(_frame(_PONG, payload))
        elif opcode == _CLOSE:
            self.is_closed = True
        elif not self.opened.done():
            self.opened.set_result(None)  # connection_ack
        else:
            self.told.append((now, payload))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("closed"))


def _frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame; its mask is all zeros, which leaves the payload as it is."""
    length = len(payload)
    short = length if length < 126 else 126
    extended = b"" if length < 126 else struct.pack("!H", length)
    return bytes((0x80 | opcode, 0x80 | short)) + extended + bytes(4) + payload


def _first_frame(data: bytes) -> tuple[int, bytes, int] | None:
    """The first whole frame of a server: its opcode, its payload and its length with its head."""
    if len(data) < 2:
        return None
    begin, length = 2, data[1] & 0x7F
    if length == 126:
        if len(data) < 4:
            return None
        begin, length = 4, int.from_bytes(data[2:4], "big")
    elif length == 127:
        if len(data) < 10:
            return None
        begin, length = 10, int.from_bytes(data[2:10], "big")
    end = begin + length
    return None if len(data) < end else (data[0] & 0x0F, data[begin:end], end)


async def _listen(audience: Audience) -> None:
    address = urlsplit(audience.url)
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(_AT_ONCE)
    listeners: list[_Listener] = []

    async def open_one(token: str) -> None:
        listener = _Listener(address.netloc, token, audience.query)
        listeners.append(listener)
        async with room:
            await loop.create_connection(lambda: listener, address.hostname or "", address.port or 80)
            await asyncio.wait_for(listener.opened, _LONGEST_S)

    await asyncio.gather(*(open_one(token) for token in audience.tokens))
    _answer(b"open")
    while await asyncio.to_thread(sys.stdin.buffer.readline):
        _answer(msgspec.json.encode(_heard(listeners)))


def _heard(listeners: list[_Listener]) -> Heard:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Heard(
        told=[[(at, msgspec.json.decode(text)) for at, text in listener.told] for listener in listeners],
        closed=sum(listener.is_closed for listener in listeners),
        cpu_seconds=used.ru_utime + used.ru_stime,
    )


def _answer(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))
    _audience = msgspec.json.decode(sys.stdin.buffer.readline(), type=Audience)
    uvloop.run(_listen(_audience))
