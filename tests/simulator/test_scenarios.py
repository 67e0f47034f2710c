"""The acceptance scenarios against the whole grid, and what the player says when there is none."""

import re

import pytest

from deploy.grid import Grid
from simulator.scenarios import play


def _played(grid: Grid, numbers: list[int]) -> int:
    return play.main(grid.url, grid.mqtt_url, grid.nats_url, grid.tokens, numbers)


@pytest.mark.slow
def test_scenarios_hold_and_are_told(whole: Grid, capsys: pytest.CaptureFixture[str]) -> None:
    assert _played(whole, [1, 3]) == 0, capsys.readouterr().out
    told = capsys.readouterr().out
    steps = re.findall(r"^ +(\d+)  \S", told, re.MULTILINE)
    assert [int(step) for step in steps] == [1, 2, 3, *range(1, 12)]
    assert told.count("AUTARKY_REACHED") == told.count("AUTARKY_LOST") == 1
    assert all(int(late_ms) < 1000 for late_ms in re.findall(r"(\d+) ms after", told))
    assert "\x1b" not in told


@pytest.mark.slow
def test_scenarios_play_again_on_a_running_grid(whole: Grid) -> None:
    assert _played(whole, [3, 1]) == 0


def test_there_is_no_such_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert play.main("http://127.0.0.1:9", "", "", {"operator": ""}, [99]) == 2
    assert "no scenario 99" in capsys.readouterr().out


def test_without_a_grid_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    dead = "127.0.0.1:9"
    addresses = (f"http://{dead}", f"mqtt://{dead}", f"nats://{dead}")
    assert play.main(*addresses, {"operator": "x"}, [1]) == 1
    assert "does not hold" in capsys.readouterr().out
