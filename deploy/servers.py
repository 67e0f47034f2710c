"""The real servers for a test: PostgreSQL, NATS and who lets devices in, without the grid's other roles."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.grid import Grid


@contextmanager
def servers(home: Path | None = None) -> Iterator[Grid]:
    """Servers that answer, on free ports, gone at the end; the signing key is `grid.signing_key`."""
    with Grid(home, parts=["device-access"]) as grid:
        grid.wait_for_servers()
        yield grid
