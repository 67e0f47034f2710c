"""A small run of the bench of subscribers: what it tells, and that its check finds what is wrong."""

import pytest

from bench import fan_out
from bench.figures import WrongAnswer
from bench.listeners import Heard


def test_a_small_run_tells_its_figures() -> None:
    figures = {figure.name: figure for figure in fan_out.run(0.005)}
    assert len(figures) == 4
    closing = figures["fan-out: closing to the last subscriber"]
    assert closing.at_most == 1.0
    assert closing.figure >= (closing.beside or 0) > 0
    assert figures["fan-out: memory a subscriber"].unit == "KiB"


def _told(percent: str, to: str) -> tuple[float, dict[str, object]]:
    change = {"to": to, "selfSufficiencyPercent": percent, "notify": True}
    return 0.0, {"payload": {"data": {"autarkyChanged": change}}}


def test_a_change_twice_or_of_another_is_a_wrong_answer() -> None:
    even, odd = _told("100.00", "REACHED"), _told("0.00", "NOT_REACHED")
    assert fan_out.produced(2) == [10_000, 0]
    fan_out.check(Heard(told=[[even], [odd]], closed=0, cpu_seconds=0), 2)
    for told in ([[even], [odd, odd]], [[odd], [even]], [[even], []]):
        with pytest.raises(WrongAnswer):
            fan_out.check(Heard(told=told, closed=0, cpu_seconds=0), 2)
