"""The running grid that end-to-end tests share, and bounds for the property tests."""

from collections.abc import Iterator

import hypothesis
import pytest

from deploy.grid import Grid

# No example database: a run leaves no file behind. No deadline: two cores are shared with servers.
hypothesis.settings.register_profile("grid", database=None, deadline=None)
hypothesis.settings.load_profile("grid")


@pytest.fixture(scope="session")
def grid() -> Iterator[Grid]:
    """The whole grid on its own servers, free ports and a temporary home, started once per run."""
    with Grid() as running:
        running.wait_healthy()
        yield running
