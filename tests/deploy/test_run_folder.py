"""PostgreSQL's programs run wherever the home is: below closed folders, from odd paths, as root and not."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.run_folder import RunFolder, remove_outside, run_folder


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A home below a folder that nobody else can read, with a space and a dollar sign in its name."""
    parent = tmp_path / "closed to $others"
    parent.mkdir(mode=0o700)
    home = parent / "home"
    home.mkdir()
    yield home
    remove_outside(home)


def _version(found: RunFolder) -> str:
    command = (str(found.programs / "postgres"), "--version")
    return str(
        subprocess.run(command, capture_output=True, text=True, check=True, **found.started_as()).stdout
    )


def test_the_programs_run_below_a_closed_folder(closed: Path) -> None:
    found = run_folder(closed, temporary=True)
    assert _version(found).startswith("postgres (PostgreSQL) 18")
    assert (found.account is not None) == (os.geteuid() == 0)


def test_a_place_that_holds_data_is_found_again(closed: Path) -> None:
    first = run_folder(closed, temporary=False)
    first.data.mkdir()
    assert run_folder(closed, temporary=False).data == first.data


def test_nothing_is_left_elsewhere(closed: Path) -> None:
    found = run_folder(closed, temporary=True)
    remove_outside(closed)
    assert found.folder.is_relative_to(closed) == found.folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as another account")
def test_an_open_home_holds_its_own_data_also_as_root() -> None:
    home = Path("/var/tmp", f"smartrix grid test {os.getpid()}")
    home.mkdir(mode=0o711)
    try:
        assert run_folder(home, temporary=False).folder == home / "postgres"
    finally:
        shutil.rmtree(home)
