"""The servers of the write side's tests, a database for each module, and stories on the real log."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from deploy.grid import Grid
from deploy.servers import servers
from tests.write_side.story import LogStory
from write_side.log import create_log


@pytest.fixture(scope="session")
def write_side_grid() -> Iterator[Grid]:
    """PostgreSQL and NATS, started once for all these tests."""
    with servers() as grid:
        yield grid


@contextmanager
def _own_database(grid: Grid) -> Iterator[str]:
    name = f"write_side_{secrets.token_hex(6)}"
    with psycopg.connect(grid.database_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    url = f"{grid.database_url.rpartition('/')[0]}/{name}"
    create_log(url)
    yield url
    with psycopg.connect(grid.database_url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def database_url(write_side_grid: Grid) -> Iterator[str]:
    """A database with an empty log, for one module's tests."""
    with _own_database(write_side_grid) as url:
        yield url


@pytest.fixture
def new_database(write_side_grid: Grid) -> Iterator[str]:
    """A database with an empty log, for one test."""
    with _own_database(write_side_grid) as url:
        yield url


@pytest.fixture
def story(database_url: str) -> Iterator[LogStory]:
    """A story on the real log that leaves nothing behind."""
    with (
        psycopg.connect(database_url, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        yield LogStory(connection)
