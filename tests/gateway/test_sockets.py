"""graphql-transport-ws and server-sent events at the door: who gets in, and who is shown out."""

import json
import time
from typing import Any

import httpx
import jwt
import pytest
from graphql import GraphQLObjectType
from httpx_sse import connect_sse
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from gateway.schema import schema
from tests.gateway.conftest import SIGNING_KEY, Door, Neighbourhood

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


def test_without_a_token_every_subscription_is_refused(door: Door) -> None:
    subscriptions = schema._schema.type_map["Subscription"]
    assert isinstance(subscriptions, GraphQLObjectType)
    for name in subscriptions.fields:
        with _open(door) as socket:
            assert _begin(socket, None) == {"type": "connection_ack"}
            query = f"subscription {{ {name} {{ __typename }} }}"
            answer = _say(socket, id="1", type="subscribe", payload={"query": query})
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


def test_a_connection_has_at_most_a_hundred_operations(neighbourhood: Neighbourhood) -> None:
    with _open(neighbourhood) as socket:
        _begin(socket, neighbourhood.token())
        for number in range(100):
            subscribe = {"id": str(number), "type": "subscribe", "payload": {"query": SLOT_CLOSED}}
            socket.send(json.dumps(subscribe))
        answer = _say(socket, id="100", type="subscribe", payload={"query": "{ __typename }"})
        assert (answer["id"], answer["payload"][0]["extensions"]) == ("100", {"code": "TOO_COMPLEX"})
        socket.send(json.dumps({"id": "7", "type": "complete"}))
        answer = _say(socket, id="101", type="subscribe", payload={"query": "{ __typename }"})
        assert answer == {"id": "101", "type": "next", "payload": {"data": {"__typename": "Query"}}}
        deadline = time.monotonic() + 5
        while neighbourhood.parts.metrics.subscriptions != 99:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    while neighbourhood.parts.metrics.subscriptions:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stream_of_events_pushes_what_lies_behind_a_position(neighbourhood: Neighbourhood) -> None:
    body = {"query": 'subscription { slotClosed(after: "p0") { slotStart } }'}
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {neighbourhood.token()}"}
    starts = []
    with (
        httpx.Client(timeout=10) as client,
        connect_sse(client, "POST", f"{neighbourhood.url}/graphql", json=body, headers=headers) as source,
    ):
        for event in source.iter_sse():
            assert event.event == "next"
            starts.append(event.json()["data"]["slotClosed"]["slotStart"])
            if len(starts) == 4:
                break
    assert starts == [f"2026-01-05T00:{minutes}:00Z" for minutes in ("00", "15", "30", "45")]
