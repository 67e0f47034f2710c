"""A grid of its own for each module of faults: they break it."""

import os
from collections.abc import Iterator

import pytest

from deploy.grid import Grid


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """The whole grid, not shared with the tests that need it whole."""
    with Grid() as own:
        own.wait_healthy()
        yield own


@pytest.fixture(scope="session")
def seed() -> str:
    """What every random moment is drawn from; SMARTRIX_SEED repeats a run's."""
    return os.environ["SMARTRIX_SEED"]
