"""Waiting, with a bound, until the parts of the grid answer."""

import json
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg

from deploy.topics import READY

_LOOK_EVERY_SECONDS = 0.02
_REPLY = "_INBOX.start"


def wait_for_postgres(database_url: str, timeout: float) -> None:
    """Until it takes a connection; TimeoutError after `timeout` seconds."""

    def answers() -> str | None:
        try:
            psycopg.connect(database_url, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            return str(error)
        return None

    _wait("PostgreSQL", answers, timeout)


def wait_for_devices(nats_url: str, timeout: float) -> None:
    """Until NATS is there and the role device-access answers on it; TimeoutError after `timeout` seconds."""
    server = urlsplit(nats_url)
    user = {"user": server.username, "pass": server.password, "headers": True, "no_responders": True}
    hello = json.dumps(user | {"verbose": False, "pedantic": False})
    question = f"CONNECT {hello}\r\nSUB {_REPLY} 1\r\nPUB {READY} {_REPLY} 0\r\n\r\n".encode()

    def answers() -> str | None:
        try:
            with socket.create_connection((str(server.hostname), server.port or 4222), 2) as connection:
                connection.sendall(question)
                return _answer(connection)
        except OSError as error:
            return str(error)

    _wait("NATS", answers, timeout)


def wait_for_gateway(url: str, timeout: float) -> None:
    """Until GET /health says ok; TimeoutError, with what it says, after `timeout` seconds."""

    import httpx  # the roles wait for PostgreSQL alone

    def answers() -> str | None:
        try:
            health = httpx.get(f"{url}/health", timeout=5).json()
        except (httpx.HTTPError, ValueError) as error:
            return repr(error)
        unwell = [part for part in health["parts"] if part["status"] != "ok"]
        return None if health["status"] == "ok" else json.dumps(unwell)

    _wait("the gateway", answers, timeout)


def _answer(connection: socket.socket) -> str | None:
    """None for the role's message; HMSG is the server's own, that nobody listens, and -ERR a refusal."""
    received = b""
    while f"\r\nMSG {_REPLY}".encode() not in received:
        more = connection.recv(4096)
        received += more
        if not more or b"\r\nHMSG" in received or b"-ERR" in received:
            return received.decode(errors="replace")[-200:]
    return None


def _wait(what: str, answers: Callable[[], str | None], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while (trouble := answers()) is not None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} is not ready after {timeout:.0f} s: {trouble}")
        time.sleep(_LOOK_EVERY_SECONDS)
