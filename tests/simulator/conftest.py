"""Real servers for the simulator's tests: NATS with its doorkeeper alone, or the whole grid."""

import asyncio
from collections.abc import Iterator

import nats
import pytest

from deploy.grid import Grid
from deploy.servers import servers


@pytest.fixture(scope="session")
def outside() -> Iterator[Grid]:
    """Servers with a stream that keeps what comes over NATS, as the grid's own does."""
    with servers() as grid:
        asyncio.run(_keep_intake(grid.nats_url))
        yield grid


async def _keep_intake(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    await client.jetstream().add_stream(name="KEPT", subjects=["intake.>"])
    await client.close()


@pytest.fixture(scope="session")
def whole() -> Iterator[Grid]:
    """The whole grid, as `./run.sh` starts it."""
    with Grid() as grid:
        grid.wait_healthy()
        yield grid
