"""A home is held by one run, and cleared of what a killed run left behind; with real killed runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.grid import REPOSITORY
from deploy.home import Home, is_in_use, remove_abandoned_homes
from deploy.process import Identity, end
from deploy.servers import servers
from deploy.setup_error import SetupError

RUN = """
import sys, time
from pathlib import Path
from deploy.servers import servers
with servers(Path(sys.argv[1]) if len(sys.argv) > 1 else None) as grid:
    print(grid.home, flush=True)
    time.sleep(60)
"""


def _killed_run(*arguments: str, **environment: str) -> tuple[Path, dict[str, Any]]:
    """Starts a run, waits until it stands, kills it with SIGKILL; its home and what it wrote of its parts."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        cwd=REPOSITORY,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        home = Path(run.stdout.readline().strip())
        parts = json.loads((home / "run.json").read_text())["parts"]
        run.send_signal(signal.SIGKILL)
    return home, {part["name"]: part for part in parts}


def _lives(part: dict[str, Any]) -> bool:
    return Identity(part["pid"], part["startTime"], part["executable"]).process() is not None


def _gone_within(part: dict[str, Any], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _lives(part) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _lives(part)


def test_the_next_start_ends_what_a_killed_run_left(home: Path) -> None:
    _, parts = _killed_run(str(home))
    assert _gone_within(parts["device-access"], 5), "a role ends with its parent"
    assert _lives(parts["postgres"])
    assert not is_in_use(home)
    with servers(home) as grid:
        assert is_in_use(home)
        assert not _lives(parts["postgres"])
        assert not _lives(parts["nats"])
        assert set(grid.pids()) == set(parts)
    assert not (home / "run.json").exists()


def test_a_temporary_home_of_a_killed_run_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, parts = _killed_run(TMPDIR=str(tmp_path))
    assert home.parent == tmp_path
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    remove_abandoned_homes()
    assert not home.exists()
    assert not any(_lives(part) for part in parts.values())


def test_a_home_is_held_by_one_run(home: Path) -> None:
    first = Home(home)
    with pytest.raises(SetupError, match="another run"):
        Home(home)
    first.close()
    Home(home).close()


def test_a_process_that_only_has_the_same_number_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        truth = Identity.of(bystander.pid)
        end(Identity(truth.pid, truth.start_time - 100, truth.executable))
        end(Identity(truth.pid, truth.start_time, "/bin/another"))
        assert psutil.pid_exists(bystander.pid)
        assert bystander.poll() is None
        end(truth)
        bystander.wait(5)


def test_nothing_is_left_of_a_temporary_home() -> None:
    with servers() as grid:
        home, pids = grid.home, grid.pids()
        assert home.exists()
    assert not home.exists()
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
