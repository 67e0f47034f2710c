"""The load client against a server that answers as the test wants it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.open_loop import Load, asking, offer, request


@contextmanager
def serving(*, pause_s: float = 0.0, hangs_up_at: int = -1) -> Iterator[str]:
    """A server that answers each request with its body in two pieces, after a pause; or hangs up at one."""
    loop, served = asyncio.new_event_loop(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        while head := (await _head(reader)):
            length = next((int(line[15:]) for line in head if line.startswith(b"Content-Length:")), 0)
            body = await reader.readexactly(length)
            served += 1
            if served - 1 == hangs_up_at:
                break
            await asyncio.sleep(pause_s)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body[:3])
            await asyncio.sleep(0)
            writer.write(body[3:])
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()


async def _head(reader: asyncio.StreamReader) -> list[bytes]:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return []


def test_every_request_gets_its_own_answer() -> None:
    with serving() as url:
        requests = [asking(url, "t", "{ __typename }", {"n": n}) for n in range(5)]
        offered = offer(Load(url=url, requests=requests, count=12, connections=3, keeps_bodies=True))
    assert offered.statuses == [200] * 12
    assert offered.bodies == [requests[n % 5].partition(b"\r\n\r\n")[2] for n in range(12)]
    assert offered.cpu_seconds > 0


def test_latency_counts_from_when_a_request_was_due() -> None:
    """One connection, an answer after 50 ms, 40 requests a second: each waits 25 ms more than the last."""
    with serving(pause_s=0.05) as url:
        load = Load(url=url, requests=[request(url, body=b"{}")], count=10, per_second=40, connections=1)
        offered = offer(load)
    assert offered.answered() == 10
    assert offered.latencies_s[9] > offered.latencies_s[0] + 8 * 0.025
    assert offered.latency_ms(100) == pytest.approx(max(offered.latencies_s) * 1000)


def test_a_closed_connection_is_no_answer_and_another_is_opened() -> None:
    with serving(hangs_up_at=2) as url:
        load = Load(url=url, requests=[request(url, body=b"{}")], count=6, per_second=100, connections=1)
        offered = offer(load)
    assert sorted(offered.statuses) == [0, 200, 200, 200, 200, 200]
