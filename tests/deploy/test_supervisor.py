"""Parts that end are started again, held ones are not, and run.json tells the truth; with plain programs."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.process import Program
from deploy.supervisor import Supervisor

LIVES = "import time\nprint('alive', flush=True)\ntime.sleep(60)"
DIES = "import sys\nprint('no luck')\nsys.exit(7)"
STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{LIVES}"
LOUD = "import time\nprint('x' * 1_500_000, flush=True)\ntime.sleep(60)"


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    found = Supervisor(tmp_path)
    yield found
    found.stop()


def _program(home: Path, name: str, code: str, **how: Any) -> Program:
    return Program(name, (sys.executable, "-c", code), {}, home / f"{name}.log", **how)


def _part(home: Path, name: str) -> dict[str, Any]:
    run = json.loads((home / "run.json").read_text())
    return next(part for part in run["parts"] if part["name"] == name)


def _until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_a_killed_part_is_started_again_and_counted(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.start([_program(tmp_path, "relay", LIVES)], {"url": "http://127.0.0.1:1"})
    first = supervisor.pids()["relay"]
    assert _part(tmp_path, "relay")["pid"] == first
    supervisor.kill("relay")
    _until(lambda: supervisor.pids().get("relay", first) != first)
    _until(lambda: _part(tmp_path, "relay")["pid"] == supervisor.pids()["relay"])
    part = _part(tmp_path, "relay")
    assert (part["status"], part["restarts"]) == ("down", 1)
    assert part["error"].startswith("killed by signal 9")
    _until(lambda: _part(tmp_path, "relay")["status"] == "ok")


def test_a_part_that_keeps_failing_waits_longer_each_time(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.start([_program(tmp_path, "views", DIES)], {})
    _until(lambda: _part(tmp_path, "views")["restarts"] >= 3)
    third = time.monotonic()
    seen = set()
    while (part := _part(tmp_path, "views"))["restarts"] < 4:
        seen.add(part["status"])
    assert seen == {"down"}
    assert time.monotonic() - third >= 0.35
    assert _part(tmp_path, "views")["error"] == "ended with status 7; its log ends: no luck"


def test_a_held_part_stays_down_until_it_is_released(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.start([_program(tmp_path, "gateway", LIVES)], {})
    supervisor.hold("gateway")
    assert supervisor.pids() == {}
    time.sleep(0.3)
    held = _part(tmp_path, "gateway")
    assert (held["status"], held["pid"], held["restarts"]) == ("down", None, 0)
    supervisor.release("gateway")
    assert _part(tmp_path, "gateway")["pid"] == supervisor.pids()["gateway"]


def test_a_part_that_will_not_stop_is_killed(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.start([_program(tmp_path, "stubborn", STUBBORN, stop_seconds=0.3)], {})
    _until(lambda: (tmp_path / "stubborn.log").read_text() != "")
    began = time.monotonic()
    supervisor.hold("stubborn")
    assert 0.3 <= time.monotonic() - began < 3
    assert supervisor.pids() == {}


def test_logs_stay_bounded(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.start([_program(tmp_path, "loud", LOUD)], {})
    older = tmp_path / "loud.log.1"
    _until(lambda: older.exists() and (tmp_path / "loud.log").stat().st_size < 1_000_000)
    assert older.stat().st_size == 1_000_000
    assert oct((tmp_path / "run.json").stat().st_mode & 0o777) == "0o600"
