"""./run.sh as a person calls it: exit statuses, and a line that says what to do."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from deploy.grid import REPOSITORY


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REPOSITORY / "run.sh", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize("wrong", [["dance"], ["scenario", "one"], ["scenario"], ["--scenarios", "x"]])
def test_wrong_usage_is_2(wrong: list[str]) -> None:
    done = _run(*wrong)
    assert done.returncode == 2
    assert "usage: ./run.sh" in done.stderr


@pytest.mark.parametrize("command", ["replay", "import"])
def test_a_file_that_is_not_there_is_2(command: str, tmp_path: Path) -> None:
    done = _run(command, str(tmp_path / "none.csv"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.csv" in done.stderr


def test_a_port_that_is_taken_is_3_and_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        done = _run("serve", "--home", str(tmp_path / "home"), SMARTRIX_PORT=taken)
    assert done.returncode == 3
    assert done.stderr == (
        f"smartrix: port {taken} on 127.0.0.1 is taken by another program: set SMARTRIX_PORT to another\n"
    )


def test_outside_servers_need_a_signing_key(tmp_path: Path) -> None:
    done = _run("serve", "--home", str(tmp_path / "home"), DATABASE_URL="postgresql://127.0.0.1:1/grid")
    assert done.returncode == 3
    assert "SMARTRIX_SIGNING_KEY" in done.stderr


def test_a_check_without_a_grid_is_3(tmp_path: Path) -> None:
    done = _run("check", "--home", str(tmp_path))
    assert done.returncode == 3
    assert "there is no grid" in done.stderr


def test_preparing_again_needs_no_network_and_changes_nothing() -> None:
    stamp = REPOSITORY / ".venv" / "installed.lock"
    before = stamp.stat().st_mtime_ns
    nowhere = "http://127.0.0.1:1"
    done = subprocess.run(
        [REPOSITORY / "prepare.sh"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PIP_INDEX_URL": nowhere, "HTTPS_PROXY": nowhere, "npm_config_registry": nowhere},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "prepare: complete\n", "")
    assert stamp.stat().st_mtime_ns == before
