"""The running grid that end-to-end tests share, bounds for property tests, and what tests have to tell."""

import os
import random
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from deploy.grid import Grid

# No example database: a run leaves no file behind. No deadline: two cores are shared with servers.
hypothesis.settings.register_profile("grid", database=None, deadline=None)
hypothesis.settings.load_profile("grid")

Telling = Callable[[str], None]


def pytest_configure() -> None:
    """One seed for the whole run, in each of its processes; SMARTRIX_SEED repeats a run's."""
    os.environ.setdefault("SMARTRIX_SEED", f"{random.SystemRandom().randrange(10**6)}")


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Telling:
    """Says a line at the end of the run, whichever process the test ran in."""
    return lambda line: record_property("told", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The seed, and what tests had to tell."""
    terminalreporter.write_line(f"SMARTRIX_SEED={os.environ['SMARTRIX_SEED']}")
    reports = [report for found in terminalreporter.stats.values() for report in found]
    for report in reports:
        if isinstance(report, pytest.TestReport) and report.when == "call":
            for line in (value for name, value in report.user_properties if name == "told"):
                terminalreporter.write_line(str(line))


@pytest.fixture(scope="session")
def grid() -> Iterator[Grid]:
    """The whole grid on its own servers, free ports and a temporary home, started once per run."""
    with Grid() as running:
        running.wait_healthy()
        yield running
