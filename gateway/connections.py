"""Connections at the door: no more than there is room for, none that only holds its place."""

import asyncio
import resource
from asyncio import TimerHandle
from contextlib import suppress
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

FIRST_REQUEST_WITHIN_S = 10.0
LONGEST_DEAF_S = 10.0
_TO_HEAR_WHY_S = 5.0
PUSH = "smartrix.push"
TOO_SLOW = 1013  # RFC 6455: try again later

_WHY = "too slow: connect again, resume with after"
_MOST = 24_000
_FILES_BESIDE = 200
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: 92\r\n\r\n"
    b'{"errors":[{"message":"too many connections are open","extensions":{"code":"NOT_READY"}}]}\r\n'
)


def most_connections() -> int:
    """How many connections this process may hold; takes as many open files as the system grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST + _FILES_BESIDE
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < granted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
            soft = granted
    return max(_FILES_BESIDE, min(_MOST, soft - _FILES_BESIDE))


class BoundedHTTP(HttpToolsProtocol):
    """An HTTP connection that is refused where there is no room, and ended where it asks nothing."""

    most = _MOST
    _first_request: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection in, or answers 503."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(_FULL)
            transport.close()
            return
        self._first_request = self.loop.call_later(FIRST_REQUEST_WITHIN_S, transport.close)

    def on_headers_complete(self) -> None:
        """A request is whole but for its body."""
        self._asked()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """The connection goes on as a socket."""
        self._asked()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._asked()
        super().connection_lost(exc)

    def _asked(self) -> None:
        if self._first_request is not None:
            self._first_request.cancel()
            self._first_request = None


class BoundedSocket(WebSocketsSansIOProtocol):
    """A socket that is closed with 1013 once its reader has taken nothing for ten seconds."""

    opened = closed = 0
    _deaf: TimerHandle | None = None
    _is_cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes a connection over."""
        BoundedSocket.opened += 1
        super().connection_made(transport)

    def handle_connect(self, event: Request) -> None:
        """Tells the application that it may push."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.handshake_complete:
            self.scope["extensions"][PUSH] = {"push": self.push}

    async def send(self, message: ASGISendEvent) -> None:
        """As the library sends; ClientDisconnected once the reader was given up."""
        if self._is_cut:
            raise ClientDisconnected
        await super().send(message)

    async def push(self, payload: bytes) -> None:
        """Sends a message of text, once the reader has taken enough of those before; ClientDisconnected where
        it is gone. What a frame is told by anybody else goes through the library; this is the short way."""
        if not self.writable.is_set():
            await self.writable.wait()
        if self.disconnected or self.close_sent:
            raise ClientDisconnected
        self.transport.write(_head(len(payload)) + payload)

    def pause_writing(self) -> None:
        """The reader is behind."""
        super().pause_writing()
        self._deaf = self.loop.call_later(LONGEST_DEAF_S, self._cut)

    def resume_writing(self) -> None:
        """The reader has caught up."""
        self._heard()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        BoundedSocket.closed += 1
        self._heard()
        super().connection_lost(exc)
        self.conn.parser.close()  # it and the connection refer to each other, and so does what may push
        if self.handshake_initiated:
            self.scope["extensions"].pop(PUSH, None)

    def _heard(self) -> None:
        if self._deaf is not None:
            self._deaf.cancel()
            self._deaf = None

    def _cut(self) -> None:
        """The code stands behind what was not read yet; who does not read it either loses the connection."""
        self._deaf = None
        if self.close_sent or self.transport.is_closing():
            self.transport.abort()
            return
        self.conn.send_close(TOO_SLOW, _WHY)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self._is_cut = True
        self.close_timer = self.loop.call_later(_TO_HEAR_WHY_S, self.transport.abort)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": TOO_SLOW, "reason": _WHY})
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()


def _head(length: int) -> bytes:
    """The head of a server's frame of text (RFC 6455, 5.2): final, not masked."""
    if length < 126:
        return bytes((0x81, length))
    return (
        b"\x81\x7e" + length.to_bytes(2, "big") if length < 2**16 else b"\x81\x7f" + length.to_bytes(8, "big")
    )


def http_protocol() -> type[BoundedHTTP]:
    """The protocol with the room that this process has."""
    room: dict[str, Any] = {"most": most_connections()}
    return type("Door", (BoundedHTTP,), room)
