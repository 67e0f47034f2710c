"""A rebuild shared by processes builds what one alone builds, or leaves everything as it was."""

import subprocess
import sys

import pytest

from deploy.grid import REPOSITORY
from projections.metering_rebuild import compare
from tests.projections.metered_grid import apply, database, rows, state
from tests.projections.metered_story import told
from tests.projections.test_sealed_days import AFTER_ALL, sealed

_REBUILD = """
import os, sys
from projections import rebuild_processes
from projections.metering_rebuild import rebuild

forks, fork = [], os.fork
os.fork = lambda: forks.append(1) or fork()
rebuild_processes.WORTH_A_PROCESS = 1
if sys.argv[2] == "broken":
    rebuild_processes.build_totals = None
rebuild(sys.argv[1])
print(len(forks))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a rebuild is one process")


def _rebuilt(url: str, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _REBUILD, url, how]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=60)


def test_rebuild_by_two_processes_equals_what_came_reading_by_reading(metering_servers: str) -> None:
    story = told(2)
    with database(metering_servers) as url:
        state(*story.facts, url=url)
        apply(url, *story.messages)
        sealed(url, AFTER_ALL)
        before = rows(url, "select t::text from household_flow t order by 1")
        broken = _rebuilt(url, "broken")
        assert "RebuildFailed: 2 of 2 processes ended early" in broken.stderr
        assert compare(url) == []
        whole = _rebuilt(url, "whole")
        assert whole.stdout == "2\n", whole.stderr
        assert compare(url) == []
        assert rows(url, "select t::text from household_flow t order by 1") == before
