"""The servers that the tests of the projections share."""

from collections.abc import Iterator

import pytest

from deploy.grid import Grid
from deploy.servers import servers


@pytest.fixture(scope="session")
def metering_grid() -> Iterator[Grid]:
    """PostgreSQL and NATS, started once for all these tests."""
    with servers() as grid:
        yield grid


@pytest.fixture(scope="session")
def metering_servers(metering_grid: Grid) -> str:
    """The database server's URL; each test makes a database of its own on it."""
    return metering_grid.database_url
