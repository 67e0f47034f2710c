"""graphql-transport-ws and server-sent events at the door: who gets in, and who is shown out."""

import json
import time
from typing import Any

import httpx
import jwt
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.gateway.conftest import SIGNING_KEY, Door

PROTOCOL: Any = "graphql-transport-ws"
SLOT_CLOSED = "subscription { slotClosed { position } }"


def _open(door: Door) -> ClientConnection:
    return connect(f"{door.url.replace('http', 'ws')}/graphql", subprotocols=[PROTOCOL])


def _say(socket: ClientConnection, **message: object) -> dict[str, Any]:
    socket.send(json.dumps(message))
    return _hear(socket)


def _hear(socket: ClientConnection) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(socket.recv(timeout=5))
    return answer


def _token(seconds: int) -> str:
    now = int(time.time())
    body = {"sub": "nikola", "role": "operator", "iat": now, "exp": now + seconds}
    return jwt.encode(body, SIGNING_KEY, "HS256")


def _begin(socket: ClientConnection, token: str | None) -> dict[str, Any]:
    words = {} if token is None else {"Authorization": f"Bearer {token}"}
    return _say(socket, type="connection_init", payload=words)


def test_a_query_over_a_socket(door: Door) -> None:
    with _open(door) as socket:
        assert _begin(socket, door.token()) == {"type": "connection_ack"}
        answer = _say(socket, id="1", type="subscribe", payload={"query": "{ __typename }"})
        assert answer == {"id": "1", "type": "next", "payload": {"data": {"__typename": "Query"}}}
        assert _hear(socket) == {"id": "1", "type": "complete"}


def test_what_cannot_be_asked_ends_the_operation_and_not_the_socket(door: Door) -> None:
    with _open(door) as socket:
        _begin(socket, door.token())
        for query in ("{", "{ nothing }", "subscription { nothing }"):
            answer = _say(socket, id="1", type="subscribe", payload={"query": query})
            assert (answer["type"], answer["payload"][0]["extensions"]["code"]) == ("error", "BAD_USER_INPUT")


def test_a_bad_token_closes_the_socket(door: Door) -> None:
    with _open(door) as socket, pytest.raises(ConnectionClosed) as closed:
        _begin(socket, "nonsense")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


def test_without_a_token_a_subscription_is_refused(door: Door) -> None:
    with _open(door) as socket:
        assert _begin(socket, None) == {"type": "connection_ack"}
        answer = _say(socket, id="1", type="subscribe", payload={"query": SLOT_CLOSED})
        assert answer["payload"]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_a_token_that_expires_closes_the_socket(door: Door) -> None:
    with _open(door) as socket:
        assert _begin(socket, _token(2)) == {"type": "connection_ack"}
        time.sleep(2.1)
        answer = _say(socket, id="1", type="subscribe", payload={"query": SLOT_CLOSED})
        assert answer["payload"]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        with pytest.raises(ConnectionClosed) as closed:
            _hear(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


def test_a_stream_of_events_answers_and_ends(door: Door) -> None:
    headers = {"Accept": "text/event-stream"}
    body = {"query": SLOT_CLOSED}
    with httpx.stream("POST", f"{door.url}/graphql", json=body, headers=headers, timeout=5) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = answer.read().decode()
    assert "UNAUTHENTICATED" in told
    assert told.rstrip().endswith("event: complete\r\ndata:")
