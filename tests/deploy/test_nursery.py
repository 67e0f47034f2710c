"""Roles born together are processes like any other; without the nursery they are started all the same."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from deploy.adopted import Adopted
from deploy.grid import REPOSITORY
from deploy.nursery import Nursery
from deploy.ports import free_port
from deploy.process import Identity, Program
from deploy.role import ROLES
from deploy.supervisor import Supervisor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each role is started by itself")
SOME = ("device-access", "views", "relay")
ARGUMENTS = "-m deploy.role %s --index 0 --supervised"
TITLE = f"{sys.executable} {ARGUMENTS}"


def _until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def _roles(home: Path, names: Sequence[str] = SOME) -> list[Program]:
    """Roles that find no server, which keeps them waiting for one."""
    env = os.environ | {
        "DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "NATS_URL": "nats://127.0.0.1:1",
        "SMARTRIX_PORT": str(free_port()),
        "SMARTRIX_SIGNING_KEY": "key",
        "OPENBLAS_NUM_THREADS": "1",
    }
    how = {"env": env, "cwd": REPOSITORY}
    commands = {
        name: (sys.executable, *(TITLE % name).removeprefix(sys.executable).split()) for name in names
    }
    return [Program(name, commands[name], how, home / f"{name}.log", is_role=True) for name in names]


def _shown(pid: int) -> str:
    """Its command line; nothing for what has ended."""
    try:
        return " ".join(psutil.Process(pid).cmdline()).rstrip()
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture
def children() -> Callable[[], list[str]]:
    """Asks for the command lines of what lives and was not there before the test."""
    before = {each.pid for each in psutil.Process().children()}

    def found() -> list[str]:
        now = {each.pid for each in psutil.Process().children()}
        return sorted(filter(None, map(_shown, now - before)))

    return found


def test_each_is_a_child_with_a_session_a_log_and_a_command_line_of_its_own(
    tmp_path: Path, children: Callable[[], list[str]]
) -> None:
    supervisor = Supervisor(tmp_path)
    try:
        supervisor.start(_roles(tmp_path), {})
        _until(lambda: len(supervisor.pids()) == len(SOME) and len(children()) == len(SOME))
        for role, pid in supervisor.pids().items():
            assert psutil.Process(pid).ppid() == os.getpid()
            assert os.getsid(pid) == pid
            assert _shown(pid) == TITLE % role
            assert Identity.of(pid).executable == os.path.realpath(sys.executable)
        first = supervisor.pids()
        os.kill(first["relay"], signal.SIGKILL)
        _until(lambda: supervisor.pids().get("relay") not in (None, first["relay"]))
        assert _shown(supervisor.pids()["relay"]) == TITLE % "relay"
        _until(lambda: (tmp_path / "device-access.log").stat().st_size > 0)
        last = supervisor.pids()
    finally:
        supervisor.stop()
    assert not any(psutil.pid_exists(pid) for pid in (*first.values(), *last.values()))


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.2, 0.3, 0.4, 0.6])
def test_a_killed_nursery_leaves_each_role_once(
    tmp_path: Path, after_s: float, children: Callable[[], list[str]]
) -> None:
    supervisor = Supervisor(tmp_path)
    try:
        supervisor.start(_roles(tmp_path), {})
        time.sleep(after_s)
        for child in psutil.Process().children():
            if "deploy.born_together" in _shown(child.pid):
                child.kill()
        _until(lambda: len(supervisor.pids()) == len(SOME))
        time.sleep(0.2)
        assert children() == sorted(TITLE % role for role in SOME)
        assert sorted(supervisor.pids()) == sorted(SOME)
    finally:
        supervisor.stop()


def test_a_stop_in_the_middle_leaves_nothing(tmp_path: Path, children: Callable[[], list[str]]) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.start(_roles(tmp_path), {})
    time.sleep(0.25)
    supervisor.stop()
    assert children() == []


def test_an_unborn_part_can_be_held(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    try:
        supervisor.start(_roles(tmp_path), {})
        supervisor.hold("relay")
        assert sorted(supervisor.pids()) == sorted({*SOME} - {"relay"})
    finally:
        supervisor.stop()


def test_roles_end_with_their_supervisor(tmp_path: Path) -> None:
    run = f"""
import sys, time
from pathlib import Path
from deploy.supervisor import Supervisor
from tests.deploy.test_nursery import _roles, _until
supervisor = Supervisor(Path({str(tmp_path)!r}))
supervisor.start(_roles(Path({str(tmp_path)!r})), {{}})
_until(lambda: len(supervisor.pids()) == {len(SOME)})
print(*supervisor.pids().values(), flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", run], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as own:
        assert own.stdout is not None
        pids = [int(pid) for pid in own.stdout.readline().split()]
        assert len(pids) == len(SOME)
        own.kill()
    _until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_every_role_is_born(tmp_path: Path) -> None:
    """Where loading one starts a thread, no role behind it is."""
    nursery = Nursery(_roles(tmp_path, tuple(ROLES)))
    found: dict[str, Adopted] = {}
    while not nursery.has_ended:
        found |= dict(nursery.born())
        time.sleep(0.02)
    for child in found.values():
        child.kill()
        assert child.wait(5.0) == -signal.SIGKILL
    nursery.let_go()
    assert sorted(found) == sorted(ROLES)
