"""The embedded NATS: acknowledged messages survive a SIGKILL, and only the platform has the run of it."""

import asyncio
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from deploy.access import without_password
from deploy.grid import Grid
from deploy.servers import servers


async def _publish(url: str, subject: str, count: int) -> int:
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(StreamConfig(name="KEPT", subjects=["kept.>"]))
    for number in range(count):
        await stream.publish(subject, str(number).encode())
    state = (await stream.stream_info("KEPT")).state
    await client.close()
    return state.messages


def test_what_was_acknowledged_is_there_after_a_kill_and_after_a_new_start(home: Path) -> None:
    with servers(home) as grid:
        asyncio.run(_publish(grid.nats_url, "kept.a", 100))
        grid.kill("nats")
        grid.wait_for_servers()
        assert asyncio.run(_publish(grid.nats_url, "kept.a", 1)) == 101
        grid.kill("nats")
    with servers(home) as grid:
        assert asyncio.run(_publish(grid.nats_url, "kept.a", 1)) == 102


def test_nobody_enters_without_a_password_or_token(running: Grid) -> None:
    async def knock(user: str | None, password: str | None) -> None:
        client = Client()
        address = without_password(running.nats_url)
        try:
            await client.connect(
                address, user=user, password=password, allow_reconnect=False, error_cb=_ignore
            )
        finally:
            await client.close()

    for user, password in ((None, None), ("platform", "guess"), ("clock", "")):
        with pytest.raises(nats.errors.Error, match="Authorization"):
            asyncio.run(knock(user, password))


async def _ignore(_error: Exception) -> None:
    pass
