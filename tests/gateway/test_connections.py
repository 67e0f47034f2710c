"""More than the door can hold: it says so, and stands."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from deploy.ports import free_port
from gateway import connections, graphql_http
from gateway.connections import BoundedHTTP, BoundedSocket
from tests.gateway.conftest import Door

REQUESTS = 1_500


@contextmanager
def _served(app: Any, **options: Any) -> Iterator[int]:
    """An application of the tests on the protocols of the door."""
    port = free_port()
    wanted = {"http": BoundedHTTP, "ws": BoundedSocket, "ws_per_message_deflate": False, "log_config": None}
    server = uvicorn.Server(uvicorn.Config(app, port=port, **{**wanted, **options}))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(15)
    assert not thread.is_alive()


async def _ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    writer.close()
    return head


def test_more_requests_than_it_takes_are_answered_503(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphql_http, "MOST_IN_FLIGHT", 4)
    body = b'{"query": "{ households { totalCount } }"}'  # waits for a database that is not there
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.token()}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    port = door.parts.settings.port

    async def all_at_once() -> list[bytes]:
        return await asyncio.gather(*(_ask(port, head.encode() + body) for _ in range(REQUESTS)))

    heads = asyncio.run(all_at_once())
    assert len(heads) == REQUESTS
    for answer in heads:
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer.lower()
    assert door.ask("{ __typename }").json() == {"data": {"__typename": "Query"}}


def test_more_connections_than_it_holds_are_answered_503() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    few = type("Few", (BoundedHTTP,), {"most": 3})
    with _served(app, http=few, lifespan="off") as port:
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        time.sleep(0.2)
        answer = httpx.get(f"http://127.0.0.1:{port}/")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["errors"][0]["extensions"] == {"code": "NOT_READY"}
        for one in held:
            one.close()
        time.sleep(0.2)
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200


def test_a_connection_that_asks_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FIRST_REQUEST_WITHIN_S", 0.2)

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        pytest.fail("nothing was asked")

    with _served(app, lifespan="off") as port, socket.create_connection(("127.0.0.1", port)) as idle:
        idle.settimeout(5)
        assert idle.recv(1) == b""


def _read_on(reader: ClientConnection) -> None:
    while True:
        reader.recv(timeout=5)


def test_a_reader_that_takes_nothing_is_told_1013(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LONGEST_DEAF_S", 0.3)
    ended = threading.Event()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "text": "x" * 2**16})
        finally:
            ended.set()

    with _served(app, lifespan="off") as port, connect(f"ws://127.0.0.1:{port}", max_queue=1) as reader:
        time.sleep(0.5)
        with pytest.raises(ConnectionClosed) as closed:
            _read_on(reader)
        assert ended.wait(5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013
