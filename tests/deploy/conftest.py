"""One run of the servers for the tests that do not break them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.grid import Grid
from deploy.home import delete_home
from deploy.servers import servers


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A lasting home that is not there yet; afterwards it is deleted with what PostgreSQL keeps elsewhere."""
    path = tmp_path / "a home"
    yield path
    delete_home(path)


@pytest.fixture(scope="package")
def running() -> Iterator[Grid]:
    """PostgreSQL, NATS and the role that lets devices in."""
    with servers() as grid:
        yield grid
