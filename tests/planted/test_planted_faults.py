"""A fault in a rule that scenario 3 shows makes it fail at the step that shows it: `-m planted`."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.planted, pytest.mark.timeout(240)]

REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST_PLAY_S = 150
UNTRACKED = (".venv", "gateway/playground/dist")  # made by prepare.sh
STEP = re.compile(r"^ {2,3}(\d+)  \S", re.MULTILINE)


@dataclass(frozen=True)
class Fault:
    """A slip of the pen in one file, and the step of scenario 3 that shows it."""

    path: str
    right: str
    wrong: str
    step: int


FAULTS = {
    "losses are not booked on charging": Fault(
        "write_side/rules/batteries.py",
        "total = stock.carry_total + stored_permille_wh",
        "total = stock.carry_total + 1000 * charge.total",
        9,
    ),
    "panels serve no more load than the battery takes": Fault(
        "write_side/rules/energy.py",
        "pv_to_load = np.minimum(production_wh, consumption_wh)",
        "pv_to_load = np.minimum(production_wh, charge_wh)",
        5,
    ),
    "autarky must last longer than its dwell": Fault(
        "write_side/rules/autarky_columns.py",
        "[above_run >= dwell, below_run >= dwell,",
        "[above_run > dwell, below_run >= dwell,",
        8,
    ),
}


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    """The project's own files as they stand, with this copy's environment."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    place = tmp_path / "project"
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, place / name)
    for name in UNTRACKED:
        (place / name).symlink_to(REPOSITORY / name)
    yield place
    shutil.rmtree(place)


def plant(project: Path, fault: Fault) -> None:
    """Puts the wrong line in the place of the right one, which must stand there once."""
    path = project / fault.path
    text = path.read_text()
    assert text.count(fault.right) == 1, f"{fault.path} no longer says: {fault.right}"
    path.write_text(text.replace(fault.right, fault.wrong))


def play(project: Path) -> tuple[int, str]:
    """Plays scenario 3; its exit status and what it told. One that takes too long is stopped in order."""
    own = ("SMARTRIX_", "DATABASE_URL", "NATS_URL", "MQTT_URL", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    with subprocess.Popen(
        [".venv/bin/python", "-m", "deploy", "--scenarios", "3"],
        cwd=project,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            told, _ = process.communicate(timeout=LONGEST_PLAY_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=30)
    return process.returncode, told


def test_the_copy_holds_as_it_stands(copy: Path) -> None:
    status, told = play(copy)
    assert status == 0, told
    assert STEP.findall(told) == [f"{number}" for number in range(1, 12)]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_makes_the_scenario_fail_where_it_shows(copy: Path, name: str) -> None:
    fault = FAULTS[name]
    plant(copy, fault)
    status, told = play(copy)
    assert status == 1, told
    assert "FAILED" in told, told
    assert STEP.findall(told)[-1] == f"{fault.step}", told
    assert "Scenario 3 does not hold: it stopped at the step above." in told
